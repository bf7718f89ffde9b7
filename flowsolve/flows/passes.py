"""One pass through a frozen flow and back for its gradient, written out by hand.

Autograd would record each operation, copy halves of tensors apart and together, and pad their
gradients with zeros to add them up. The layers are few and their weights constant, so the
product with the transposed Jacobian is written here in place, with nothing but convolutions,
the ReLUs' masks and sums of halves.

What it needs of the way there depends on the mode. A tape is a list of tensors, pushed on the
way there and popped on the way back:

========== ======================================================================================
store      each step's hidden activations (and in affine steps what the scales were applied to)
checkpoint what each coupling put out, a few channels; its hidden activations are computed again
invertible both ends of each level, and at most three points between them; what lies between is
           computed back from the end of each stretch by undoing the steps (Gomez, Ren, Urtasun &
           Grosse, "The reversible residual network", NeurIPS 2017), and should arrive at its start
========== ======================================================================================

Computing back has to arrive at the same side of every ReLU, and in narrow couplings at the same
rounding. An encoder expands and a decoder contracts, so rounding errors shrink when an encoding
is computed back and grow when a decoding is. Where they grow, and with narrow couplings, the
few channels between the networks are kept in float64, there and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .frozen import FrozenLevel
from .inplace import InPlaceSteps, Tape, plus
from .layers import sum_image
from .pool import Pool

STRETCHES = 4
"""Parts of a level that are computed back each from its own end, where that is not done in float64."""


class Passes(InPlaceSteps):
    """The flow's levels, run in place.

    Parameters
    ----------
    levels : list of FrozenLevel
        The flow.
    layout : torch.memory_format
        Of all tensors on the way.
    dtype, coupling_dtype : torch.dtype
        Of the flow and of its couplings' networks.
    """

    def __init__(
        self,
        levels: list[FrozenLevel],
        layout: torch.memory_format,
        dtype: torch.dtype,
        coupling_dtype: torch.dtype,
    ) -> None:
        super().__init__(layout)
        self.levels = levels
        self.dtype = dtype
        self.narrow = coupling_dtype != dtype
        self.on_cpu = levels[0].steps[0].conv1.weight.device.type == "cpu"
        self._pool = Pool()

    # ------------------------------------------------------------------ E

    def encode(self, x: Tensor, mode: str | None, log_det: bool) -> tuple[list[Tensor], Tensor | None, Tape]:
        """Encode images.

        Parameters
        ----------
        x : Tensor
            Images (N, C, H, W).
        mode : {None, "store", "checkpoint", "invertible"}
            What to keep for :meth:`encode_vjp`; None for nothing.
        log_det : bool
            Whether to add up the log-determinant's part that depends on the image.

        Returns
        -------
        latents : list of Tensor
            Level 0 first.
        total : Tensor or None
            That part, (N,), if asked for and if there is one.
        tape : list of Tensor
            For :meth:`encode_vjp`.
        """
        tape = Tape(self._pool if mode == "store" and self.on_cpu else None)
        terms: list[Tensor] | None = [] if log_det else None
        latents = []
        h = x.to(torch.float64) if mode == "invertible" and self.narrow else x
        for level in self.levels:
            h = self._squeeze(h)
            if mode == "invertible":
                tape.append(h)
            marks = self._marks(level, h) if mode == "invertible" else ()
            for k, step in enumerate(level.steps):
                h = self._mix(h, step, forward=True)
                self._couple(step, h, terms, tape, mode, forward=True)
                if k in marks:
                    tape.append(h)
            if mode == "invertible":
                tape.append(h)
            kept, out = (None, h) if level.last else h.chunk(2, 1)
            seen = None if kept is None else self._laid(kept, self.dtype)
            moments = level.moments(seen, (h.shape[-2], h.shape[-1]))
            if moments is not None:
                mean, log_std = moments
                scale = torch.exp(-log_std)
                out = (out - mean).mul_(scale).to(self.dtype)
                if terms is not None and not level.last:
                    terms.append(-sum_image(log_std))
                if mode is not None:
                    tape += [scale] if level.last else [scale, out]
            latents.append(out.to(self.dtype))
            h = out if kept is None else kept
        return latents, self._total(terms), tape

    def encode_vjp(
        self, tape: Tape, latents: Sequence[Tensor], total: Tensor | None, mode: str
    ) -> tuple[Tensor, Tensor | None]:
        """Multiply with the transposed Jacobian of :meth:`encode`.

        Parameters
        ----------
        tape : list of Tensor
            From :meth:`encode`; emptied.
        latents : sequence of Tensor
            Gradient with respect to each latent; left alone.
        total : Tensor or None
            Gradient with respect to the log-determinant, (N,).
        mode : {"store", "checkpoint", "invertible"}
            As in :meth:`encode`.

        Returns
        -------
        gradient : Tensor
            With respect to the images, (N, C, H, W).
        error : Tensor or None
            With ``"invertible"``, how far the activations computed back were from the true
            ones, (N,): the largest over the levels of their distance over their norm.
        """
        error: Tensor | None = None
        g_kept: Tensor | None = None
        for level, g_out in zip(reversed(self.levels), reversed(latents), strict=True):
            if level.split is not None:
                latent = None if level.last else tape.pop()
                g_latent, g_out = g_out, g_out * tape.pop()
                if latent is not None:
                    assert g_kept is not None
                    g_log_std = -plus(g_latent * latent, total)
                    g_kept = g_kept + level.split.run_transposed(self._joined(-g_out, g_log_std))
            g = self._owned(g_out) if g_kept is None else self._joined(g_kept, g_out)
            h = tape.pop().clone() if mode == "invertible" else g
            marks = self._marks(level, h) if mode == "invertible" else ()
            for k, step in reversed(list(enumerate(level.steps))):
                if k in marks:
                    true = tape.pop()
                    error, h = _worse(error, h, true), true.clone()
                h = self._decouple(step, h, g, total, tape, mode, forward=True)
                g = self._unmix(g, step, forward=True)
                if mode == "invertible":
                    h = self._mix(h, step, forward=False)
            if mode == "invertible":
                error = _worse(error, h, tape.pop())
            g_kept = self._unsqueeze(g)
        assert g_kept is not None
        return g_kept, error

    # ------------------------------------------------------------------ D

    def decode(
        self, latents: Sequence[Tensor], mode: str | None, log_det: bool
    ) -> tuple[Tensor, Tensor | None, Tape]:
        """Decode latents: as :meth:`encode`, the other way; the tape is for :meth:`decode_vjp`."""
        tape = Tape(self._pool if mode == "store" and self.on_cpu else None)
        terms: list[Tensor] | None = [] if log_det else None
        exact = torch.float64 if mode == "invertible" else self.dtype
        kept: Tensor | None = None
        for level, latent in zip(reversed(self.levels), reversed(latents), strict=True):
            out = latent
            seen = None if kept is None else kept.to(self.dtype)
            moments = level.moments(seen, (latent.shape[-2], latent.shape[-1]))
            if moments is not None:
                mean, log_std = moments
                scale = torch.exp(log_std)
                out = (latent * scale).add_(mean)
                if terms is not None and not level.last:
                    terms.append(sum_image(log_std))
                if mode is not None:
                    tape += [scale] if level.last else [scale, latent]
            h = self._owned(out, exact) if kept is None else self._joined(kept, out)
            if mode == "invertible":
                tape.append(h.clone())
            for step in reversed(level.steps):
                self._couple(step, h, terms, tape, mode, forward=False)
                h = self._mix(h, step, forward=False)
            if mode == "invertible":
                tape.append(h)
            kept = self._unsqueeze(h)
        assert kept is not None
        return kept.to(self.dtype), self._total(terms), tape

    def decode_vjp(
        self, tape: Tape, x: Tensor, total: Tensor | None, mode: str
    ) -> tuple[list[Tensor], Tensor | None]:
        """Multiply with the transposed Jacobian of :meth:`decode`: as :meth:`encode_vjp`.

        `x` is the gradient with respect to the images; returned are those with respect to the
        latents, level 0 first, and the error.
        """
        error: Tensor | None = None
        gradients = []
        g = x
        for level in self.levels:
            g = self._squeeze(g)
            h = tape.pop() if mode == "invertible" else g
            for step in level.steps:
                if mode == "invertible":
                    h = self._mix(h, step, forward=True)
                g = self._unmix(g, step, forward=False)
                h = self._decouple(step, h, g, total, tape, mode, forward=False)
            if mode == "invertible":
                error = _worse(error, h, tape.pop())
            kept, g_latent = (None, g) if level.last else g.chunk(2, 1)
            if level.split is not None:
                latent = None if level.last else tape.pop()
                g_out, g_latent = g_latent, g_latent * tape.pop()
                if latent is not None:
                    assert kept is not None
                    g_log_std = plus(g_latent * latent, total)
                    kept = kept + level.split.run_transposed(self._joined(g_out, g_log_std))
            gradients.append(g_latent)
            g = g_latent if kept is None else kept
        return gradients, error

    def _marks(self, level: FrozenLevel, h: Tensor) -> tuple[int, ...]:
        """Return after which steps of an encoding activations are kept, and computing back starts anew."""
        if h.dtype != self.dtype:
            return ()
        steps = len(level.steps)
        return tuple(steps * i // STRETCHES - 1 for i in range(1, STRETCHES) if steps >= STRETCHES)

    def _total(self, terms: list[Tensor] | None) -> Tensor | None:
        return torch.stack([term.to(self.dtype) for term in terms]).sum(0) if terms else None


def _worse(error: Tensor | None, found: Tensor, true: Tensor) -> Tensor:
    """Return the larger of the error so far and the relative distance of two activations, (N,)."""
    distance = torch.linalg.vector_norm(found - true, dim=(1, 2, 3))
    relative = distance / torch.linalg.vector_norm(true, dim=(1, 2, 3)).clamp_min(
        torch.finfo(true.dtype).tiny
    )
    # Activations that are not finite make it nan, which no tolerance accepts.
    return relative if error is None else torch.maximum(error, relative)
