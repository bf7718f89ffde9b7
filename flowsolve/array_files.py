"""Numbers in files of arrays: NumPy's ``.npy`` and ``.npz``, HDF5, MATLAB.

Nothing is unpickled, no link out of a file is followed, and what an array would take in memory is looked at
before it is read. In a file of several arrays one is named after a colon: ``scan.h5:/entry/data``.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".mat")
"""Suffixes of files of arrays."""

MAX_ARRAY = 2**30
"""Most bytes of an array that is read."""

_HDF5, _HDF5_OF_MATLAB = b"\x89HDF\r\n\x1a\n", 512
_INNER = re.compile(r"(.*\.(?:npz|h5|hdf5|mat)):(.+)", re.IGNORECASE | re.DOTALL)


def split_inner(path: Path) -> tuple[Path, str]:
    """Return a path and the name of the array in it, "" where none is given.

    Parameters
    ----------
    path : pathlib.Path
        Such as ``scan.h5`` or ``scan.h5:/entry/data``; a file that has a colon in its own name is itself.
    """
    found = None if path.exists() else _INNER.fullmatch(str(path))
    return (Path(found[1]), found[2]) if found else (path, "")


def read_array(data: bytes, suffix: str, inner: str = "") -> np.ndarray:
    """Return the array of a file: real or integer numbers, all finite.

    Parameters
    ----------
    data : bytes
        The whole file.
    suffix : str
        One of `SUFFIXES`, in lower case.
    inner : str
        Name of the array in the file; needed where it has several.

    Raises
    ------
    ValueError
        If there is no such array, or it cannot be used; the message continues a sentence about the file.
    """
    readers: Mapping[str, Callable[[bytes, str], Any]] = {
        ".npy": _from_npy,
        ".npz": _from_npz,
        ".mat": _from_mat,
    }
    try:
        array = np.asarray(readers.get(suffix, _from_hdf5)(data, inner))
    except _Refusal as refusal:
        raise ValueError(str(refusal)) from None
    except Exception as error:  # damaged headers raise almost anything, sizes made up MemoryError
        raise ValueError(f"which cannot be read ({str(error) or type(error).__name__})") from None
    if array.dtype.kind not in "fuib":
        raise ValueError(f"of dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("with NaN or infinite values")
    return array


class _Refusal(Exception):
    pass


def _from_npy(data: bytes, inner: str) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _from_npz(data: bytes, inner: str) -> np.ndarray:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        name = _chosen(inner, list(arrays.files))
        _check_bytes(sizes[name])
        return arrays[name]


def _from_hdf5(data: bytes, inner: str) -> np.ndarray:
    with h5py.File(io.BytesIO(data), "r") as file:
        return _dataset(file, inner)[()]


def _from_mat(data: bytes, inner: str) -> np.ndarray:
    if data[_HDF5_OF_MATLAB:].startswith(_HDF5):
        # Version 7.3 is HDF5, with the axes as MATLAB counts them: the last is the outermost.
        return _from_hdf5(data, inner).T
    from scipy.io import loadmat, whosmat

    kinds = ("double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32")
    shapes = {name: shape for name, shape, kind in whosmat(io.BytesIO(data)) if kind in kinds}
    name = _chosen(inner, list(shapes))
    _check_bytes(8 * math.prod(shapes[name]))
    return loadmat(io.BytesIO(data), variable_names=[name])[name]


def _dataset(file: h5py.File, inner: str) -> h5py.Dataset:
    names = [inner.strip("/")] if inner else _names(file)
    place = file
    for part in _chosen(names[0] if inner else "", names).split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            said = "a link to somewhere else" if link is not None else "not there"
            raise _Refusal(f"in which {inner} is {said}; it has {', '.join(_names(file)) or 'no array'}")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise _Refusal(f"in which {inner} is a group; the arrays are {', '.join(_names(file))}")
    if place.is_virtual or place.external:
        raise _Refusal(f"in which {place.name} lies in other files")
    _check_bytes(place.dtype.itemsize * math.prod(place.shape or (0,)))
    return place


def _names(file: h5py.File) -> list[str]:
    """Return the arrays of two axes or more."""
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2:
            found.append(name)

    file.visititems(note)
    return found


def _chosen(inner: str, names: list[str]) -> str:
    """Return the array that was named, or the only one."""
    said = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"
    if inner:
        if inner not in names:
            raise _Refusal(f"in which there is no array {inner}; it has {said}")
        return inner
    if len(names) != 1:
        raise _Refusal(f"in which there are {len(names)} arrays ({said}); name one after a colon")
    return names[0]


def _check_bytes(size: int) -> None:
    if size > MAX_ARRAY:
        raise _Refusal(f"with an array larger than {MAX_ARRAY} bytes")
