"""What was asked of ``flowsolve solve``, and what of it can be checked before anything is read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import initialise, methods, solvers, tasks
from ..encoding import file_kind
from ..errors import ArgumentError
from ..layouts import Reading, parse_range
from ..objectives import FORMULATIONS
from ..problem import AUTO, check_sigma
from .job import check_job
from .start_file import is_file

DTYPES = {"float32": torch.float32, "float64": torch.float64}

EXPLICIT = (
    "formulation",
    "phi",
    "lam",
    "solver",
    "option",
    "init",
    "preset",
    "restarts",
    "continuation",
    "max_evaluations",
)
"""Options that say how to restore: with any of them it is one run of one solver, without, a method."""


@dataclass(frozen=True)
class Request:
    """What was asked; the fields are the options of ``flowsolve solve``."""

    images: tuple[Path, ...]
    task: str
    out: Path
    sigma: float | str | None = None
    method: str | None = None
    formulation: str | None = None
    phi: str | None = None
    lam: str | None = None
    solver: str | None = None
    option: tuple[str, ...] = ()
    init: str | None = None
    prior: str = "faces64"
    limit: int | None = None
    max_iter: int | None = None
    max_evaluations: int | None = None
    max_seconds: float | None = None
    preset: str | None = None
    restarts: int = 1
    continuation: str | None = None
    factor: int | None = None
    kernel_size: int | None = None
    missing: float | None = None
    box: int | None = None
    measured: bool = False
    mask: Path | None = None
    kernel: Path | None = None
    kernel_scale: str | None = None
    baselines: bool = True
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    threads: int | None = None
    force: bool = False
    layout: str | None = None
    value_range: str | None = None
    dtype_out: str = "uint8"
    format: str | None = None
    tile: str = "auto"

    def replaced(self, **changes: Any) -> Request:
        """Return the request with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def reading(self) -> Reading:
        """How the numbers of files are to be taken."""
        return Reading(self.layout, parse_range(self.value_range))

    @property
    def tiles(self) -> int | str:
        """Side of the tiles, ``auto`` or ``off``."""
        return int(self.tile) if self.tile.isdecimal() else self.tile

    @property
    def explicit(self) -> list[str]:
        """The options of `EXPLICIT` that were given."""
        usual = {f.name: f.default for f in dataclasses.fields(self)}
        return [name for name in EXPLICIT if getattr(self, name) != usual[name]]


def check_request(request: Request) -> tasks.Task:
    """Check names and numbers that need neither the prior nor the images, and return the task."""
    task = tasks.registry.get(request.task)
    for argument, given, choices in (
        ("formulation", request.formulation, FORMULATIONS),
        ("dtype", request.dtype, DTYPES),
    ):
        if given is not None and given not in choices:
            raise ArgumentError(argument, repr(given), " or ".join(choices))
    if request.solver is not None:
        solvers.registry.get(request.solver)
    if request.init is not None and not is_file(request.init):
        initialise.registry.get(request.init.removeprefix(initialise.ENCODED), "init")
    _check_method(request)
    check_job(request)
    _check_files(request)
    if request.sigma is not None and request.sigma != AUTO:
        check_sigma(request.sigma)
    for argument, number, least in (
        ("limit", request.limit, 1),
        ("seed", request.seed, 0),
        ("threads", request.threads, 1),
        ("max-iter", request.max_iter, 0 if request.explicit else 1),
        ("max-evaluations", request.max_evaluations, 1),
        ("restarts", request.restarts, 1),
    ):
        if number is not None and number < least:
            raise ArgumentError(argument, number, f"an integer >= {least}")
    if request.max_seconds is not None and not request.max_seconds > 0:
        raise ArgumentError("max-seconds", request.max_seconds, "a number > 0")
    if request.kernel_scale is not None and request.kernel is None:
        raise ArgumentError("kernel-scale", request.kernel_scale, "none without --kernel")
    if request.measured:
        _check_measured(request)
    return task


def _check_files(request: Request) -> None:
    """Check what was said about files and tiles."""
    file_kind(request.dtype_out, request.format)
    _ = request.reading
    if isinstance(request.tiles, str) and request.tiles not in ("auto", "off"):
        raise ArgumentError("tile", repr(request.tile), "auto, off or a number of pixels")
    if request.restarts != 1 and isinstance(request.tiles, int):
        raise ArgumentError("tile", f"{request.tile} with several starts", "off, or one start")


def _check_method(request: Request) -> None:
    """Check that a method is there, and that nothing else says how to restore."""
    if request.method is None:
        return
    if request.explicit:
        given = f"together with --{request.explicit[0].replace('_', '-')}"
        raise ArgumentError("method", given, "one of the two: a method decides all of that itself")
    methods.check_name(request.method)


def _check_measured(request: Request) -> None:
    """Check that what cannot be known of measurements was said."""
    if request.sigma is None:
        accepted = "the standard deviation of the noise in the measurements, or auto to estimate it"
        raise ArgumentError("sigma", None, accepted)
    if request.task == "inpaint-random" and request.mask is None:
        raise ArgumentError("mask", None, "the file of the mask that the measurements were taken with")
    if request.task == "inpaint-box" and request.mask is None and request.box is None:
        accepted = "the file of the mask, or --box for a hole in the middle: its pixels are replaced"
        raise ArgumentError("mask", None, accepted)
    if request.task == "deblur" and request.kernel is None and request.kernel_size is None:
        raise ArgumentError("kernel", None, "the kernel's file, or --kernel-size for a uniform one")
