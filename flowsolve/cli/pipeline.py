"""From what was asked on the command line to a restored batch with its files.

Everything that was asked is checked, and every input read, before the output folder is touched.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import initialise, presets, solvers, tasks
from ..arrays import from_host, to_numpy
from ..errors import ArgumentError
from ..flows import FlowPrior, load_prior
from ..images import ImageSet, read_images, read_kernel, read_mask
from ..objectives import FORMULATIONS, Objective
from ..operators import LinearOperator
from ..problem import InverseProblem, check_sigma, degrade
from ..result import Result
from ..run import Run
from ..solvers.base import solver_name
from ..threads import check_threads, use_threads
from .job import check_job, make_job, preset_task
from .output import OutputFolder
from .progress import ProgressLine

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Request:
    """What was asked; the fields are the options of ``flowsolve solve``."""

    images: tuple[Path, ...]
    task: str
    out: Path
    sigma: float | None = None
    formulation: str = "analysis"
    phi: str | None = None
    lam: str = "map"
    solver: str = "lbfgs"
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
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    threads: int | None = None
    force: bool = False

    def replaced(self, **changes: Any) -> Request:
        """Return the request with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Outcome:
    """A finished run with what it is compared with.

    Attributes
    ----------
    request : Request
        What was asked.
    problem : InverseProblem
        The problem, with the truth where it is known.
    objective : Objective
        What was minimised.
    start : str
        Name of the start.
    names : list of str
        Names of the images.
    result : Result
        What the solver found.
    restored : numpy.ndarray, shape (N, C, H, W)
        The restored images.
    baselines : dict of str to numpy.ndarray
        Classical restorations.
    folder : OutputFolder
        Where the files are.
    """

    request: Request
    problem: InverseProblem
    objective: Objective
    start: str
    names: list[str]
    result: Result
    restored: np.ndarray
    baselines: dict[str, np.ndarray]
    folder: OutputFolder


def run(request: Request, images: ImageSet | None = None) -> Outcome:
    """Do what was asked, with a progress line on standard error, and write the files.

    Parameters
    ----------
    request : Request
        What was asked.
    images : ImageSet, optional
        Images to take instead of reading those of the request.

    Raises
    ------
    FlowsolveError
        If something that was asked cannot be done; the output folder is as it was.
    """
    from .files import write_files

    folder = OutputFolder(request.out)
    task = _check(request)
    folder.check(force=request.force)
    if request.threads is not None:
        use_threads(request.threads)
    prior = load_prior(request.prior, device=request.device, dtype=DTYPES[request.dtype])
    problem, names = _problem(request, task, prior, images)
    folder.check_images(names)
    job = make_job(request, task, problem, prior)
    objective, limits = job.objective, job.limits
    run = Run(objective, job.solver, job.start, limits=limits, seed=request.seed)
    folder.begin()
    run.record_to(folder.record, force=request.force)
    label = f"{request.task} · {len(problem)} image{'s' if len(problem) > 1 else ''}"
    budget = {name: limit for name, limit in limits.items() if name != "rtol"}
    with ProgressLine(label, **budget) as line, run:
        for progress in run:
            line.update(progress)
    result = job.finish(run.result())
    truth = problem.x_true is not None
    classical = {name: to_numpy(f(job.problem)) for name, f in task.baselines(truth=truth).items()}
    outcome = Outcome(
        request=request if request.preset is None else request.replaced(solver=solver_name(job.solver)),
        problem=job.problem,
        objective=job.reported,
        start=job.start_name,
        names=names,
        result=result,
        restored=to_numpy(result.x),
        baselines=classical,
        folder=folder,
    )
    write_files(outcome)
    return outcome


