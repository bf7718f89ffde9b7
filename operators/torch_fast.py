"""Faster routes for torch tensors in CPU memory; the results are those of the array-API code.

Every other library and device takes the array-API code of the operators. What is gained
here comes from memory, not arithmetic: a plane of pixels at a time stays in the cache, no
temporary is larger than that, and small kernels are applied as a few shifted additions,
which are cheaper than a transform and (on the machines measured) than ``conv2d``.

Nothing here is differentiated: operators give torch their explicit adjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import is_torch
from .boundaries import pad

if TYPE_CHECKING:
    import torch

TILE = 1 << 18
"""Pixels worked on at a time by shifted additions: a float32 tile of 1 MiB fits a core's cache."""

TRANSFORM_TILE = 1 << 16
"""Pixels transformed at a time: a transform needs several buffers of that size."""

RANK_TOLERANCE = 1e-14
"""Relative singular values below this count as zero when a kernel is tested for rank one."""


def usable(x: Any) -> bool:
    """Return whether `x` is a torch tensor in CPU memory that can be written into by slices."""
    return is_torch(x) and x.device.type == "cpu" and x.layout is _strided()


def _strided() -> Any:
    import torch

    return torch.strided


def prefers_direct(passes: int, pixels: int) -> bool:
    """Return whether so many shifted additions beat a transform, there and back, of a plane.

    A rule of thumb measured on one core (AVX-512, MKL): an addition costs about 0.11 ns a
    pixel whatever the size, a transform 3 ns a pixel for planes that fit the cache and
    several times that for planes that do not. It does not look at the batch, so that an
    image's result never depends on its neighbours.

    Parameters
    ----------
    passes : int
        Number of additions over the plane.
    pixels : int
        Number of pixels of the plane.
    """
    if pixels < 1 << 17:
        return passes <= 22
    return passes <= (45 if pixels < 1 << 20 else 70)


