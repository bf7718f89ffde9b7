"""Convolutions to few channels, two neighbouring pixels at a time.

CPU kernels compute output channels in blocks of 16. A convolution to 6 channels, as at a
coupling's end in the first level of an RGB flow, wastes most of each block. With two pixels
side by side as 12 channels, from a window one pixel wider and two pixels apart, the same
numbers take two thirds of the time; and with channels last the result lies in memory as the
plain convolution's would.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 16
"""Output channels that a kernel computes at once."""

WIDEST = 256
"""Input channels up to which this was faster in float32 (in bfloat16: any)."""


def worth_pairing(weight: Tensor) -> bool:
    """Return whether convolving with `weight` (out, in, k, k) is faster in pairs."""
    small = weight.shape[-1] > 1 and 2 * weight.shape[0] <= BLOCK <= weight.shape[1]
    on_cpu = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    return small and on_cpu and (weight.dtype == torch.bfloat16 or weight.shape[1] <= WIDEST)


def pair(weight: Tensor) -> Tensor:
    """Return the weights (2 out, in, k, k + 1) that compute two pixels; `weight` is (out, in, k, k)."""
    both = torch.cat([F.pad(weight, (0, 1)), F.pad(weight, (1, 0))])
    return both.contiguous(memory_format=torch.channels_last)


def conv_pairs(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve and keep the size.

    Parameters
    ----------
    x : Tensor
        (N, in, H, W), W even, channels last.
    weight : Tensor
        From :func:`pair`.
    bias : Tensor or None
        (2 out,), twice the same.

    Returns
    -------
    Tensor
        (N, out, H, W), channels last, of the same values as the plain convolution.
    """
    n, _, height, width = x.shape
    y = F.conv2d(x, weight, bias, stride=(1, 2), padding=weight.shape[-2] // 2)
    return y.permute(0, 2, 3, 1).view(n, height, width, weight.shape[0] // 2).permute(0, 3, 1, 2)


def transposed_weight(weight: Tensor) -> Tensor:
    """Return the weights of the convolution that is the transpose of one with `weight` (zero padded)."""
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
