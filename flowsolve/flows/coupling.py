"""What couplings do with their networks' output: the formula alone, shared by all forms of the flow.

The network that trains, the form that solvers run and the training loss compute a coupling's
network in different ways; how its output changes one half of the channels is written down here
once. See :class:`~flowsolve.flows.config.GlowConfig` for the variants.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import GlowConfig

SCALE_SHIFT = 2.0
"""Shift in ``sigmoid(s + SCALE_SHIFT)``, so that an untrained affine coupling keeps its input alive."""


@dataclass(frozen=True)
class CouplingRule:
    """How a coupling changes one half b of the channels, given what its network says of the other, a.

    An additive coupling adds the network's output t to b. The output of an affine coupling's
    network is s then t, and ``scale = sigmoid(s + 2) + offset``.

    Parameters
    ----------
    affine : bool
        ``(b + t) * scale`` if true, ``b + t`` otherwise.
    changes_first : bool
        Whether b is the first half of the channels rather than the second.
    shift_after : bool
        ``b * scale + t`` in the affine case.
    offset : float
        Constant in the scale, at least 0.
    """

    affine: bool
    changes_first: bool = False
    shift_after: bool = False
    offset: float = 0.0

    @classmethod
    def of(cls, config: GlowConfig, level: int) -> CouplingRule:
        """Return the rule of the couplings in one level of a flow."""
        return cls(
            affine=config.coupling == "affine",
            changes_first=config.changed == "first",
            shift_after=config.shift == "after",
            offset=config.level_scale_offset(level),
        )

    def halves(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, which the network sees, and b, which is changed: (N, C, H, W) to twice C/2."""
        first, second = h.chunk(2, 1)
        return (second, first) if self.changes_first else (first, second)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """Undo :meth:`halves`."""
        return torch.cat([b, a] if self.changes_first else [a, b], 1)

    def scale(self, s: Tensor) -> Tensor:
        """Return what b is multiplied by, for the first half s of an affine network's output."""
        scale = torch.sigmoid(s + SCALE_SHIFT)
        return scale + self.offset if self.offset else scale

    def log_scale(self, s: Tensor) -> Tensor:
        """Return the logarithm of :meth:`scale`, exact also where the sigmoid underflows."""
        return self.scale(s).log() if self.offset else F.logsigmoid(s + SCALE_SHIFT)

    def combine(self, b: Tensor, scale: Tensor, t: Tensor) -> Tensor:
        """Return b scaled and shifted, in this rule's order."""
        return b * scale + t if self.shift_after else (b + t) * scale

    def apply(self, b: Tensor, out: Tensor) -> Tensor:
        """Return b changed by the network's output."""
        if not self.affine:
            return b + out
        s, t = out.chunk(2, 1)
        return self.combine(b, self.scale(s), t)

    def undo(self, b: Tensor, out: Tensor) -> Tensor:
        """Undo :meth:`apply`."""
        if not self.affine:
            return b - out
        s, t = out.chunk(2, 1)
        return (b - t) / self.scale(s) if self.shift_after else b / self.scale(s) - t

    def log_det(self, out: Tensor) -> Tensor | None:
        """Return the log-determinant (N,) of :meth:`apply`; None where it is 0."""
        if not self.affine:
            return None
        return self.log_scale(out.chunk(2, 1)[0]).sum(dim=(1, 2, 3))
