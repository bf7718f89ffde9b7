"""What a study computes on: images, masks, kernels and priors, by path or by array.

By path every worker reads the files itself, which must lie at the same place there. By array they were read
once and travel with the work; images then need no file system that all machines share.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import tasks
from ..errors import ArgumentError
from ..flows import FlowPrior, load_prior
from ..images import ImageSet, read_images

USUAL = ("mask", "kernel")
"""Options whose files came first in a digest before tasks could have others."""


@dataclass(frozen=True)
class OptionFile:
    """A file that an option of a task stands for.

    Attributes
    ----------
    task, option : str
        Names of task and option.
    key : str
        What `file_key` calls it.
    path : str
        Where it is.
    options : tuple of (str, str)
        Other options, which say how it is read.
    """

    task: str
    option: str
    key: str
    path: str
    options: tuple[tuple[str, str], ...] = ()

    def read(self) -> np.ndarray:
        """Return the array in the file, or raise `ArgumentError`."""
        read = tasks.registry.get(self.task).options()[self.option].read
        assert read is not None
        return read(self.path, dict(self.options))


@dataclass(frozen=True)
class Paths:
    """Where the inputs of a study are; can be a key of a cache.

    Attributes
    ----------
    images : tuple of str
        Image files, folders and zips.
    limit : int or None
        Most images that are read.
    files : tuple of OptionFile
        The files of options of tasks.
    digest : str
        `Inputs.digest` that they should have; "" for any.
    """

    images: tuple[str, ...]
    limit: int | None = None
    files: tuple[OptionFile, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class Inputs:
    """The arrays of a study.

    Attributes
    ----------
    x : numpy.ndarray, shape (N, 3, H, W), float32
        The clean images, in [0, 1].
    names : list of str
        Their names.
    files : dict of str to dict of str to numpy.ndarray
        Arrays that tasks take, by the option and by what `file_key` calls the file.
    """

    x: np.ndarray
    names: list[str]
    files: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the images and of the files of tasks, with their names."""
        made = hashlib.sha256(repr((self.x.shape, self.names)).encode())
        made.update(np.ascontiguousarray(self.x).tobytes())
        for option in (*USUAL, *sorted(set(self.files) - set(USUAL))):
            arrays = self.files.get(option, {})
            for name in sorted(arrays):
                made.update(repr((name, arrays[name].shape)).encode())
                made.update(np.ascontiguousarray(arrays[name]).tobytes())
        return made.hexdigest()


@functools.lru_cache(maxsize=2)
def read_inputs(paths: Paths) -> Inputs:
    """Return the arrays that lie at `paths`; kept, because all cells of a process use the same.

    Raises
    ------
    ArgumentError
        If a file cannot be read, or is another one than when the study was planned.
    """
    images: ImageSet = read_images(paths.images, limit=paths.limit)
    inputs = Inputs(
        images.x,
        images.names,
        _read(paths.files),
    )
    if paths.digest and inputs.digest != paths.digest:
        raise ArgumentError("images", "other images than the study was planned with", "the same files")
    return inputs


def _read(files: tuple[OptionFile, ...]) -> dict[str, dict[str, np.ndarray]]:
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for file in files:
        arrays.setdefault(file.option, {})[file.key] = file.read()
    return arrays


def file_key(option: tasks.Option, options: Mapping[str, Any]) -> str:
    """Return what tells the array of an option's file: its name, and what else says how it is read."""
    said = [f" {name}={options[name]}" for name in option.read_with if options.get(name) is not None]
    return str(options[option.name]) + "".join(said)


@functools.lru_cache(maxsize=2)
def kept_prior(source: str, device: str, dtype: str) -> FlowPrior:
    """Return a prior by name or file; kept, because loading takes longer than many an iteration."""
    return load_prior(source, device=device, dtype=getattr(torch, dtype))


def found(path: str, study: Path, data: Path | None) -> str:
    """Return where a file of a study is: in the folder of data if it is there, else beside the study."""
    if data is not None and (data / path).exists():
        return str((data / path).absolute())
    return str((study.parent / path).absolute())
