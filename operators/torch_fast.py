"""Faster routes for torch tensors in CPU memory; the results are those of the array-API code.

Every other library and device takes the array-API code of the operators. What is gained
here comes from memory, not arithmetic: a few planes at a time stay in the cache, and no
temporary is larger than that. Small kernels have a file of their own, :mod:`.direct_filter`.

Nothing here is differentiated: operators give torch their explicit adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import is_torch

if TYPE_CHECKING:
    import torch

HUGE = 1 << 22
"""Bytes from which on NumPy asks for huge pages, so that memory is handed out quickly."""

LINE = 64
"""Bytes of a line of the cache."""

TRANSFORM_WHOLE = 1 << 20
"""Pixels up to which a batch is transformed at once: memory that small is handed out again without asking
the system for it, and tiles would cost a copy of their results."""

TRANSFORM_TILE = 1 << 16
"""Pixels transformed at a time in larger batches: a transform needs several buffers of that size."""


def usable(x: Any) -> bool:
    """Return whether `x` is a plain torch tensor in CPU memory, whose results can be written by slices."""
    if not is_torch(x) or not x.is_cpu:
        return False
    import torch

    # Inside a transform of torch.func, slices of a plain result cannot take what is mapped.
    return x.layout is torch.strided and not torch._C._functorch.is_functorch_wrapped_tensor(x)


def empty(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return memory for a result; large ones through NumPy, whose huge pages save most page faults.

    torch takes such memory from the system anew at each call, 4 KiB at a time, which for an
    image of 3 x 2048 x 2048 takes longer than blurring it. Like torch's own, it starts at a
    line of the cache: NumPy's does not, and then every vector that is written crosses two.
    """
    import torch

    size = math.prod(shape) * dtype.itemsize
    if size < HUGE:
        return torch.empty(*shape, dtype=dtype)
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(*shape)


def is_huge(x: torch.Tensor) -> bool:
    """Return whether a result as large as `x` is worth memory from :func:`empty`."""
    return x.nbytes >= HUGE


def multiply(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the product of images with weights that broadcast to them."""
    import torch

    return torch.mul(x, weights, out=empty(x.shape, x.dtype))


def prefers_direct(passes: int, pixels: int) -> bool:
    """Return whether so many shifted additions beat a transform, there and back, of a plane.

    A rule of thumb measured on one core (AVX-512, MKL): an addition costs about 0.05 ns a
    pixel whatever the size, a transform 3 ns a pixel for planes that fit the cache and
    several times that for planes that do not. It does not look at the batch, so that an
    image's result never depends on its neighbours.

    Parameters
    ----------
    passes : int
        Number of additions a pixel.
    pixels : int
        Number of pixels of the plane.
    """
    if pixels < 1 << 17:
        return passes <= 36
    return passes <= (80 if pixels < 1 << 20 else 120)


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
    tile = TRANSFORM_TILE * torch.get_num_threads()
    planes = x.reshape(-1, *x.shape[-2:])
    if len(planes) * pixels <= max(TRANSFORM_WHOLE, tile):
        images = planes.view(-1, kernels, *x.shape[-2:])
        return _filter(images, spectrum, size).view(*x.shape[:-2], *size)
    count = max(1, tile // pixels)
    out = empty((*x.shape[:-2], *size), x.dtype)
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
