"""What a study computes on: images, masks, kernels and priors, by path or by array.

By path every worker reads the files itself, which must lie at the same place there. By array they were read
once and travel with the work; images then need no file system that all machines share.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..errors import ArgumentError
from ..flows import FlowPrior, load_prior
from ..images import ImageSet, read_images, read_kernel, read_mask


@dataclass(frozen=True)
class Paths:
    """Where the inputs of a study are; can be a key of a cache.

    Attributes
    ----------
    images : tuple of str
        Image files, folders and zips.
    limit : int or None
        Most images that are read.
    masks : tuple of (str, str)
        Pairs of name and file.
    kernels : tuple of (str, str, str or None)
        Name, file and scale, as `flowsolve.images.read_kernel` takes it.
    digest : str
        `Inputs.digest` that they should have; "" for any.
    """

    images: tuple[str, ...]
    limit: int | None = None
    masks: tuple[tuple[str, str], ...] = ()
    kernels: tuple[tuple[str, str, str | None], ...] = ()
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
    masks, kernels : dict of str to numpy.ndarray
        As `flowsolve.tasks.TaskOptions` takes them, by the names the study file has for them.
    """

    x: np.ndarray
    names: list[str]
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    kernels: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the images, masks and kernels, with their names."""
        made = hashlib.sha256(repr((self.x.shape, self.names)).encode())
        made.update(np.ascontiguousarray(self.x).tobytes())
        for arrays in (self.masks, self.kernels):
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
        {name: read_mask(path) for name, path in paths.masks},
        {name: read_kernel(path, scale=scale) for name, path, scale in paths.kernels},
    )
    if paths.digest and inputs.digest != paths.digest:
        raise ArgumentError("images", "other images than the study was planned with", "the same files")
    return inputs


@functools.lru_cache(maxsize=2)
def kept_prior(source: str, device: str, dtype: str) -> FlowPrior:
    """Return a prior by name or file; kept, because loading takes longer than many an iteration."""
    return load_prior(source, device=device, dtype=getattr(torch, dtype))


def found(path: str, study: Path, data: Path | None) -> str:
    """Return where a file of a study is: in the folder of data if it is there, else beside the study."""
    if data is not None and (data / path).exists():
        return str((data / path).absolute())
    return str((study.parent / path).absolute())
