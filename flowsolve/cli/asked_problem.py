"""The inverse problem that a request is about: images read, degraded or taken as measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from .. import presets, tasks
from ..arrays import from_host
from ..errors import ArgumentError
from ..flows import FlowPrior
from ..images import Group, ImageSet, grouped, read_each, read_kernel, read_mask
from ..operators import LinearOperator
from ..problem import AUTO, InverseProblem, check_sigma, degrade
from ..sources import Source
from .job import preset_task
from .request import Request


def read_groups(request: Request, prior: FlowPrior) -> list[Group]:
    """Return the images of a request in batches of one size, grey and colour apart.

    Raises
    ------
    ArgumentError
        If a file cannot be used, or clean images are not of the size that the prior is for.
    """
    size = None if request.measured else prior.size

    def check(source: Source, x: np.ndarray) -> None:
        height, width = x.shape[-2:]
        if size is not None and (height, width) != tuple(size):
            given = f"{source.label} of {width}x{height} pixels (width x height)"
            accepted = f"images of {size[1]}x{size[0]} pixels (width x height), as {prior.name} is for"
            raise ArgumentError("images", given, f"{accepted}; natural is for any")

    clean = not request.measured
    return grouped(
        read_each(request.images, limit=request.limit, reading=request.reading, clean=clean, check=check)
    )


def make_problem(
    request: Request, task: tasks.Task, prior: FlowPrior, images: Group | ImageSet
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
    images : Group or ImageSet
        The images, of one size.

    Raises
    ------
    ArgumentError
        If images, mask, kernel or sizes cannot be used.
    """
    channels = images.x.shape[1]
    if channels not in (1, prior.channels) and prior.channels is not None:
        given = f"{channels} channels, with the prior {prior.name} of {prior.channels}"
        raise ArgumentError("images", given, "grey images, or a prior of colour images")
    options = tasks.TaskOptions(
        factor=request.factor,
        kernel_size=request.kernel_size,
        missing=request.missing,
        box=request.box,
        mask=None if request.mask is None else read_mask(request.mask),
        kernel=None if request.kernel is None else read_kernel(request.kernel, scale=request.kernel_scale),
    )
    n = len(images.x)
    height, width = images.x.shape[-2:]
    if request.measured:
        height, width = _measured_size(task, prior, (height, width), options)
    if options.mask is not None and options.mask.ndim == 4 and request.limit is not None:
        options = dataclasses.replace(options, mask=options.mask[:n])
    operator, sigma = _operator(request, task, (channels, height, width), n, options)
    x = torch.as_tensor(images.x).to(device=prior.device, dtype=prior.dtype)
    if not request.measured:
        drawn = task.sigma if sigma == AUTO else check_sigma(sigma)
        y = degrade(operator, x, sigma=drawn, seed=request.seed)
        return InverseProblem(operator, y, sigma=sigma, x_true=x), images.names
    if operator.support is not None:
        # What a photograph shows in its holes was not measured.
        x = x * from_host(np.asarray(operator.support, dtype=np.float64), x)
    return InverseProblem(operator, x, sigma=sigma), images.names


def _operator(
    request: Request, task: tasks.Task, shape: tuple[int, int, int], n: int, options: tasks.TaskOptions
) -> tuple[LinearOperator, float | str]:
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
    if prior.size is not None and (height, width) != prior.size:
        given = f"measurements of {size[1]}x{size[0]} pixels, that is, images of {width}x{height}"
        raise ArgumentError("images", given, f"images of {prior.size[1]}x{prior.size[0]}")
    return height, width
