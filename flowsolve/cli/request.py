"""What was asked of ``flowsolve solve``, and what of it can be checked before anything is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import initialise, methods, solvers, tasks
from ..alpha import ALPHA, read_alpha
from ..encoding import file_kind
from ..errors import ArgumentError
from ..layouts import Reading, parse_range
from ..metrics import Measures
from ..noise import parse_noise
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
    noise: str | None = None
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
    operator: tuple[str, Mapping[str, Any]] | None = None
    task_option: Mapping[str, Any] = field(default_factory=dict)
    measured: bool = False
    baselines: bool = True
    metrics: tuple[str, ...] = ("psnr",)
    metric_every: int = 1
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
    task = _task(request)
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
    _check_noise(request)
    Measures(request.metrics, request.metric_every)
    if request.measured:
        if request.sigma is None and request.noise is None:
            accepted = "the standard deviation of the noise in the measurements, or auto to estimate it"
            raise ArgumentError("sigma", None, accepted)
        task.check_measured()
    return task


def _check_files(request: Request) -> None:
    """Check what was said about files and tiles."""
    file_kind(request.dtype_out, request.format)
    _ = request.reading
    if isinstance(request.tiles, str) and request.tiles not in ("auto", "off"):
        raise ArgumentError("tile", repr(request.tile), "auto, off or a number of pixels")
    if request.restarts != 1 and isinstance(request.tiles, int):
        raise ArgumentError("tile", f"{request.tile} with several starts", "off, or one start")


def _task(request: Request) -> tasks.Task:
    """Return the task with its options; the files of those are read."""
    options = dict(request.task_option)
    if request.operator is not None:
        for given, name in ((request.preset, "preset"), (next(iter(options), None), "task-option")):
            if given is not None:
                raise ArgumentError(name, f"{given} beside --operator", "none: it is for tasks")
        return tasks.operator_task(*request.operator)
    if options.get("mask") == ALPHA:
        tasks.check_options(request.task, options)
        options["mask"] = read_alpha(request.images, request.limit)
    return tasks.make_task(request.task, options)


def _check_noise(request: Request) -> None:
    """Check that the noise is a model, and the only thing that is said of it."""
    if request.noise is None:
        return
    if request.sigma is not None:
        raise ArgumentError("sigma", f"{request.sigma} beside --noise", "one of the two")
    if request.preset is not None:
        raise ArgumentError("noise", "one together with a preset", "--sigma: presets are of Gaussian noise")
    parse_noise(request.noise)


def _check_method(request: Request) -> None:
    """Check that a method is there, and that nothing else says how to restore."""
    if request.method is None:
        return
    if request.explicit:
        given = f"together with --{request.explicit[0].replace('_', '-')}"
        raise ArgumentError("method", given, "one of the two: a method decides all of that itself")
    methods.check_name(request.method)
