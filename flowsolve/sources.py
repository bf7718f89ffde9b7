"""Image files on disk and in zips, found but not opened yet.

Zip entries are read from memory and never written to disk. Every refusal names the file, because a folder of
five thousand photographs has one that is different. Only regular files are opened.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import array_files
from .array_files import split_inner
from .decoding import SUFFIXES
from .errors import ArgumentError
from .files import kind, read_regular

ACCEPTED = (
    "PNG, JPEG, WebP, TIFF, BMP, .npy, .npz, HDF5 (FILE.h5:/DATASET) or .mat files, folders or zips of images"
)

MAX_BYTES = 2**29
"""Largest file or zip entry that is read; protects from archives made to fill the memory."""


@dataclass(frozen=True)
class Source:
    """One file, on disk or in a zip, that can be opened when it is needed.

    Attributes
    ----------
    label : str
        Where it is, for messages.
    suffix : str
        Suffix in lower case.
    read : callable
        Returns the file's bytes.
    inner : str
        Of a file of arrays, the name of the one that is meant; "" for the only one.
    """

    label: str
    suffix: str
    read: Callable[[], bytes]
    inner: str = ""

    @property
    def stem(self) -> str:
        """What images in it are called."""
        path = self.label.removesuffix(f":{self.inner}") if self.inner else self.label
        return PurePosixPath(path.replace(os.sep, "/")).stem


def find_images(paths: Sequence[str | os.PathLike[str]], argument: str = "images") -> list[Source]:
    """Return the image files that `paths` stand for, without decoding any.

    Parameters
    ----------
    paths : sequence of path
        Image files and files of arrays, folders (searched through all their folders, in sorted order;
        images only) and zips of images, in any mix. An array in a file of several is named after a colon.
    argument : str
        Name of the argument, for messages.

    Raises
    ------
    ArgumentError
        If a path does not exist, is of another kind, or has no image in it.
    """
    sources: list[Source] = []
    for path, inner in (split_inner(Path(path)) for path in paths):
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found = [file_source(p) for p in files if not hidden(p.name)]
        elif not path.is_file():
            raise missing(path, argument, ACCEPTED)
        elif path.suffix.lower() == ".zip":
            found = _zip_entries(path, argument)
        elif path.suffix.lower() in (*SUFFIXES, *array_files.SUFFIXES):
            found = [file_source(path, inner)]
        else:
            raise ArgumentError(argument, path, ACCEPTED)
        if not found:
            raise ArgumentError(argument, f"{path}, which has no image in it", ACCEPTED)
        sources.extend(found)
    if not sources:
        raise ArgumentError(argument, "nothing", ACCEPTED)
    return sources


def file_source(path: Path, inner: str = "") -> Source:
    """Return a file on disk, or an array in it, as something to be opened later."""
    label = f"{path}:{inner}" if inner else str(path)
    return Source(label, path.suffix.lower(), lambda: read_regular(path, MAX_BYTES), inner)


def missing(path: Path, argument: str, accepted: str) -> ArgumentError:
    """Return the error for a path that is no regular file."""
    reason = f"which is {kind(path)}" if path.exists() else "which does not exist"
    return ArgumentError(argument, f"{path}, {reason}", accepted)


def hidden(name: str) -> bool:
    """Return whether an operating system has hidden a file of this name in a folder or zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def read_source(source: Source, argument: str) -> bytes:
    """Return the bytes of a file, or say why it cannot be read."""
    try:
        return source.read()
    except Exception as error:  # damaged zips raise almost anything
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(argument, f"{source.label}, which cannot be read ({reason})", ACCEPTED) from None


def _zip_entries(path: Path, argument: str) -> list[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.filename)
    except (zipfile.BadZipFile, OSError) as error:
        raise ArgumentError(argument, f"{path}, which is not a readable zip ({error})", ACCEPTED) from None

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            if info.file_size > MAX_BYTES:
                raise OSError(f"larger than {MAX_BYTES} bytes")
            with zipfile.ZipFile(path) as archive:
                return archive.read(info)

        return read

    sources = []
    for info in infos:
        suffix = PurePosixPath(info.filename).suffix.lower()
        if not info.is_dir() and suffix in SUFFIXES and not hidden(info.filename):
            sources.append(Source(f"{path}/{info.filename}", suffix, reader(info)))
    return sources
