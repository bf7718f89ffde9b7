"""The invertible layers of Glow, in the trainable form whose tensors a checkpoint holds.

Every layer has a ``forward`` and an ``inverse`` and says its log-determinant per image. The
form that solvers run, with these layers folded together, is in :mod:`.inference`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .coupling import SCALE_SHIFT as SCALE_SHIFT
from .coupling import CouplingRule

GAIN = 3.0
"""Factor in ``exp(GAIN * log_gain)``, which lets the last convolution's gain learn faster."""


def squeeze(x: Tensor) -> Tensor:
    """Turn each 2x2 block of pixels into channels: (N, C, H, W) to (N, 4C, H/2, W/2)."""
    return F.pixel_unshuffle(x, 2)


def unsqueeze(x: Tensor) -> Tensor:
    """Undo :func:`squeeze`."""
    return F.pixel_shuffle(x, 2)


def conv_bordered(x: Tensor, weight: Tensor, bias: Tensor | None, border: int) -> Tensor:
    """Convolve (N, C, H, W) with a 3x3 kernel, the value `border` standing around `x`.

    Parameters
    ----------
    x, weight, bias
        As for :func:`torch.nn.functional.conv2d`.
    border : int
        Value of the pixels around `x`.

    Returns
    -------
    Tensor
        Of the height and width of `x`.
    """
    if border == 0:
        return F.conv2d(x, weight, bias, padding=1)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), value=float(border)), weight, bias)


def sum_image(x: Tensor) -> Tensor:
    """Sum a tensor (N, C, H, W) over everything but the batch; returns (N,)."""
    return x.sum(dim=(1, 2, 3))


class ActNorm(nn.Module):
    """Scale and shift of each channel: ``exp(log_scale) * (x + bias)``.

    Parameters
    ----------
    channels : int
        Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, dtype=torch.float32))
        self.log_scale = nn.Parameter(torch.zeros(channels, dtype=torch.float32))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the shift and the scale so that `x` comes out with mean 0 and deviation 1.

        Parameters
        ----------
        x : Tensor
            Batch (N, channels, H, W).
        """
        deviation, mean = torch.std_mean(x, dim=(0, 2, 3), correction=0)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-torch.log(deviation + 1e-6))


class InvertibleConv1x1(nn.Module):
    """Invertible 1x1 convolution ``W = P (tril(L, -1) + I) (triu(U, 1) + diag(s exp(d)))``.

    P (``permutation``) and the signs s (``sign``) are fixed; L (``lower``), U (``upper``) and
    d (``log_diagonal``) are learned, so ``log|det W|`` is the sum of d.

    Parameters
    ----------
    channels : int
        Number of channels.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("permutation", torch.zeros(channels, channels, dtype=torch.float32))
        self.register_buffer("sign", torch.ones(channels, dtype=torch.float32))
        self.lower = nn.Parameter(torch.zeros(channels, channels, dtype=torch.float32))
        self.upper = nn.Parameter(torch.zeros(channels, channels, dtype=torch.float32))
        self.log_diagonal = nn.Parameter(torch.zeros(channels, dtype=torch.float32))
        if not self.lower.is_meta:
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start from a random rotation."""
        rotation = torch.linalg.qr(torch.randn(self.lower.shape, dtype=torch.float64))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.permutation.copy_(permutation)
        self.sign.copy_(diagonal.sign())
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))
        self.log_diagonal.copy_(diagonal.abs().log())

    def _triangles(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        lower = self.lower.tril(-1) + identity
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return lower, upper

    def weight(self) -> Tensor:
        """Return W, (channels, channels)."""
        lower, upper = self._triangles()
        return self.permutation @ lower @ upper

    def inverse_weight(self) -> Tensor:
        """Return the inverse of W from its triangular factors, (channels, channels)."""
        lower, upper = self._triangles()
        half = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True)


