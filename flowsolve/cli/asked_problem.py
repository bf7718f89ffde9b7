"""The inverse problem that a request is about: images read, degraded or taken as measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from .. import presets, tasks
from ..arrays import from_host
from ..errors import ArgumentError
from ..flows import FlowPrior
from ..images import Group, ImageSet, grouped, read_each, read_images
from ..measurements import read_measurements
from ..noise import parse_noise
from ..operators import LinearOperator
from ..problem import AUTO, InverseProblem, check_sigma, degrade
from ..sources import Source
from .job import preset_task
from .request import Request


def read_groups(request: Request, task: tasks.Task, prior: FlowPrior) -> list[Group | None]:
    """Return the images of a request in batches of one size, grey and colour apart.

    None stands for what an operator measured, which is no image and is read with the problem.

    Raises
    ------
    ArgumentError
        If a file cannot be used, or clean images are not of the size that the prior is for.
    """
    if request.measured and isinstance(task, tasks.OperatorTask):
        return [None]
    size = None if request.measured else prior.size

    def check(source: Source, x: np.ndarray) -> None:
        height, width = x.shape[-2:]
        if size is not None and (height, width) != tuple(size):
            given = f"{source.label} of {width}x{height} pixels (width x height)"
            accepted = f"images of {size[1]}x{size[0]} pixels (width x height), as {prior.name} is for"
            raise ArgumentError("images", given, f"{accepted}; natural is for any")

    clean = not request.measured
    found = read_each(request.images, limit=request.limit, reading=request.reading, clean=clean, check=check)
    return [*grouped(found)]


def make_problem(
    request: Request, task: tasks.Task, prior: FlowPrior, images: Group | ImageSet | None
) -> tuple[InverseProblem, list[str]]:
    """Return the problem of a request and the names of its images.

    Parameters
    ----------
    request : Request
        What was asked.
    task : Task
        Its task.
    prior : FlowPrior
        The prior, on whose device and in whose dtype the problem is.
    images : Group or ImageSet, optional
        The images, of one size; None for what an operator measured.

    Raises
    ------
    ArgumentError
        If images, mask, kernel or sizes cannot be used.
    """
    if images is None:
        assert isinstance(task, tasks.OperatorTask)
        return _measured_by(task, request, prior)
    channels = images.x.shape[1]
    if channels not in (1, prior.channels) and prior.channels is not None:
        given = f"{channels} channels, with the prior {prior.name} of {prior.channels}"
        raise ArgumentError("images", given, "grey images, or a prior of colour images")
    n = len(images.x)
    height, width = images.x.shape[-2:]
    if request.measured:
        size = (height, width)
        task = task.for_measurements(lambda other: prior.size in (None, other.image_size(size)))
        height, width = _measured_size(task, prior, size)
    if request.limit is not None:
        task = _limited(task, n)
    operator, sigma = _operator(request, task, (channels, height, width), n)
    noise = None if request.noise is None else parse_noise(request.noise)
    x = torch.as_tensor(images.x).to(device=prior.device, dtype=prior.dtype)
    if not request.measured:
        drawn = task.sigma if sigma == AUTO else check_sigma(sigma)
        how = {"sigma": drawn} if noise is None else {"noise": noise}
        y = degrade(operator, x, seed=request.seed, **how)
        said = {"sigma": sigma} if noise is None else {"noise": noise}
        return InverseProblem(operator, y, x_true=x, task=task, **said), images.names
    if operator.support is not None:
        # What a photograph shows in its holes was not measured.
        x = x * from_host(np.asarray(operator.support, dtype=np.float64), x)
    said = {"sigma": sigma} if noise is None else {"noise": noise}
    return InverseProblem(operator, x, task=task, **said), images.names


def _measured_by(
    task: tasks.OperatorTask, request: Request, prior: FlowPrior
) -> tuple[InverseProblem, list[str]]:
    """Return the problem of what an operator measured, and the names of the measurements."""
    size = prior.size
    shape = task.dim_shape or (None if size is None else (3, *size))
    if shape is None:
        height, width = read_images(request.images, limit=1, clean=False).x.shape[-2:]
        shape = (3, height, width)
    operator = task.operator(shape, seed=request.seed)
    found = read_measurements(request.images, operator.codim_shape, limit=request.limit)
    y = torch.as_tensor(found.x).to(device=prior.device, dtype=prior.dtype)
    if operator.support is not None:
        y = y * from_host(np.asarray(operator.support, dtype=np.float64), y)
    said: dict[str, Any] = {"sigma": request.sigma}
    if request.noise is not None:
        said = {"noise": parse_noise(request.noise)}
    return InverseProblem(operator, y, task=task, **said), found.names


def _limited(task: tasks.Task, n: int) -> tasks.Task:
    """Return the task with the first so many masks, where each image has its own."""
    mask = getattr(task, "mask", None)
    if getattr(mask, "ndim", 0) != 4:
        return task
    return dataclasses.replace(task, mask=mask[:n])  # type: ignore[call-arg]


def _operator(
    request: Request, task: tasks.Task, shape: tuple[int, int, int], n: int
) -> tuple[LinearOperator, float | str]:
    """Return the operator and the noise level: the preset's for clean images, else the task's."""
    if request.preset is not None and not request.measured:
        preset, key = presets.registry.get(request.preset, "preset"), preset_task(request)
        sigma = preset.sigma.get(key, 0.0) if request.sigma is None else request.sigma
        return preset.operators[key](shape, n, request.seed), sigma
    operator = task.operator(shape, n_images=n, seed=request.seed)
    return operator, task.sigma if request.sigma is None else request.sigma


def _measured_size(task: tasks.Task, prior: FlowPrior, size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the images that were measured, having asked whether the prior takes them."""
    height, width = task.image_size(size)
    if prior.size is not None and (height, width) != prior.size:
        given = f"measurements of {size[1]}x{size[0]} pixels, that is, images of {width}x{height}"
        raise ArgumentError("images", given, f"images of {prior.size[1]}x{prior.size[0]}")
    return height, width