def _check(request: Request) -> tasks.Task:
    """Check names and numbers that need neither the prior nor the images, and return the task."""
    task = tasks.registry.get(request.task)
    for argument, given, choices in (
        ("formulation", request.formulation, FORMULATIONS),
        ("dtype", request.dtype, DTYPES),
    ):
        if given not in choices:
            raise ArgumentError(argument, repr(given), " or ".join(choices))
    solvers.registry.get(request.solver)
    if request.init is not None:
        initialise.registry.get(request.init.removeprefix(initialise.ENCODED), "init")
    check_job(request)
    if request.sigma is not None:
        check_sigma(request.sigma)
    for argument, number, least in (
        ("limit", request.limit, 1),
        ("seed", request.seed, 0),
        ("max-iter", request.max_iter, 0),
        ("max-evaluations", request.max_evaluations, 1),
        ("restarts", request.restarts, 1),
    ):
        if number is not None and number < least:
            raise ArgumentError(argument, number, f"an integer >= {least}")
    if request.threads is not None:
        check_threads(request.threads)
    if request.max_seconds is not None and not request.max_seconds > 0:
        raise ArgumentError("max-seconds", request.max_seconds, "a number > 0")
    if request.kernel_scale is not None and request.kernel is None:
        raise ArgumentError("kernel-scale", request.kernel_scale, "none without --kernel")
    if request.measured:
        _check_measured(request)
    return task


def _check_measured(request: Request) -> None:
    """Check that what cannot be known of measurements was said."""
    if request.sigma is None:
        raise ArgumentError("sigma", None, "the standard deviation of the noise in the measurements")
    if request.task == "inpaint-random" and request.mask is None:
        raise ArgumentError("mask", None, "the file of the mask that the measurements were taken with")
    if request.task == "inpaint-box" and request.mask is None and request.box is None:
        accepted = "the file of the mask, or --box for a hole in the middle: its pixels are replaced"
        raise ArgumentError("mask", None, accepted)
    if request.task == "deblur" and request.kernel is None and request.kernel_size is None:
        raise ArgumentError("kernel", None, "the kernel's file, or --kernel-size for a uniform one")


def _problem(
    request: Request, task: tasks.Task, prior: FlowPrior, images: ImageSet | None
) -> tuple[InverseProblem, list[str]]:
    """Return the problem, on the prior's device and in its dtype, and the names of its images."""
    config = prior.config
    if config.channels != 3:
        raise ArgumentError("prior", f"{prior.name}, of {config.channels} channels", "a prior of RGB images")
    options = tasks.TaskOptions(
        factor=request.factor,
        kernel_size=request.kernel_size,
        missing=request.missing,
        box=request.box,
        mask=None if request.mask is None else read_mask(request.mask),
        kernel=None if request.kernel is None else read_kernel(request.kernel, scale=request.kernel_scale),
    )
    if images is None:
        size = None if request.measured else config.size
        images = read_images(request.images, limit=request.limit, size=size, clean=not request.measured)
    n = len(images.x)
    height, width = images.x.shape[-2:]
    if request.measured:
        height, width = _measured_size(task, prior, (height, width), options)
    if options.mask is not None and options.mask.ndim == 4 and request.limit is not None:
        options = dataclasses.replace(options, mask=options.mask[:n])
    operator, sigma = _operator(request, task, (3, height, width), n, options)
    x = torch.as_tensor(images.x).to(device=prior.device, dtype=prior.dtype)
    if not request.measured:
        y = degrade(operator, x, sigma=sigma, seed=request.seed)
        return InverseProblem(operator, y, sigma=sigma, x_true=x), images.names
    if operator.support is not None:
        # What a photograph shows in its holes was not measured.
        x = x * from_host(np.asarray(operator.support, dtype=np.float64), x)
    return InverseProblem(operator, x, sigma=sigma), images.names


def _operator(
    request: Request, task: tasks.Task, shape: tuple[int, int, int], n: int, options: tasks.TaskOptions
) -> tuple[LinearOperator, float]:
    """Return the operator and the noise level: the preset's for clean images, else the task's."""
    if request.preset is not None and not request.measured:
        preset, key = presets.registry.get(request.preset, "preset"), preset_task(request)
        sigma = preset.sigma.get(key, 0.0) if request.sigma is None else request.sigma
        return preset.operators[key](shape, n, request.seed), sigma
    operator = task.operator(shape, n_images=n, seed=request.seed, options=options)
    return operator, task.sigma if request.sigma is None else request.sigma


def _measured_size(
    task: tasks.Task, prior: FlowPrior, size: tuple[int, int], options: tasks.TaskOptions
) -> tuple[int, int]:
    """Return height and width of the images that were measured, having asked whether the prior takes them."""
    height, width = task.image_size(size, options)
    config = prior.config
    if config.size is not None and (height, width) != config.size:
        given = f"measurements of {size[1]}x{size[0]} pixels, that is, images of {width}x{height}"
        raise ArgumentError("images", given, f"images of {config.size[1]}x{config.size[0]}")
    return height, width
