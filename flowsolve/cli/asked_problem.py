"""The inverse problem that a request is about: images read, degraded or taken as measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from .. import presets, tasks
from ..arrays import from_host
from ..errors import ArgumentError
from ..flows import FlowPrior
from ..images import ImageSet, read_images, read_kernel, read_mask
from ..operators import LinearOperator
from ..problem import AUTO, InverseProblem, check_sigma, degrade
from .job import preset_task
from .request import Request


def make_problem(
    request: Request, task: tasks.Task, prior: FlowPrior, images: ImageSet | None
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
    images : ImageSet, optional
        Images to take instead of reading those of the request.

    Raises
    ------
    ArgumentError
        If images, mask, kernel or sizes cannot be used.
    """
    if prior.channels not in (3, None):
        raise ArgumentError("prior", f"{prior.name}, of {prior.channels} channels", "a prior of RGB images")
    options = tasks.TaskOptions(
        factor=request.factor,
        kernel_size=request.kernel_size,
        missing=request.missing,
        box=request.box,
        mask=None if request.mask is None else read_mask(request.mask),
        kernel=None if request.kernel is None else read_kernel(request.kernel, scale=request.kernel_scale),
    )
    if images is None:
        size = None if request.measured else prior.size
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