def filter_planes(x: torch.Tensor, spectrum: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return x filtered by a half spectrum, a few planes at a time.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., C, H, W)``, real.
    spectrum : torch.Tensor
        Shape ``(1 or C, rows, columns // 2 + 1)``, complex of the precision of `x`, or real.
    size : (int, int)
        Rows and columns of the transform; `x` is padded by zeros up to it.

    Returns
    -------
    torch.Tensor
        Shape ``(..., C, rows, columns)``.
    """
    import torch

    kernels, pixels = spectrum.shape[0], size[0] * size[1]
    count = max(1, TRANSFORM_TILE * torch.get_num_threads() // pixels)
    planes = x.reshape(-1, *x.shape[-2:])
    if len(planes) <= count and kernels == 1:
        return _filter(planes, spectrum, size).view(*x.shape[:-2], *size)
    out = torch.empty(*x.shape[:-2], *size, dtype=x.dtype)
    results = out.view(-1, *size)
    if kernels > 1:
        # Kernels go with channels: whole images at a time, or single planes.
        count = count - count % kernels if count >= kernels else 1
    for start in range(0, len(planes), count):
        part = planes[start : start + count]
        if kernels == 1 or len(part) == 1:
            results[start : start + count] = _filter(part, spectrum[start % kernels], size)
        else:
            images = part.view(-1, kernels, *part.shape[-2:])
            results[start : start + count] = _filter(images, spectrum, size).view(-1, *size)
    return out


def _filter(x: torch.Tensor, spectrum: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    import torch

    transformed = torch.fft.rfft2(x, s=size)
    transformed *= spectrum
    return torch.fft.irfft2(transformed, s=size)


class DirectFilter:
    """Correlation with small kernels as sums of shifted planes.

    The image is extended by `rows` and `columns` under a boundary rule, and
    ``out[i, j] = sum over (a, b) of kernel[a, b] * extended[i + a, j + b]`` wherever the
    kernel fits.

    Parameters
    ----------
    kernels : numpy.ndarray
        Shape ``(1 or C, kh, kw)``. Kernels of rank one take kh + kw passes over the image,
        others one for each entry that is not zero.
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
        self.kernels = [_factors(k) for k in kernels]
        self._row_index: dict[int, torch.Tensor] = {}

    @property
    def passes(self) -> int:
        """Number of passes over the image, of the dearest kernel."""
        return max(sum(len(terms) for terms in factors) for factors in self.kernels)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the correlation of ``(..., C, H, W)`` with the kernels."""
        import torch

        height = x.shape[-2] + sum(self.rows) - self.size[0] + 1
        width = x.shape[-1] + sum(self.columns) - self.size[1] + 1
        out = torch.empty(*x.shape[:-2], height, width, dtype=x.dtype)
        count = len(self.kernels)
        images = x.reshape(-1, count, x.shape[-3] // count, *x.shape[-2:])
        results = out.view(-1, count, x.shape[-3] // count, height, width)
        for i, factors in enumerate(self.kernels):
            # With one kernel for all, this view holds every plane of the batch.
            source, target = images[:, i].flatten(0, 1), results[:, i]
            self._run(factors, source, target.view(-1, height, width) if count == 1 else target[:, 0])
        return out

    def _run(self, factors: list, source: torch.Tensor, target: torch.Tensor) -> None:
        planes, height, width = target.shape
        if source.shape[-2] * source.shape[-1] <= TILE:
            count = max(1, TILE // (height * width))
            for start in range(0, planes, count):
                extended = pad(source[start : start + count], self.rows, (0, 0), self.boundary)
                self._tile(factors, extended, target[start : start + count])
            return
        rows = max(1, TILE // width)
        for plane, result in zip(source, target, strict=True):
            for start in range(0, height, rows):
                part = result[start : start + rows]
                self._tile(factors, self._rows_of(plane, start, start + len(part)), part)

    def _rows_of(self, plane: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return the extended rows that the results from `start` to `stop` are made of."""
        import torch

        first, last = start - self.rows[0], stop + self.size[0] - 1 - self.rows[0]
        if first >= 0 and last <= len(plane):
            return plane[first:last]
        index = self._row_index.get(len(plane))
        if index is None:
            mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
            numbers = np.arange(len(plane))
            if self.boundary == "zero":
                padded = np.pad(numbers, self.rows, constant_values=-1)
            else:
                padded = np.pad(numbers, self.rows, mode=mode[self.boundary])  # type: ignore[call-overload]
            index = self._row_index[len(plane)] = torch.from_numpy(padded)
        wanted = index[start : stop + self.size[0] - 1]
        rows = plane.index_select(0, wanted.clamp(min=0))
        if self.boundary == "zero":
            rows[wanted < 0] = 0
        return rows

    def _tile(self, factors: list, extended: torch.Tensor, out: torch.Tensor) -> None:
        """Write the results whose extended rows are given; columns are extended here."""
        import torch

        height, width = out.shape[-2:]
        if len(factors) == 2:
            shape = (*extended.shape[:-2], height, extended.shape[-1])
            middle = torch.empty(shape, dtype=out.dtype)
            _accumulate(middle, [(w, extended[..., a : a + height, :]) for a, w in factors[0]])
            middle = pad(middle, (0, 0), self.columns, self.boundary)
            _accumulate(out, [(w, middle[..., b : b + width]) for b, w in factors[1]])
            return
        extended = pad(extended, (0, 0), self.columns, self.boundary)
        terms = [(w, extended[..., a : a + height, b : b + width]) for (a, b), w in factors[0]]
        _accumulate(out, terms)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_row_index": {}}


def _factors(kernel: np.ndarray) -> list[list[tuple[Any, float]]]:
    """Return one list of (place, weight), or one for rows and one for columns where rank is one."""
    u, s, vt = np.linalg.svd(kernel)
    taps = [((int(a), int(b)), float(kernel[a, b])) for a, b in zip(*np.nonzero(kernel), strict=True)]
    if s[1:].size and s[1] > RANK_TOLERANCE * kernel.size * s[0]:
        return [taps]
    # Signs and scale go with the rows, so that a mean stays a mean of columns.
    scale = float(np.abs(vt[0]).sum()) * (1.0 if vt[0].sum() >= 0 else -1.0)
    profiles = (u[:, 0] * s[0] * scale, vt[0] / scale)
    limits = [RANK_TOLERANCE * float(np.abs(p).max()) for p in profiles]
    separate = [
        [(int(a), float(p[a])) for a in np.flatnonzero(np.abs(p) > limit)]
        for p, limit in zip(profiles, limits, strict=True)
    ]
    return separate if sum(map(len, separate)) < len(taps) else [taps]


def _accumulate(out: torch.Tensor, terms: Sequence[tuple[float, torch.Tensor]]) -> None:
    import torch

    weight, first = terms[0]
    torch.mul(first, weight, out=out)
    for weight, term in terms[1:]:
        out.add_(term, alpha=weight)


def block_sums(x: torch.Tensor, factor: tuple[int, int], weight: float) -> torch.Tensor:
    """Return sums over blocks times `weight`, for sizes that the factor divides.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., H, W)``.
    factor : (int, int)
        Rows and columns of a block.
    weight : float
        A number to multiply by.

    Returns
    -------
    torch.Tensor
        Shape ``(..., H / rows, W / columns)``.
    """
    import torch

    rows, columns = factor
    height, width = x.shape[-2] // rows, x.shape[-1] // columns
    out = torch.empty(*x.shape[:-2], height, width, dtype=x.dtype)
    bands, results = x.reshape(-1, rows, width * columns), out.view(-1, width)
    # Bands of rows at a time, so that their sums are still in the cache for the second step.
    count = max(1, TILE // (rows * width * columns))
    for start in range(0, len(bands), count):
        band = bands[start : start + count]
        total = _sum_slices(band, 1, rows) if rows > 1 else band[:, 0]
        blocks = total.view(-1, width, columns)
        part = results[start : start + count]
        _sum_slices(blocks, 2, columns, out=part) if columns > 1 else part.copy_(blocks[..., 0])
        part *= weight
    return out


def _sum_slices(x: torch.Tensor, axis: int, count: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return the sum along an axis that has more than one slice, adding one slice at a time."""
    import torch

    total = torch.add(x.select(axis, 0), x.select(axis, 1), out=out)
    for i in range(2, count):
        total += x.select(axis, i)
    return total


def block_spread(y: torch.Tensor, factor: tuple[int, int], weight: float) -> torch.Tensor:
    """Return the adjoint of :func:`block_sums`: every value, times `weight`, all over its block.

    Parameters
    ----------
    y : torch.Tensor
        Shape ``(..., h, w)``.
    factor, weight
        As for :func:`block_sums`.

    Returns
    -------
    torch.Tensor
        Shape ``(..., h * rows, w * columns)``.
    """
    import torch

    rows, columns = factor
    height, width = y.shape[-2:]
    out = torch.empty(*y.shape[:-2], height * rows, width * columns, dtype=y.dtype)
    values, bands = y.reshape(-1, width), out.view(-1, rows, width, columns)
    count = max(1, TILE // (rows * width * columns))
    for start in range(0, len(bands), count):
        band, scaled = bands[start : start + count], values[start : start + count] * weight
        for j in range(columns):
            band[:, 0, :, j] = scaled
        if rows > 1:
            band[:, 1:] = band[:, :1]
    return out
