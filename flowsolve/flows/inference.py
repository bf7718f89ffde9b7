"""A Glow that no longer trains, folded into as few operations as it takes.

:mod:`.folding` folds what is constant, :mod:`.frozen` is the result as plain torch functions,
:mod:`.passes` the same in place with the gradient written out, and :mod:`.memory` says what
such a gradient keeps. Here they meet.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from .choices import checked_coupling_dtype, checked_memory
from .folding import Folder
from .glow import Glow
from .memory import Map, Reconstruction, chosen_mode
from .passes import Passes, Tape
from .pool import keep_freed_memory


class FrozenGlow:
    """The map of a :class:`~flowsolve.flows.glow.Glow`, for use and not for training.

    Parameters
    ----------
    glow : Glow
        Trained network; copied, so that training it further changes nothing here.
    device : torch.device or str
        Where to compute.
    dtype : torch.dtype
        What to compute in. The folding itself is always done in float64.
    memory : {"store", "checkpoint", "invertible", "auto"}
        What a gradient keeps; see :class:`~flowsolve.flows.prior.GlowPrior`.
    coupling_dtype : torch.dtype, optional
        What the couplings' networks compute in; by default `dtype`.

    Attributes
    ----------
    reconstruction : Reconstruction
        How well gradients with ``memory="invertible"`` computed activations back.
    """

    def __init__(
        self,
        glow: Glow,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        memory: str = "store",
        coupling_dtype: torch.dtype | None = None,
    ) -> None:
        self.config = glow.config
        self.device = torch.device(device)
        self.dtype = dtype
        self.coupling_dtype = checked_coupling_dtype(coupling_dtype, dtype)
        self.memory = checked_memory(memory)
        # On CPUs, channels last is about three times as fast; on GPUs it is what the units for
        # narrow numbers work on.
        narrow = self.coupling_dtype == torch.bfloat16
        last = self.device.type == "cpu" or narrow
        layout = torch.channels_last if last else torch.contiguous_format
        folder = Folder(self.device, dtype, self.coupling_dtype, layout, glow.config.border)
        self.levels = folder.fold(glow)
        self._passes = Passes(self.levels, layout, dtype, self.coupling_dtype)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.reconstruction = Reconstruction()

    def with_memory(self, memory: str) -> FrozenGlow:
        """Return this flow with another mode, sharing the weights."""
        other = copy.copy(self)
        other.memory = checked_memory(memory)
        other.reconstruction = Reconstruction()
        return other

    def encode(self, x: Tensor, log_det: bool = False) -> tuple[list[Tensor], Tensor | None]:
        """Encode images.

        Parameters
        ----------
        x : Tensor
            Images (N, C, H, W) in [0, 1], of this flow's dtype and on its device.
        log_det : bool
            Whether to compute the log-determinant too.

        Returns
        -------
        latents : list of Tensor
            Standardised latents, level 0 first.
        log_det : Tensor or None
            log|det| of the Jacobian of the latents with respect to x, (N,).
        """
        mode = chosen_mode(self.memory, self.config, x.shape, x.element_size())
        outputs = self._run(Encoding(self, log_det), [x], mode)
        latents, total = outputs[: len(self.levels)], outputs[len(self.levels) :]
        if not log_det:
            return latents, None
        return latents, self._total(total, self.log_det_constant(x.shape[-2], x.shape[-1]), x)

    def decode(self, latents: Sequence[Tensor], log_det: bool = False) -> tuple[Tensor, Tensor | None]:
        """Decode latents: the inverse of :meth:`encode`.

        Parameters
        ----------
        latents : sequence of Tensor
            As :meth:`encode` returns them.
        log_det : bool
            Whether to compute the log-determinant too.

        Returns
        -------
        x : Tensor
            Images (N, C, H, W).
        log_det : Tensor or None
            log|det| of the Jacobian of x with respect to the latents, (N,).
        """
        height, width = 2 * latents[0].shape[-2], 2 * latents[0].shape[-1]
        shape = torch.Size((latents[0].shape[0], self.config.channels, height, width))
        mode = chosen_mode(self.memory, self.config, shape, latents[0].element_size())
        x, *total = self._run(Decoding(self, log_det), list(latents), mode)
        return x, self._total(total, -self.log_det_constant(height, width), x) if log_det else None

    def log_det_constant(self, height: int, width: int) -> float:
        """Return the part of the encoder's log-determinant that no image of this size changes."""
        sizes = ((height >> (i + 1), width >> (i + 1)) for i in range(len(self.levels)))
        return sum(level.log_det_constant(*size) for level, size in zip(self.levels, sizes, strict=True))

    def _run(self, direction: Map, inputs: list[Tensor], mode: str) -> list[Tensor]:
        return direction(inputs, mode)

    @staticmethod
    def _total(terms: list[Tensor], constant: float, like: Tensor) -> Tensor:
        return terms[0] + constant if terms else like.new_full((like.shape[0],), constant)


class Encoding(Map):
    """The encoder of a flow: images to latents and, where asked for, the log-determinant's variable part."""

    def __init__(self, flow: FrozenGlow, log_det: bool) -> None:
        self.flow, self.log_det = flow, log_det
        self.health = flow.reconstruction

    def plain(self, inputs: list[Tensor]) -> list[Tensor]:
        """Return latents and log-determinant as autograd can record them."""
        terms: list[Tensor] | None = [] if self.log_det else None
        h: Tensor | None = inputs[0]
        latents = []
        for level in self.flow.levels:
            assert h is not None
            h, latent = level.encode(h, terms)
            latents.append(latent)
        return latents + ([torch.stack(terms).sum(0)] if terms else [])

    def run(self, inputs: list[Tensor], mode: str | None) -> tuple[list[Tensor], Tape]:
        """Return the same, and a tape for :meth:`vjp`."""
        latents, total, tape = self.flow._passes.encode(inputs[0], mode, self.log_det)
        return latents + ([] if total is None else [total]), tape

    def vjp(self, tape: Tape, cotangents: list[Tensor], mode: str) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradient of the images, and the reconstruction's error."""
        n = len(self.flow.levels)
        total = cotangents[n] if len(cotangents) > n else None
        gradient, error = self.flow._passes.encode_vjp(tape, cotangents[:n], total, mode)
        return [gradient], error


class Decoding(Map):
    """The decoder of a flow: latents to images and, where asked for, the log-determinant's variable part."""

    def __init__(self, flow: FrozenGlow, log_det: bool) -> None:
        self.flow, self.log_det = flow, log_det
        self.health = flow.reconstruction

    def plain(self, inputs: list[Tensor]) -> list[Tensor]:
        """Return images and log-determinant as autograd can record them."""
        terms: list[Tensor] | None = [] if self.log_det else None
        h: Tensor | None = None
        for level, latent in zip(reversed(self.flow.levels), reversed(inputs), strict=True):
            h = level.decode(h, latent, terms)
        assert h is not None
        return [h] + ([torch.stack(terms).sum(0)] if terms else [])

    def run(self, inputs: list[Tensor], mode: str | None) -> tuple[list[Tensor], Tape]:
        """Return the same, and a tape for :meth:`vjp`."""
        x, total, tape = self.flow._passes.decode(inputs, mode, self.log_det)
        return [x] + ([] if total is None else [total]), tape

    def vjp(self, tape: Tape, cotangents: list[Tensor], mode: str) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradients of the latents, and the reconstruction's error."""
        total = cotangents[1] if len(cotangents) > 1 else None
        return self.flow._passes.decode_vjp(tape, cotangents[0], total, mode)
