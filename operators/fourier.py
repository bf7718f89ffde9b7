"""Subsampled Fourier transform of real images: magnetic resonance imaging with a single coil."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_shape
from .config import encode_array
from .recipes import resolve_mask
from .registration import register_operator


@register_operator("fourier")
class Fourier(LinearOperator):
    """Orthonormal Fourier transform of each channel, times a sampling mask.

    Measurements stay real: the last axis holds real and imaginary part, shape
    ``(C, H, W, 2)``, with zeros where the mask is zero. The zero frequency is at index
    (0, 0) of mask and measurement, as :func:`numpy.fft.fft2` has it; ``numpy.fft.fftshift``
    puts it in the middle for the eye.

    Parameters
    ----------
    mask : array or mapping
        Weight of each frequency, any finite numbers: at most three axes that broadcast to
        `dim_shape`, or four, ``(N, C or 1, H, W)``, one mask for each of N images. Or a
        recipe: ``{"lines": {"acceleration": 4, "centre": 0.08, "seed": 0}}`` for whole
        columns, the middle ones always (Zbontar et al., "fastMRI", arXiv:1811.08839, 2018);
        or ``{"points": {"acceleration": 4, "seed": 0}}`` for single frequencies.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.

    Raises
    ------
    ArgumentError
        If the mask does not fit, is not finite, or is zero everywhere (for any image).

    Notes
    -----
    A real image's transform is conjugate symmetric, so A Aᵀ pairs each frequency with its
    negative. With weights a and b there, the pair has the eigenvalues (a² + b²)/2, along
    (a, b) once the negative's value is conjugated, and 0.
    """

    def __init__(self, mask: Array | Mapping[str, Any], dim_shape: Sequence[int]) -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        host, self._recipe = resolve_mask(mask, shape, RECIPES)
        if host.ndim > 4 or not _fits(host.shape, shape):
            accepted = f"a shape that broadcasts to {shape}, or (N, ...) of that for N images"
            raise ArgumentError("mask", f"shape {host.shape}", accepted)
        n_images = host.shape[0] if host.ndim == 4 else None
        empty = np.flatnonzero(~host.reshape(n_images or 1, -1).any(axis=1))
        if empty.size:
            given = "an empty mask" if n_images is None else f"an empty mask (image {empty[0]})"
            raise ArgumentError("mask", given, "a mask that keeps at least one frequency")
        super().__init__(shape, (*shape, 2), n_images=n_images)
        weights = np.broadcast_to(host, (*host.shape[:-2], *shape[1:])) if host.ndim > 1 else host
        weights = np.broadcast_to(weights, (*weights.shape[:-2], *shape[1:]))
        weights = weights.reshape((1,) * (3 - weights.ndim) + weights.shape)
        opposite = _negative(weights, np, (-2, -1))
        eigenvalues = (weights**2 + opposite**2) / 2
        safe = np.where(eigenvalues > 0, 2 * eigenvalues, 1.0)
        self._mask = HostArray(weights[..., None])
        self._eigenvalues = HostArray(eigenvalues[..., None])
        # Projection onto the range: own value times a²/(a² + b²) and the opposite one's times ab/(a² + b²).
        self._own = HostArray((weights**2 / safe)[..., None])
        self._other = HostArray((weights * opposite / safe)[..., None] * np.array([1.0, -1.0]))

    @property
    def mask(self) -> np.ndarray:
        """The weights, float64, read-only; they broadcast to ``(..., C, H, W)``."""
        return self._mask.host[..., 0]

    @property
    def support(self) -> np.ndarray:
        """Where the weights are not 0."""
        return self._mask.host != 0

    @property
    def has_closed_form(self) -> bool:
        """True: see the class."""
        return True

    def _apply(self, x: Array) -> Array:
        xp = namespace(x)
        spectrum = xp.fft.fftn(xp.astype(x, _complex(xp, x)), axes=(-2, -1), norm="ortho")
        return xp.stack([xp.real(spectrum), xp.imag(spectrum)], axis=-1) * self._mask.like(x)

    def _adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        weighted, kind = y * self._mask.like(y), _complex(xp, y)
        spectrum = xp.astype(weighted[..., 0], kind) + 1j * xp.astype(weighted[..., 1], kind)
        return xp.real(xp.fft.ifftn(spectrum, axes=(-2, -1), norm="ortho"))

    def _cogram_function(self, f: Any, y: Array) -> Array:
        xp = namespace(y)
        zero = f(xp.zeros((1, 1, 1, 1), dtype=y.dtype, device=y.device))
        return zero * y + (f(self._eigenvalues.like(y)) - zero) * self._project(y)

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # What Aᵀ does not see is left out at once, rather than by cancellation.
        return self.adjoint(f(self._eigenvalues.like(y)) * self._project(y))

    def _project(self, y: Array) -> Array:
        """Return the projection of a measurement onto the range of A."""
        return self._own.like(y) * y + self._other.like(y) * _negative(y, namespace(y), (-3, -2))

    def _lipschitz(self) -> tuple[float, str]:
        return float(np.sqrt(np.max(self._eigenvalues.host))), "exact"

    def _select(self, indices: list[int]) -> Fourier:
        return Fourier(self.mask[indices], self.dim_shape)

    def _options(self) -> dict[str, Any]:
        mask = encode_array(self.mask) if self._recipe is None else self._recipe
        return {"mask": mask, "dim_shape": list(self.dim_shape)}


def _complex(xp: Any, x: Array) -> Any:
    return xp.complex64 if x.dtype == xp.float32 else xp.complex128


def _negative(z: Array, xp: Any, axes: tuple[int, int]) -> Array:
    """Return the array whose value at each frequency is that of the opposite frequency."""
    return xp.roll(xp.flip(z, axis=axes), (1, 1), axis=axes)


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape[-3:], target) == target
    except ValueError:
        return False


def _check(acceleration: Any, seed: Any, n_images: Any) -> None:
    if not isinstance(acceleration, Real) or not 1 <= float(acceleration) < np.inf:
        raise ArgumentError("acceleration", acceleration, "a finite number >= 1")
    if not isinstance(seed, Integral) or seed < 0:
        raise ArgumentError("seed", seed, "an integer >= 0")
    if n_images is not None and (not isinstance(n_images, Integral) or n_images < 1):
        raise ArgumentError("n_images", n_images, "an integer >= 1, or None")


def _draw(count: int, keep: int, always: np.ndarray, seed: int, n_images: int | None) -> np.ndarray:
    """Return 0-1 rows of length `count` with `keep` ones; that of image i depends on (seed, i) alone."""
    rows = np.zeros((n_images or 1, count))
    others = np.setdiff1d(np.arange(count), always)
    for number, row in enumerate(rows):
        row[always] = 1.0
        row[np.random.default_rng([seed, number]).permutation(others)[: max(keep - always.size, 0)]] = 1.0
    return rows


def _lines(
    shape: tuple[int, ...],
    acceleration: float = 4,
    centre: float = 0.08,
    seed: int = 0,
    n_images: int | None = None,
) -> np.ndarray:
    """Return masks of whole columns: about one in `acceleration`, the middle fraction always."""
    _check(acceleration, seed, n_images)
    if not isinstance(centre, Real) or not 0 <= float(centre) <= 1:
        raise ArgumentError("centre", centre, "a fraction in [0, 1]")
    _, height, width = shape
    count = round(centre * width)
    middle = (np.arange(count) - count // 2) % width
    rows = _draw(width, max(1, round(width / acceleration)), middle, seed, n_images)
    masks = np.broadcast_to(rows[:, None, None, :], (len(rows), 1, height, width))
    return masks[0] if n_images is None else masks


def _points(
    shape: tuple[int, ...], acceleration: float = 4, seed: int = 0, n_images: int | None = None
) -> np.ndarray:
    """Return masks of single frequencies, one in `acceleration`, the zero frequency always."""
    _check(acceleration, seed, n_images)
    _, height, width = shape
    keep = max(1, round(height * width / acceleration))
    masks = _draw(height * width, keep, np.array([0]), seed, n_images).reshape(-1, 1, height, width)
    return masks[0] if n_images is None else masks


RECIPES: dict[Any, Callable[..., np.ndarray]] = {"lines": _lines, "points": _points}
