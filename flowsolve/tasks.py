"""The named tasks: which operator each stands for, and what is sensible where nothing is said.

A task is an operator with habits: a noise level, a start for each formulation, the classical
restorations it is compared with. Over images the usual start is the classical restoration from which
validation faces came out best; over latents it is z = 0, since encoded images lead into poor basins.
Anything else is `InverseProblem` and `solve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from . import baselines
from .errors import ArgumentError
from .operators import Blur, Downsample, Identity, LinearOperator, Mask
from .problem import InverseProblem
from .registry import Registry


@dataclass(frozen=True)
class TaskOptions:
    """What the operators of tasks can be told; None leaves it to the task.

    Attributes
    ----------
    factor : int, optional
        How many rows, and columns, become one in super-resolution.
    kernel_size : int, optional
        Side of the uniform blur.
    missing : float, optional
        Fraction of missing pixels.
    box : int, optional
        Side of the hole.
    mask : numpy.ndarray, optional
        Mask to use instead, of shape (H, W), (1 or C, H, W) or (N, 1 or C, H, W).
    kernel : numpy.ndarray, optional
        Kernel to use instead, of shape (h, w) or (C, h, w).
    """

    factor: int | None = None
    kernel_size: int | None = None
    missing: float | None = None
    box: int | None = None
    mask: np.ndarray | None = None
    kernel: np.ndarray | None = None


class Task(ABC):
    """A named task; subclasses say how to build its operator.

    Attributes
    ----------
    name : str
        Name, as registered.
    sigma : float
        Usual standard deviation of the noise.
    starts : mapping of str to str
        Usual start of each formulation.
    takes : tuple of str
        Which of `TaskOptions` concern the task.
    """

    name: ClassVar[str]
    sigma: ClassVar[float] = 0.01
    starts: ClassVar[Mapping[str, str]]
    takes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the task's operator."""

    def operator(
        self,
        dim_shape: tuple[int, int, int],
        *,
        n_images: int = 1,
        seed: int = 0,
        options: TaskOptions | None = None,
    ) -> LinearOperator:
        """Return the task's operator, having checked that the options are ones it takes.

        Parameters
        ----------
        dim_shape : (int, int, int)
            Shape (C, H, W) of an image.
        n_images : int
            Number of images, where each has parameters of its own.
        seed : int
            Seed of random parameters.
        options : TaskOptions, optional
            Options; by default those of `TaskOptions`.

        Raises
        ------
        ArgumentError
            If an option does not concern the task, or has a bad value.
        """
        options = TaskOptions() if options is None else options
        for option in fields(options):
            if getattr(options, option.name) is not None and option.name not in self.takes:
                tasks = [name for name in registry if option.name in registry.get(name).takes]
                argument = option.name.replace("_", "-")
                accepted = f"none; it is for {' and '.join(tasks)}"
                raise ArgumentError(argument, f"one for the task {self.name}", accepted)
        return self.build(dim_shape, n_images, seed, options)

    def image_size(self, size: tuple[int, int], options: TaskOptions) -> tuple[int, int]:
        """Return height and width of the images whose measurements have height and width `size`."""
        return size

    def baselines(self, problem: InverseProblem) -> dict[str, baselines.Baseline]:
        """Return the classical restorations to compare with, by name: those that suit the operator."""
        return baselines.suited_baselines(problem)


registry: Registry[Task] = Registry("task", "flowsolve.tasks")


class Deblur(Task):
    """Undo a circular blur (7x7 uniform, or a given kernel)."""

    name = "deblur"
    starts: ClassVar[Mapping[str, str]] = {"analysis": "total-variation", "synthesis": "zeros"}
    takes = ("kernel_size", "kernel")

    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the blur."""
        if options.kernel is not None:
            return Blur(options.kernel, dim_shape)
        return Blur.uniform(_side("kernel-size", options.kernel_size, 7, dim_shape), dim_shape)


class SuperResolution(Task):
    """Restore the resolution that means over blocks took (2x2 unless told)."""

    name = "super-resolution"
    starts: ClassVar[Mapping[str, str]] = {"analysis": "back-projection", "synthesis": "zeros"}
    takes = ("factor",)

    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the downsampling."""
        return Downsample(_side("factor", options.factor, 2, dim_shape), dim_shape)

    def image_size(self, size: tuple[int, int], options: TaskOptions) -> tuple[int, int]:
        """Return `size` times the factor."""
        factor = 2 if options.factor is None else options.factor
        return (size[0] * factor, size[1] * factor)


class InpaintRandom(Task):
    """Fill in missing pixels, 60 % at random with a mask for each image (or given masks)."""

    name = "inpaint-random"
    sigma = 0.0
    starts: ClassVar[Mapping[str, str]] = {"analysis": "harmonic", "synthesis": "zeros"}
    takes = ("missing", "mask")

    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the masks."""
        if options.mask is not None:
            return Mask(options.mask, dim_shape)
        missing = 0.6 if options.missing is None else options.missing
        return Mask.random(missing, dim_shape=dim_shape, seed=seed, n_images=n_images)


class InpaintBox(Task):
    """Fill in a hole in the middle, 21x21 unless told (or a given mask)."""

    name = "inpaint-box"
    sigma = 0.0
    starts: ClassVar[Mapping[str, str]] = {"analysis": "harmonic", "synthesis": "zeros"}
    takes = ("box", "mask")

    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the mask."""
        if options.mask is not None:
            return Mask(options.mask, dim_shape)
        return Mask.box(_side("box", options.box, 21, dim_shape), dim_shape=dim_shape)


class Denoise(Task):
    """Remove Gaussian noise."""

    name = "denoise"
    sigma = 0.1
    starts: ClassVar[Mapping[str, str]] = {"analysis": "total-variation", "synthesis": "zeros"}

    def build(
        self, dim_shape: tuple[int, int, int], n_images: int, seed: int, options: TaskOptions
    ) -> LinearOperator:
        """Return the identity."""
        return Identity(dim_shape)


for _task in (Deblur(), SuperResolution(), InpaintRandom(), InpaintBox(), Denoise()):
    registry.register(_task.name)(_task)


def _side(argument: str, given: int | None, default: int, dim_shape: tuple[int, int, int]) -> int:
    """Return a number of pixels that fits into the image, `default` if none is given."""
    largest = min(dim_shape[1:])
    side = default if given is None else given
    if not 1 <= side <= largest:
        raise ArgumentError(argument, side, f"an integer from 1 to {largest}")
    return side
