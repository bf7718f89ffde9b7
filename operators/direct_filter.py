"""Small kernels applied directly to torch tensors in CPU memory, by compiled loops.

A kernel of rank one is a sum of shifted rows and then one of shifted columns, any other a sum of shifts along
both. Row by row nothing leaves the innermost cache but the result, which makes it several times cheaper than
a transform for kernels of ordinary sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from . import torch_fast
from .threads import host, in_threads

if TYPE_CHECKING:
    import torch

RANK_TOLERANCE = 1e-14
"""Relative singular values below this count as zero when a kernel is tested for rank one."""


class DirectFilter:
    """Correlation with small kernels as sums of shifts.

    The image is extended by `rows` and `columns` under a boundary rule, and
    ``out[i, j] = sum over (a, b) of kernel[a, b] * extended[i + a, j + b]`` wherever the
    kernel fits.

    Parameters
    ----------
    kernels : numpy.ndarray
        Shape ``(1 or C, kh, kw)``. Kernels of rank one take at most kh + kw additions a pixel, others one
        for each entry that is not zero.
    rows, columns : (int, int)
        How far to extend before and after.
    boundary : {"circular", "zero", "reflect", "replicate"}
        What to fill in.
    """

    def __init__(
        self, kernels: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], boundary: str
    ) -> None:
        self.rows, self.columns, self.boundary = rows, columns, boundary
        self.size = kernels.shape[1:]
        self.kernels = [_Kernel(k) for k in kernels]

    @property
    def passes(self) -> int:
        """Number of additions a pixel, of the dearest kernel."""
        return max(kernel.passes for kernel in self.kernels)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the correlation of ``(..., C, H, W)``, float32 or float64, with the kernels."""
        height, width = x.shape[-2:]
        result = (
            height + sum(self.rows) - self.size[0] + 1,
            width + sum(self.columns) - self.size[1] + 1,
        )
        out = torch_fast.empty((*x.shape[:-2], *result), x.dtype)
        columns = _extended(width, self.columns, self.boundary)
        extended = (
            _extended(height, self.rows, self.boundary),
            columns[: self.columns[0]],
            columns[self.columns[0] + width :],
        )
        count = len(self.kernels)
        given = host(x).reshape(-1, count, x.shape[-3] // count, height, width)
        for i, kernel in enumerate(self.kernels):
            # With one kernel for all, this is every plane of the batch.
            source = np.ascontiguousarray(given[:, i])
            target = out.numpy() if count == 1 else np.empty((len(source), *result), source.dtype)
            kernel.run(source, (height, width, *result), extended, target)
            if count > 1:
                out.numpy().reshape(-1, count, *result)[:, i] = target
        return out


class _Kernel:
    """A kernel as the sums of shifts that it is.

    Attributes
    ----------
    separable : bool
        Whether it is one sum along rows and one along columns.
    passes : int
        Number of additions a pixel.
    """

    def __init__(self, kernel: np.ndarray) -> None:
        places: Sequence[np.ndarray] = np.nonzero(kernel)
        taps: Sequence[np.ndarray] = (kernel[places[0], places[1]],)
        profiles = _profiles(kernel)
        self.separable = profiles is not None and sum(map(np.count_nonzero, profiles)) < len(taps[0])
        if profiles is not None and self.separable:
            places = [np.flatnonzero(p) for p in profiles]
            taps = [p[i] for p, i in zip(profiles, places, strict=True)]
        self.passes = sum(len(t) for t in taps)
        self._places = (places[0].astype(np.intp), places[1].astype(np.uintp))
        self._taps = {np.dtype(t): tuple(w.astype(t) for w in taps) for t in (np.float32, np.float64)}

    def run(
        self,
        x: np.ndarray,
        size: tuple[int, int, int, int],
        extended: tuple[np.ndarray, np.ndarray, np.ndarray],
        out: np.ndarray,
    ) -> None:
        """Write the sums for all planes of `x` to `out`, both in one piece."""
        from . import filter_loops

        loop: Callable[..., None] = filter_loops.separable if self.separable else filter_loops.full
        plan = filter_loops.Plan(size, *extended, self._places, self._taps[x.dtype])
        source, target = x.reshape(-1), out.reshape(-1)
        in_threads(
            lambda first, last: loop(source, plan, target, first, last),
            out.size // size[3],
            max(x.size, out.size),
        )


def _profiles(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the profiles along rows and along columns whose outer product is the kernel, if there are."""
    left, values, right = np.linalg.svd(kernel)
    if len(values) > 1 and values[1] > RANK_TOLERANCE * values[0]:
        return None
    profiles = left[:, 0] * values[0], right[0]
    for profile in profiles:
        profile[np.abs(profile) <= RANK_TOLERANCE * np.abs(profile).max()] = 0.0
    return profiles


@cache
def _extended(n: int, sides: tuple[int, int], boundary: str) -> np.ndarray:
    """Return which of n rows or columns each extended one is; -1 for zeros."""
    if boundary == "zero":
        return np.pad(np.arange(n), sides, constant_values=-1)
    mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}[boundary]
    return np.pad(np.arange(n), sides, mode=mode)  # type: ignore[call-overload]