class Coupling(nn.Module):
    """Change half of the channels by a network of the other half.

    Parameters
    ----------
    channels : int
        Number of channels of both halves together; even.
    hidden : int
        Channels inside the network.
    rule : CouplingRule
        How the network's output changes it.
    border : int
        Value around the input of the network's last convolution.
    """

    def __init__(self, channels: int, hidden: int, rule: CouplingRule, border: int = 0) -> None:
        super().__init__()
        half = channels // 2
        changed = channels if rule.affine else half
        self.rule, self.border = rule, border
        self.conv1 = nn.Conv2d(half, hidden, 3, padding=1, dtype=torch.float32)
        self.conv2 = nn.Conv2d(hidden, hidden, 1, dtype=torch.float32)
        self.conv3 = nn.Conv2d(hidden, changed, 3, padding=1, dtype=torch.float32)
        self.log_gain = nn.Parameter(torch.zeros(changed, dtype=torch.float32))
        nn.init.zeros_(self.conv3.weight)
        nn.init.zeros_(self.conv3.bias)  # type: ignore[arg-type]

    @property
    def affine(self) -> bool:
        """Whether the coupling scales as well as shifts."""
        return self.rule.affine

    def network(self, a: Tensor) -> Tensor:
        """Return the network's output for the unchanged half (N, channels/2, H, W)."""
        hidden = F.relu(self.conv2(F.relu(self.conv1(a))))
        out = conv_bordered(hidden, self.conv3.weight, self.conv3.bias, self.border)
        return out * torch.exp(GAIN * self.log_gain)[:, None, None]

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return the changed tensor (N, channels, H, W) and its log-determinant, (N,) or 0."""
        a, b = self.rule.halves(h)
        out = self.network(a)
        log_det = self.rule.log_det(out)
        return self.rule.join(a, self.rule.apply(b, out)), 0.0 if log_det is None else log_det

    def inverse(self, h: Tensor) -> tuple[Tensor, Tensor | float]:
        """Undo :meth:`forward`; returns the tensor and the log-determinant of the inverse."""
        a, b = self.rule.halves(h)
        out = self.network(a)
        log_det = self.rule.log_det(out)
        return self.rule.join(a, self.rule.undo(b, out)), 0.0 if log_det is None else -log_det


class FlowStep(nn.Module):
    """ActNorm, invertible 1x1 convolution, coupling.

    Parameters
    ----------
    channels, hidden, rule, border
        As in :class:`Coupling`.
    """

    def __init__(self, channels: int, hidden: int, rule: CouplingRule, border: int = 0) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv1x1 = InvertibleConv1x1(channels)
        self.coupling = Coupling(channels, hidden, rule, border)

    def linear(self) -> tuple[Tensor, Tensor]:
        """Return ActNorm and the 1x1 convolution as one matrix K and one bias: ``K h + bias``."""
        kernel = self.conv1x1.weight() * self.actnorm.log_scale.exp()
        return kernel, kernel @ self.actnorm.bias

    def inverse_linear(self) -> tuple[Tensor, Tensor]:
        """Return the matrix and the bias that undo :meth:`linear`."""
        kernel = self.actnorm.log_scale.neg().exp()[:, None] * self.conv1x1.inverse_weight()
        return kernel, -self.actnorm.bias

    def log_det_per_pixel(self) -> Tensor:
        """Return what :meth:`linear` adds to the log-determinant at each position, a scalar."""
        return self.actnorm.log_scale.sum() + self.conv1x1.log_diagonal.sum()

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step's output (N, channels, H, W) and its log-determinant (N,) or ()."""
        kernel, bias = self.linear()
        positions = h.shape[-2] * h.shape[-1]
        h, log_det = self.coupling(F.conv2d(h, kernel[:, :, None, None], bias))
        return h, self.log_det_per_pixel() * positions + log_det

    def inverse(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Undo :meth:`forward`; returns the tensor and the log-determinant of the inverse."""
        kernel, bias = self.inverse_linear()
        positions = h.shape[-2] * h.shape[-1]
        h, log_det = self.coupling.inverse(h)
        return F.conv2d(h, kernel[:, :, None, None], bias), log_det - self.log_det_per_pixel() * positions
