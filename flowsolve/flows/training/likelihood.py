"""What training minimises: bits a dimension, computed with fewer operations than ``Glow.log_prob``.

The value is that of :meth:`~flowsolve.flows.glow.Glow.log_prob` and the parameters are the same
ones; a step is quicker because the matrices of a level's steps are assembled together, what does
not depend on the image is added up once, a coupling's gain is folded into its last convolution,
and the couplings' convolutions can run in bfloat16.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..glow import SHIFT, Glow, Level, standard_normal_log_prob
from ..layers import GAIN, Coupling, FlowStep, conv_bordered, squeeze, sum_image


def bits_per_dim(log_prob: Tensor, dimension: int, bits: int) -> Tensor:
    """Turn natural log-densities of images in [0, 1] into bits a dimension.

    Parameters
    ----------
    log_prob : Tensor
        Log-densities, of any shape.
    dimension : int
        Values in an image.
    bits : int
        Bits a pixel value; with uniform dequantisation noise of one grey level the result bounds
        the code length of the quantised image (Theis, van den Oord and Bethge, ICLR 2016).

    Returns
    -------
    Tensor
        Same shape.
    """
    return bits - log_prob / (dimension * math.log(2))


class BitsPerDim(nn.Module):
    """Bits a dimension of images under a Glow that trains.

    Parameters
    ----------
    glow : Glow
        The network; its parameters become this module's.
    bits : int
        Bits a pixel value.
    bf16 : bool
        Whether the couplings' convolutions compute in bfloat16 (the flow itself, its 1x1
        convolutions and the log-determinant stay in float32).
    """

    def __init__(self, glow: Glow, bits: int, bf16: bool = False) -> None:
        super().__init__()
        self.glow, self.bits, self.bf16 = glow, bits, bf16

    def forward(self, x: Tensor) -> Tensor:
        """Return the bits a dimension (N,) of images (N, C, H, W) in [0, 1]."""
        h, latents = x - SHIFT, []
        constant = x.new_zeros(())
        log_det = x.new_zeros(len(x))
        for level in self.glow.levels:
            h = squeeze(h)
            kernels, biases, per_pixel = _linear(level)  # type: ignore[arg-type]
            constant = constant + per_pixel * (h.shape[-2] * h.shape[-1])
            for step, kernel, bias in zip(level.steps, kernels, biases, strict=True):  # type: ignore[arg-type]
                h, change = self._couple(step.coupling, F.conv2d(h, kernel[:, :, None, None], bias))
                if change is not None:
                    log_det = log_det + change
            kept, out = (None, h) if level.last else h.chunk(2, 1)
            moments = level.moments(kept, (h.shape[-2], h.shape[-1]))  # type: ignore[operator]
            if moments is not None:
                mean, log_std = moments
                out = (out - mean) * torch.exp(-log_std)
                log_det = log_det - sum_image(log_std.expand_as(out))
            latents.append(out)
            h = out if kept is None else kept
        log_prob = standard_normal_log_prob(latents) + log_det + constant
        return bits_per_dim(log_prob, x[0].numel(), self.bits)

    def _couple(self, coupling: Coupling, h: Tensor) -> tuple[Tensor, Tensor | None]:
        rule = coupling.rule
        a, b = rule.halves(h)
        gain = torch.exp(GAIN * coupling.log_gain)
        last = coupling.conv3
        weight, bias = last.weight * gain[:, None, None, None], gain * last.bias  # type: ignore[operator]
        with torch.autocast(h.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            hidden = F.relu(coupling.conv1(a), inplace=True)
            hidden = F.relu(coupling.conv2(hidden), inplace=True)
            change = conv_bordered(hidden, weight, bias, coupling.border)
        change = change.to(h.dtype)
        if not rule.affine:
            return rule.join(a, b + change), None
        s, t = change.chunk(2, 1)
        log_scale = rule.log_scale(s)
        return rule.join(a, rule.combine(b, log_scale.exp(), t)), sum_image(log_scale)


def _linear(level: Level) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices (K, C, C) and biases (K, C) of a level's steps, and their log-det a pixel."""
    steps = cast(list[FlowStep], list(level.steps))
    mixing = [step.conv1x1 for step in steps]
    log_diagonal = torch.stack([m.log_diagonal for m in mixing])
    sign = torch.stack([m.sign for m in mixing])
    identity = torch.eye(sign.shape[1], dtype=sign.dtype, device=sign.device)
    lower = torch.stack([m.lower for m in mixing]).tril(-1) + identity
    upper = torch.stack([m.upper for m in mixing]).triu(1)
    upper = upper + torch.diag_embed(sign * log_diagonal.exp())
    permutation = torch.stack([m.permutation for m in mixing])
    log_scale = torch.stack([step.actnorm.log_scale for step in steps])
    shift = torch.stack([step.actnorm.bias for step in steps])
    kernels = permutation @ lower @ upper * log_scale.exp()[:, None, :]
    biases = (kernels @ shift[:, :, None]).squeeze(-1)
    return kernels, biases, log_scale.sum() + log_diagonal.sum()
