"""What one step of a frozen flow does to a tensor in place, and what its gradient does to another.

The pieces of :class:`~flowsolve.flows.passes.Passes`, which says what the modes are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .frozen import FrozenConv, FrozenStep
from .layers import SCALE_SHIFT, squeeze, sum_image, unsqueeze
from .pool import Form, Lease, Pool

LARGE = 1 << 20
"""Bytes of activations from which on leasing memory for them is worth a copy."""


class Tape(list[Tensor]):
    """Tensors pushed on the way there and popped on the way back; some may be on lease."""

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__()
        self.lease = None if pool is None else Lease(pool)


class InPlaceSteps:
    """Couplings and 1x1 convolutions.

    Parameters
    ----------
    layout : torch.memory_format
        Of all tensors.
    """

    def __init__(self, layout: torch.memory_format) -> None:
        self.layout = layout

    # ------------------------------------------------------------------ couplings

    def _couple(
        self,
        step: FrozenStep,
        h: Tensor,
        terms: list[Tensor] | None,
        tape: Tape,
        mode: str | None,
        forward: bool,
    ) -> None:
        """Apply (or undo) a step's coupling to `h` in place."""
        _, b = step.rule.halves(h)
        hidden = self._network(step, h, tape.lease)
        out = hidden[-1]
        if not step.rule.affine:
            b.add_(out) if forward else b.sub_(out)
        else:
            if terms is not None:
                log_scale = sum_image(step.rule.log_scale(out.chunk(2, 1)[0]))
                terms.append(log_scale if forward else -log_scale)
            self._rescale(step, b, out, forward)
        if mode == "store":
            tape += [h, *hidden] if step.rule.affine else hidden[:2]
        elif mode == "checkpoint":
            tape.append(h)

    def _decouple(
        self,
        step: FrozenStep,
        h: Tensor,
        g: Tensor,
        total: Tensor | None,
        tape: Tape,
        mode: str,
        forward: bool,
    ) -> Tensor:
        """Take `g` in place from a coupling's output to its input.

        With ``"invertible"``, `h` is what the coupling put out and is undone in place; otherwise
        that comes from the tape.
        """
        if mode == "store":
            count = 4 if step.rule.affine else 2
            hidden = tape[-count:]
            del tape[-count:]
            h, out = (hidden.pop(0), hidden.pop()) if step.rule.affine else (h, None)
        else:
            h = tape.pop() if mode == "checkpoint" else h
            hidden = self._network(step, h)
            out = hidden.pop()
        g_a, g_b = step.rule.halves(g)
        if step.rule.affine:
            assert out is not None
            g_a.add_(self._network_vjp(step, self._affine_vjp(step, h, out, g_b, total, forward), hidden))
        elif forward:
            g_a.add_(self._network_vjp(step, g_b, hidden))
        else:
            g_a.sub_(self._network_vjp(step, g_b, hidden))
        if mode == "invertible":
            assert out is not None
            self._restore(step, h, out, forward)
        return h

    @staticmethod
    def _restore(step: FrozenStep, h: Tensor, out: Tensor, forward: bool) -> None:
        _, b = step.rule.halves(h)
        if not step.rule.affine:
            b.sub_(out) if forward else b.add_(out)
        else:
            InPlaceSteps._rescale(step, b, out, not forward)

    @staticmethod
    def _rescale(step: FrozenStep, b: Tensor, out: Tensor, forward: bool) -> None:
        """Do in place what the rule's ``apply``, or its ``undo``, does in an affine coupling."""
        s, t = out.chunk(2, 1)
        scale = step.rule.scale(s)
        if forward and step.rule.shift_after:
            b.mul_(scale).add_(t)
        elif forward:
            b.add_(t).mul_(scale)
        elif step.rule.shift_after:
            b.sub_(t).div_(scale)
        else:
            b.div_(scale).sub_(t)

    @staticmethod
    def _affine_vjp(
        step: FrozenStep, h: Tensor, out: Tensor, g_b: Tensor, total: Tensor | None, forward: bool
    ) -> Tensor:
        """Return the gradient with respect to the network's output; `g_b` is scaled in place.

        It is written with what the coupling put out, which is at hand in every mode: with
        scale c(s) and r = c'(s)/c(s), the derivative of b' = (b + t) c to s is b' r, that of
        b' = b c + t is (b' - t) r, and those of their inverses are -(b' + t) r and -b' r.
        """
        rule = step.rule
        s, t = out.chunk(2, 1)
        sigmoid = torch.sigmoid(s + SCALE_SHIFT)
        scale = sigmoid + rule.offset if rule.offset else sigmoid
        rate = (1 - sigmoid) * (sigmoid / scale) if rule.offset else 1 - sigmoid
        b = rule.halves(h)[1]
        if forward and rule.shift_after:
            b = b - t
        elif not forward and not rule.shift_after:
            b = b + t
        g_s = plus(g_b * b, total).mul_(rate)
        if forward:
            g_t = g_b.clone() if rule.shift_after else g_b * scale
            g_b.mul_(scale)
        else:
            g_t = -g_b / scale if rule.shift_after else -g_b
            g_s = g_s.neg_()
            g_b.div_(scale)
        return torch.cat([g_s, g_t], 1)

    def _network(self, step: FrozenStep, h: Tensor, lease: Lease | None = None) -> list[Tensor]:
        """Return the coupling network's hidden activations, two, and its output."""
        a, _ = step.rule.halves(h)
        first = self._rectified(step.conv1, self._laid(a, step.conv1.weight.dtype), lease)
        second = self._rectified(step.conv2, first, lease)
        out = step.conv3.run(second)
        # Sums of halves take a narrower dtype as it is; scales are computed in the flow's own.
        return [first, second, step.conv3.finish(out.to(h.dtype) if step.rule.affine else out)]

    def _rectified(self, conv: FrozenConv, x: Tensor, lease: Lease | None) -> Tensor:
        """Return the ReLU of a convolution, in leased memory if there is any."""
        shape = (x.shape[0], conv.weight.shape[0], *x.shape[2:])
        if lease is None or math.prod(shape) * x.element_size() < LARGE:
            return F.relu_(conv.run(x))
        # Leased first: what the convolution puts out is freed again, and would leave a hole below.
        out = lease.take(Form(shape, x.dtype, x.device, self.layout))
        return torch.clamp_min(conv.run(x), 0, out=out)

    def _network_vjp(self, step: FrozenStep, g: Tensor, hidden: list[Tensor]) -> Tensor:
        """Return the gradient with respect to the network's input, in the network's dtype.

        Takes the hidden activations off their list, so that each is freed as soon as it can be.
        """
        g = step.conv3.run_transposed(self._laid(g, step.conv3.weight.dtype))
        g = step.conv2.run_transposed(_masked(g, hidden.pop()))
        return step.conv1.run_transposed(_masked(g, hidden.pop()))

    # ------------------------------------------------------------------ layout

    def _mix(self, h: Tensor, step: FrozenStep, forward: bool) -> Tensor:
        """Return the 1x1 convolution, or its inverse, as a product of matrices where the layout allows it."""
        mixing = step.mixing(forward, h.dtype)
        if self.layout is not torch.channels_last:
            return F.conv2d(h, mixing.weight, mixing.bias)
        return _images(torch.addmm(mixing.bias, _pixels(h), mixing.transposed), h)

    def _unmix(self, g: Tensor, step: FrozenStep, forward: bool) -> Tensor:
        """Return the product with the transpose of :meth:`_mix`."""
        mixing = step.mixing(forward, g.dtype)
        if self.layout is not torch.channels_last:
            return F.conv_transpose2d(g, mixing.weight)
        return _images(torch.mm(_pixels(g), mixing.matrix), g)

    def _laid(self, h: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return `h` in this layout and dtype; not to be written to, as it may be `h`."""
        # Convolutions read a half of a tensor slower than they read a copy of it.
        return h.to(dtype=dtype or h.dtype, memory_format=self.layout)

    def _owned(self, h: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return a copy of `h` in this layout and dtype."""
        return h.to(dtype=dtype or h.dtype, memory_format=self.layout, copy=True)

    def _joined(self, first: Tensor, second: Tensor) -> Tensor:
        shape = (first.shape[0], first.shape[1] + second.shape[1], *first.shape[2:])
        out = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=self.layout)
        out[:, : first.shape[1]].copy_(first)
        out[:, first.shape[1] :].copy_(second)
        return out

    def _squeeze(self, h: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return self._laid(squeeze(h), dtype)

    def _unsqueeze(self, h: Tensor) -> Tensor:
        return self._laid(unsqueeze(h))


def _pixels(h: Tensor) -> Tensor:
    return h.permute(0, 2, 3, 1).flatten(0, 2)


def _images(pixels: Tensor, like: Tensor) -> Tensor:
    n, _, height, width = like.shape
    return pixels.view(n, height, width, pixels.shape[1]).permute(0, 3, 1, 2)


def _masked(g: Tensor, activations: Tensor) -> Tensor:
    """Put `g` to 0 in place where the ReLU did."""
    return torch.ops.aten.threshold_backward.grad_input(g, activations, 0, grad_input=g)


def plus(g: Tensor, total: Tensor | None) -> Tensor:
    """Add one number an image to `g` in place."""
    return g if total is None else g.add_(total.view(-1, 1, 1, 1))
