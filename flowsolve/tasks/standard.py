"""The tasks that come with the package.

Over images the usual start is the classical restoration from which validation faces came out best; over
latents it is z = 0, since encoded images lead into poor basins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from ..images import SCALES, read_kernel, read_mask
from ..operators import Blur, Downsample, Identity, LinearOperator, Mask, ValidBlur
from ..operators.boundaries import BOUNDARIES
from .base import Size, Task, register_task
from .options import option

Shape = tuple[int, int, int]

CROP = "crop"
"""The boundary that asks for none: the image is larger than what was measured."""

UNIFORM = 7
"""Side of the uniform blur."""


def _mask(path: str | Path, options: Mapping[str, Any]) -> np.ndarray:
    return read_mask(path)


def _kernel(path: str | Path, options: Mapping[str, Any]) -> np.ndarray:
    return read_kernel(path, scale=options.get("kernel_scale"))


@register_task("deblur")
@dataclass(frozen=True, eq=False)
class Deblur(Task):
    """Undo a blur, 7x7 uniform or by a given kernel."""

    kernel_size: int | None = option(None, "Side of the uniform blur (7).", least=1)
    kernel: np.ndarray | None = option(
        None, "Blur kernel: an image or a .npy file.", read=_kernel, read_with=("kernel_scale",)
    )
    kernel_scale: str | None = option(
        None, "For a kernel whose sum is not 1: divide by it, or take it as it is.", choices=SCALES
    )
    boundary: str | None = option(
        None,
        "What lies beyond the edge (circular; of measurements crop: an image larger than they are).",
        choices=(*BOUNDARIES, CROP),
    )

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the blur."""
        kernel: Any = self.kernel
        if kernel is None:
            kernel = {"uniform": {"size": _side("kernel-size", self.kernel_size, UNIFORM, dim_shape)}}
        if self.boundary == CROP:
            return ValidBlur(kernel, dim_shape)
        return Blur(kernel, dim_shape, self.boundary or "circular")

    def image_size(self, size: Size) -> Size:
        """Return `size`, for ``crop`` larger by the kernel's size less one."""
        if self.boundary != CROP:
            return size
        side = self.kernel_size or UNIFORM
        rows, columns = (side, side) if self.kernel is None else self.kernel.shape[-2:]
        return size[0] + rows - 1, size[1] + columns - 1

    def for_measurements(self, fits: Callable[[Task], bool]) -> Deblur:
        """Return the task with the boundary of a camera, or, for a prior of one size, its mirror image."""
        if self.boundary is not None:
            return self
        camera = replace(self, boundary=CROP)
        return camera if fits(camera) else replace(self, boundary="reflect")

    def notes(self) -> list[str]:
        """Say what is assumed beyond the edges of measurements."""
        if self.boundary != CROP:
            return [f"boundary {self.boundary}"] if self.boundary else []
        return [
            "boundary crop: the image reaches beyond what was measured; what is restored there is cut off"
        ]

    def check_measured(self) -> None:
        """Ask for the kernel."""
        if self.kernel is None and self.kernel_size is None:
            raise ArgumentError("kernel", None, "the kernel's file, or --kernel-size for a uniform one")


@register_task("super-resolution")
@dataclass(frozen=True, eq=False)
class SuperResolution(Task):
    """Restore the resolution that means over blocks took (2x2 unless told)."""

    starts: ClassVar[Mapping[str, str]] = {"analysis": "back-projection", "synthesis": "zeros"}

    factor: int = option(2, "How many rows, and columns, become one.", least=1)

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the downsampling."""
        return Downsample(_side("factor", self.factor, 2, dim_shape), dim_shape)

    def image_size(self, size: Size) -> Size:
        """Return `size` times the factor."""
        return (size[0] * self.factor, size[1] * self.factor)


@register_task("inpaint-random")
@dataclass(frozen=True, eq=False)
class InpaintRandom(Task):
    """Fill in missing pixels, 60 % at random with a mask for each image (or given masks)."""

    sigma: ClassVar[float] = 0.0
    starts: ClassVar[Mapping[str, str]] = {"analysis": "harmonic", "synthesis": "zeros"}

    missing: float = option(0.6, "Fraction of missing pixels.")
    mask: np.ndarray | None = option(
        None, "Mask: an image, bright where measured, or a .npy file.", read=_mask
    )

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the masks."""
        if self.mask is not None:
            return Mask(self.mask, dim_shape)
        return Mask.random(self.missing, dim_shape=dim_shape, seed=seed, n_images=n_images)

    def check_measured(self) -> None:
        """Ask for the mask."""
        if self.mask is None:
            raise ArgumentError("mask", None, "the file of the mask that the measurements were taken with")


@register_task("inpaint-box")
@dataclass(frozen=True, eq=False)
class InpaintBox(Task):
    """Fill in a hole in the middle, 21x21 unless told (or a given mask)."""

    sigma: ClassVar[float] = 0.0
    starts: ClassVar[Mapping[str, str]] = {"analysis": "harmonic", "synthesis": "zeros"}

    box: int | None = option(None, "Side of the hole (21).", least=1)
    mask: np.ndarray | None = option(
        None, "Mask: an image, bright where measured, or a .npy file.", read=_mask
    )

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the mask."""
        if self.mask is not None:
            return Mask(self.mask, dim_shape)
        return Mask.box(_side("box", self.box, 21, dim_shape), dim_shape=dim_shape)

    def check_measured(self) -> None:
        """Ask for the mask, or for the hole."""
        if self.mask is None and self.box is None:
            accepted = "the file of the mask, or --box for a hole in the middle: its pixels are replaced"
            raise ArgumentError("mask", None, accepted)


@register_task("denoise")
@dataclass(frozen=True, eq=False)
class Denoise(Task):
    """Remove Gaussian noise."""

    sigma: ClassVar[float] = 0.1

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the identity."""
        return Identity(dim_shape)


def _side(argument: str, given: int | None, default: int, dim_shape: Shape) -> int:
    """Return a number of pixels that fits into the image, `default` if none is given."""
    largest = min(dim_shape[1:])
    side = default if given is None else given
    if not 1 <= side <= largest:
        raise ArgumentError(argument, side, f"an integer from 1 to {largest}")
    return side
