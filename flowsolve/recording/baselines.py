"""Classical restorations beside the run that they are compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from ..errors import ArgumentError
from ..files import target
from .parts import part_beside

BASELINES = "baselines"
"""Group of a record with one dataset (N, C, H, W) for each."""


def write_baselines(path: str | Path, restored: Mapping[str, np.ndarray]) -> None:
    """Put classical restorations into a record that is closed; it is replaced in one step.

    Parameters
    ----------
    path : path
        The record.
    restored : mapping of str to numpy.ndarray, shape (N, C, H, W)
        Restorations by name; they take the place of earlier ones.

    Raises
    ------
    ArgumentError
        If one is not of floating-point numbers in the shape of the record's images.
    OSError
        If it cannot be written; the record is as it was.
    """
    path = target(Path(path), "record")
    part = part_beside(path)
    try:
        with h5py.File(path) as old, h5py.File(part, "x") as new:
            _check(restored, old["best/x"].shape)
            new.attrs.update(old.attrs)
            for name in old:
                if name != BASELINES:
                    old.copy(name, new)
            for name, x in restored.items():
                new[f"{BASELINES}/{name}"] = x
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _check(restored: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> None:
    """Refuse what readers would refuse the record for."""
    for name, x in restored.items():
        if np.shape(x) != shape or np.asarray(x).dtype not in (np.float32, np.float64):
            given = f"{name} of shape {np.shape(x)} and dtype {np.asarray(x).dtype}"
            raise ArgumentError("restored", given, f"float32 or float64 of shape {shape}")
