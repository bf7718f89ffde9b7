"""A start that lies in a file: the record of another run, or images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .. import array_files
from ..decoding import SUFFIXES
from ..images import read_each
from ..initialise import Start, as_start
from ..objectives import Objective
from .record_path import the_record


def is_file(name: str) -> bool:
    """Return whether ``--init`` names a file or folder rather than a registered start."""
    path, _ = array_files.split_inner(Path(name))
    return path.exists() or path.suffix.lower() in (*SUFFIXES, *array_files.SUFFIXES)


def start_from_file(path: Path, objective: Objective) -> Start:
    """Return the start of a file: what a recorded run found, or images.

    Raises
    ------
    ArgumentError
        If it cannot be read, or does not fit the problem.
    """
    latent = len(objective.variable_shape) == 1
    given = _recorded(path) if _is_record(path) else _images(path, objective)
    return as_start(given, objective.problem, objective.prior, latent=latent)


def _is_record(path: Path) -> bool:
    if path.is_dir():
        return (path / "run.h5").is_file()
    return path.suffix.lower() in (".h5", ".hdf5") and path.is_file()


def _recorded(path: Path) -> object:
    from ..recording import open_run

    return open_run(the_record(path))


def _images(path: Path, objective: Objective) -> torch.Tensor:
    channels = objective.shape[0]
    images = [i.x for i in read_each([path], clean=False, argument="init")]
    # One image starts all problems; what has one channel may be a colour image without colour.
    many = [np.broadcast_to(x, (max(channels, len(x)), *x.shape[1:])) for x in images]
    many = many * len(objective) if len(many) == 1 else many
    shapes = {x.shape for x in many}
    x = np.stack(many) if len(shapes) == 1 else np.concatenate([many[0][None]])
    return torch.as_tensor(np.ascontiguousarray(x)).to(objective.problem.y)
