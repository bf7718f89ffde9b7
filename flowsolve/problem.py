"""The inverse problem y = A x + n: operator, measurements, noise level and, if known, the truth."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import arrays
from .ambient import plain, undisturbed
from .described import Described
from .errors import ArgumentError
from .given import as_tensor, check_images, check_measurements
from .noise import Gaussian, NoiseModel
from .numbers import as_real
from .operators import LinearOperator
from .operators.checks import channels_last

if TYPE_CHECKING:
    from .tasks import Task

AUTO = "auto"
"""In place of a number: to be found from the measurements."""


class InverseProblem(Described):
    """A batch of images measured through one operator; every image is its own problem.

    Parameters
    ----------
    operator : LinearOperator
        The degradation A.
    y : array, shape (N, *codim_shape) or codim_shape
        Measurements, NumPy, CuPy or torch, float32 or float64. A single measurement is taken as N = 1.
    sigma : float or "auto", optional
        Standard deviation of the Gaussian noise, in units of the image range [0, 1]; 0 for none. ``"auto"``
        estimates it from `y` (`flowsolve.noise_level`). With another `noise` its typical level, which starts
        and baselines go by: what the model says unless given.
    noise : NoiseModel, optional
        Another model, such as `flowsolve.noise.Poisson`; objectives take the data term that suits it.
    x_true : array, shape (N, *dim_shape) or dim_shape, optional
        The clean images in [0, 1], for metrics only: no solver sees them.
    task : Task, optional
        The task (`flowsolve.tasks`) that the problem is one of, which has classical restorations of its own.

    Attributes
    ----------
    noise : NoiseModel
        The model; Gaussian of deviation `sigma` unless another was given.
    sigma_estimated : bool
        Whether `sigma` was estimated.

    Raises
    ------
    ArgumentError
        If shapes do not match the operator, a value is not finite, `sigma` is negative, or neither `sigma`
        nor `noise` is given.
    UnsupportedError
        If `sigma` is ``"auto"`` and nothing about the operator tells noise from image.
    """

    @undisturbed
    def __init__(
        self,
        operator: LinearOperator,
        y: Any,
        *,
        sigma: float | str | None = None,
        noise: NoiseModel | None = None,
        x_true: Any = None,
        task: Task | None = None,
    ) -> None:
        if not isinstance(operator, LinearOperator):
            raise ArgumentError("operator", type(operator).__name__, "a flowsolve LinearOperator")
        self.operator, self.task = operator, task
        self.sigma_estimated = isinstance(sigma, str) and sigma == AUTO
        self.y = _as_batch("y", y, operator.codim_shape)
        self.sigma = 0.0 if self.sigma_estimated else _level(sigma, noise, self.y, operator)
        check_measurements("y", self.y, operator, self.sigma)
        self.x_true = None if x_true is None else _as_batch("x_true", x_true, operator.dim_shape).to(self.y)
        if self.x_true is not None:
            check_images("x_true", self.x_true)
        if self.x_true is not None and len(self.x_true) != len(self.y):
            raise ArgumentError("x_true", f"{len(self.x_true)} images", f"{len(self.y)}, as many as in y")
        if operator.n_images not in (None, len(self.y)):
            raise ArgumentError("y", f"{len(self.y)} images", f"{operator.n_images}, as the operator has")
        if self.sigma_estimated:
            from .noise_level import estimate_sigma

            self.sigma = estimate_sigma(operator, self.y)
        self.noise = Gaussian(self.sigma) if noise is None else noise

    def __len__(self) -> int:
        return len(self.y)

    def in_lines(self) -> list[str]:
        """Return what matters, in words."""
        estimated = ", estimated" if self.sigma_estimated else ""
        return [
            f"InverseProblem: {len(self)} image{'s' if len(self) > 1 else ''}",
            f"operator: {self.operator}",
            f"noise: sigma {self.sigma:.4g}{estimated}",
            f"truth: {'not known' if self.x_true is None else 'known'}",
            f"computed: {self.y.dtype} on {self.y.device}",
        ]

    @property
    @undisturbed
    def n_measurements(self) -> torch.Tensor:
        """Number of measured values of each image, shape (N,): all of y but what a mask hides."""
        support = self.operator.support
        if support is None:
            return torch.full((len(self),), math.prod(self.operator.codim_shape), device=self.y.device)
        shown = torch.as_tensor(np.asarray(support)).to(self.y.device).expand_as(self.y)
        return shown.flatten(1).sum(1)

    def in_frame(self, x: Any) -> Any:
        """Return what the measurements show of images (..., H, W): all, or what lies in the frame."""
        frame = self.operator.frame
        return x if frame is None else x[..., frame[0], frame[1]]

    @undisturbed
    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> InverseProblem:
        """Return the problem with its arrays on `device` and of `dtype`."""
        return self._with(lambda a: a.to(device=device, dtype=dtype), self.operator)

    @undisturbed
    def select(self, indices: Sequence[int] | torch.Tensor) -> InverseProblem:
        """Return the problem of the images at `indices` alone."""
        index = torch.as_tensor(indices, device=self.y.device)
        return self._with(lambda a: a[index], self.operator.select(index.cpu().numpy()))

    def _with(
        self, change: Callable[[torch.Tensor], torch.Tensor], operator: LinearOperator
    ) -> InverseProblem:
        # Line searches select images in every trial: what was checked once is not checked again.
        other = copy.copy(self)
        other.operator, other.y = operator, change(self.y)
        other.x_true = None if self.x_true is None else change(self.x_true)
        return other


def degrade(
    operator: LinearOperator,
    x: Any,
    *,
    sigma: float | None = None,
    noise: NoiseModel | None = None,
    seed: int = 0,
) -> Any:
    """Return y = A x + n, with Gaussian noise or that of another model.

    Image i draws its noise from the seed pair (seed, i), so it does not change with the number of images.
    Where the operator measures nothing (a mask's holes) y is 0, without noise.

    Parameters
    ----------
    operator : LinearOperator
        The degradation A.
    x : array, shape (N, *dim_shape) or dim_shape
        Clean images, in [0, 1]; NumPy, CuPy or torch.
    sigma : float, optional
        Standard deviation of Gaussian noise, in units of the image range; 0 for none.
    noise : NoiseModel, optional
        Another model, such as `flowsolve.noise.Poisson`; either this or `sigma`.
    seed : int
        Seed of the noise.

    Returns
    -------
    array of the kind, device and dtype of `x`

    Raises
    ------
    ArgumentError
        If not exactly one of `sigma` and `noise` is given, or one has a bad value; or the images are not
        finite, or in 0..255.
    """
    if (sigma is None) == (noise is None):
        raise ArgumentError("sigma, noise", "neither" if sigma is None else "both", "one of the two")
    if not isinstance(operator, LinearOperator):
        raise ArgumentError("operator", type(operator).__name__, "a flowsolve LinearOperator")
    y = operator.apply(x)
    check_images("x", arrays.to_torch(x))
    if sigma is not None:
        if check_sigma(sigma) == 0:
            return y
        noise = Gaussian(check_sigma(sigma))
    if not isinstance(noise, NoiseModel):
        raise ArgumentError("noise", type(noise).__name__, "a noise model, such as flowsolve.noise.Poisson")
    return noise.corrupt(operator, y, seed=seed)


def _level(
    sigma: float | str | None, noise: NoiseModel | None, y: torch.Tensor, operator: LinearOperator
) -> float:
    """Return the deviation that stands for the noise, having checked that what was given agrees."""
    if noise is None:
        if sigma is None:
            raise ArgumentError("sigma, noise", "neither", "one of the two")
        return check_sigma(sigma)
    if not isinstance(noise, NoiseModel):
        raise ArgumentError("noise", type(noise).__name__, "a noise model, such as flowsolve.noise.Poisson")
    if sigma is None:
        # What a mask hides has no noise.
        support = operator.support
        shown = (
            None if support is None else torch.as_tensor(np.asarray(support), device=y.device).expand_as(y)
        )
        return check_sigma(noise.level(y if shown is None else y[shown][None]))
    if isinstance(noise, Gaussian) and check_sigma(sigma) != noise.sigma:
        raise ArgumentError("sigma", f"{sigma} beside {noise}", "none, or that of the noise")
    return check_sigma(sigma)


def check_sigma(sigma: Any) -> float:
    """Return `sigma` as a float, or raise `ArgumentError` if it is no number >= 0 that a float can hold.

    Numbers of Python, NumPy and torch are taken, also in an array without axes.
    """
    number = as_real(sigma, "sigma", "a finite number >= 0")
    if number < 0:
        raise ArgumentError("sigma", repr(sigma), "a finite number >= 0")
    return number


def _as_batch(argument: str, value: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """Return `value` as a finite float torch tensor of shape (N, *shape)."""
    # Its history is not ours to differentiate: solvers take gradients with respect to images and latents.
    tensor = plain(as_tensor(argument, value))
    if tensor.ndim == len(shape):
        tensor = tensor[None]
    if tuple(tensor.shape[1:]) != tuple(shape) or len(tensor) == 0:
        given, accepted = tuple(tensor.shape), f"(N, {', '.join(map(str, shape))})"
        raise ArgumentError(argument, f"shape {given}", accepted + channels_last(given, tuple(shape)))
    if not torch.isfinite(tensor).all():
        raise ArgumentError(argument, "NaN or infinite values", "finite values")
    return tensor
