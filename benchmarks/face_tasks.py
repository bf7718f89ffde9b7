"""The tasks on aligned 64x64 faces that several benchmarks share: those of Oberlin & Verm, and with noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

import flowsolve as fs
from flowsolve.operators import Blur, Downsample, Identity, LinearOperator, Mask

SHAPE = (3, 64, 64)


@dataclass(frozen=True)
class FaceTask:
    """An operator and a noise level.

    Attributes
    ----------
    title : str
        For tables.
    operator : callable
        ``(number of images, seed) -> LinearOperator``.
    sigma : float
        Standard deviation of the noise.
    preset : str or None
        Task of the preset ``oberlin-verm-2021`` whose constants fit.
    """

    title: str
    operator: Callable[[int, int], LinearOperator]
    sigma: float
    preset: str | None = None

    def problem(self, x: torch.Tensor, seed: int = 0) -> fs.InverseProblem:
        """Return the measurements of clean images."""
        operator = self.operator(len(x), seed)
        y = fs.degrade(operator, x, sigma=self.sigma, seed=seed)
        return fs.InverseProblem(operator, y, sigma=self.sigma, x_true=x)


def _blur(n: int, seed: int) -> LinearOperator:
    return Blur.uniform(7, SHAPE)


def _random(n: int, seed: int) -> LinearOperator:
    return Mask.random(0.6, dim_shape=SHAPE, seed=seed, n_images=n)


def _box(n: int, seed: int) -> LinearOperator:
    return Mask.box(21, dim_shape=SHAPE)


def _by(factor: int) -> Callable[[int, int], LinearOperator]:
    return lambda n, seed: Downsample(factor, SHAPE)


FACE_TASKS = {
    "deblur": FaceTask("deblurring 7x7, σ = 0.01", _blur, 0.01, "deblur"),
    "sr2": FaceTask("SR×2, σ = 0.01", _by(2), 0.01, "super-resolution-2"),
    "sr4": FaceTask("SR×4, σ = 0.01", _by(4), 0.01, "super-resolution-4"),
    "random": FaceTask("random inpainting 60 %, σ = 0", _random, 0.0, "inpaint-random"),
    "box": FaceTask("centre inpainting 21x21, σ = 0", _box, 0.0, "inpaint-box"),
    "denoise": FaceTask("denoising, σ = 0.1", lambda n, seed: Identity(SHAPE), 0.1),
}
"""The five tasks of Oberlin & Verm, with noise where they are without it trivial, and denoising."""

FIVE = ("deblur", "sr2", "sr4", "random", "box")
