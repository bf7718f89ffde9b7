"""A Glow as a prior: images to latents and back, densities, energies, samples.

Every method takes any leading (batch) dimensions, treats each image as its own problem, and
can be differentiated; the weights cannot.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Literal, overload

import torch
from torch import Tensor

from ..ambient import undisturbed
from ..priors.base import FlowPrior as FlowPrior
from .checkpoints import PriorCard, serialise
from .config import GlowConfig
from .glow import Glow
from .padding import crop, padded_size, reflect
from .placed import Placed


class GlowPrior(Placed, FlowPrior):
    """A Glow (Kingma & Dhariwal, NeurIPS 2018) from images to standardised latents, with its inverse.

    Parameters
    ----------
    glow : Glow
        The network; copied, so that training it further changes nothing here.
    name : str
        What to call the prior.
    source : str, optional
        Name or path that :func:`~flowsolve.flows.zoo.load_prior` finds it by; by default, none.
    card : PriorCard, optional
        Training data, terms, bits a dimension.
    sha256 : str, optional
        SHA-256 of the file it was read from; by default, of the file that
        :func:`~flowsolve.flows.checkpoints.save_prior` would write.
    device, dtype, memory, coupling_dtype
        Where and in what to compute; see :class:`~flowsolve.flows.placed.Placed`.

    Notes
    -----
    Images are (..., C, H, W) in [0, 1]; values outside are allowed. Latents are (..., n),
    the levels one after the other from the finest. Under the model they are standard normal.

    A prior for images of any size takes sides that are no multiples of ``2**levels`` by
    reflection (:mod:`.padding`): its latents are then longer than the image, and the energies
    are those of the reflected image.

    A prior of colour images can be :meth:`tied`: it then takes grey images, and sees them as colour images
    of equal channels.
    """

    def __init__(
        self,
        glow: Glow,
        *,
        name: str = "unnamed",
        source: str | None = None,
        card: PriorCard | None = None,
        sha256: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        memory: str = "store",
        coupling_dtype: torch.dtype | None = None,
    ) -> None:
        config = glow.config
        FlowPrior.__init__(
            self, name=name, channels=config.channels, size=config.size, source=source, card=card
        )
        self._sha256 = sha256
        self._tied = False
        Placed.__init__(self, glow, device, dtype, memory, coupling_dtype)

    def __repr__(self) -> str:
        return super().__repr__().removesuffix(")") + (", grey images)" if self._tied else ")")

    @property
    def channels(self) -> int:
        """Channels of an image: those of the network, or one where they are tied."""
        return 1 if self._tied else self.config.channels

    def tied(self) -> GlowPrior:
        """Return this prior for grey images (..., 1, H, W); itself where it has one channel.

        With R the copying of the one channel to all and R⁺ the mean of the channels, the grey flow has
        E(R x) for its latents and R⁺ D(z) for its images, so that R⁺ D(E(R x)) = x. Its energies are those
        of R x: the density of colour images, where all channels are equal. Measurements are of x, so that
        their noise counts once, and an image has no colour anywhere on the way.
        """
        other = copy.copy(self)
        other._tied = self.config.channels > 1
        return other

    def fitted(self, shape: tuple[int, ...]) -> GlowPrior:
        """Return the prior for images of a shape: at their size, and :meth:`tied` for grey ones.

        Raises
        ------
        ArgumentError
            If it does not take images of this shape.
        """
        grey = len(shape) == 3 and shape[0] == 1
        return super(GlowPrior, self.tied() if grey else self).fitted(shape)

    @property
    def config(self) -> GlowConfig:
        """The architecture."""
        return self._glow.config

    @property
    def glow(self) -> Glow:
        """The trainable network behind the prior (shared, on the CPU; copy it to train it)."""
        return self._glow

    @property
    def sha256(self) -> str:
        """SHA-256 of the file of weights, as 64 hexadecimal digits."""
        if self._sha256 is None:
            self._sha256 = hashlib.sha256(serialise(self._glow, self.card)).hexdigest()
        return self._sha256

    @property
    def multiple(self) -> int:
        """What heights and widths must be a multiple of to be taken without reflection."""
        return self.config.multiple

    @property
    def preserves_volume(self) -> bool:
        """Whether the couplings are additive."""
        return self.config.coupling == "additive"

    @property
    def bits(self) -> int:
        """Bits a value of the training images."""
        return self.config.bits

    def settings(self) -> dict[str, Any]:
        """Return the memory mode and the dtype of the couplings."""
        return {"memory": self.memory, "coupling_dtype": str(self.coupling_dtype).removeprefix("torch.")}

    def as_recorded(self, settings: dict[str, Any], dtype: torch.dtype) -> GlowPrior:
        """Return the prior with the dtypes and the memory mode of a run.

        What the record does not name, as those of older versions, stays as the prior has it.
        """
        prior = self if self.dtype == dtype else self.to(dtype=dtype)
        coupling_dtype = settings.get("coupling_dtype")
        if coupling_dtype is not None:
            coupling_dtype = getattr(torch, coupling_dtype, coupling_dtype)
            if prior.coupling_dtype != coupling_dtype:
                prior = prior.to(coupling_dtype=coupling_dtype)
        memory = settings.get("memory") or prior.memory
        return prior if memory == prior.memory else prior.with_memory(memory)

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each level's latent, the finest level first."""
        return [*self.config.latent_shapes(padded_size(self._chosen_size(), self.config.multiple))]

    @overload
    def encode(self, x: Tensor, log_det: Literal[False] = ...) -> Tensor: ...
    @overload
    def encode(self, x: Tensor, log_det: Literal[True]) -> tuple[Tensor, Tensor]: ...

    @undisturbed
    def encode(self, x: Tensor, log_det: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the standardised latents of images.

        Parameters
        ----------
        x : Tensor
            Images (..., C, H, W) in [0, 1].
        log_det : bool
            Whether to return the log-determinant too.

        Returns
        -------
        z : Tensor
            Latents (..., n).
        log_det : Tensor
            Only if asked for: log|det J_E(x)| of each image, (...).

        Raises
        ------
        ArgumentError
            As :meth:`check_image`.
        """
        self.check_image(x)
        batch = x.shape[:-3]
        if self._tied:
            x = x.expand(*batch, self.config.channels, *x.shape[-2:])
        x = reflect(x, padded_size((x.shape[-2], x.shape[-1]), self.config.multiple))
        levels, total = self._flow.encode(x.reshape(-1, *x.shape[-3:]), log_det)
        z = torch.cat([level.flatten(1) for level in levels], 1).reshape(*batch, -1)
        return z if total is None else (z, total.reshape(batch))

    @overload
    def decode(self, z: Tensor, log_det: Literal[False] = ...) -> Tensor: ...
    @overload
    def decode(self, z: Tensor, log_det: Literal[True]) -> tuple[Tensor, Tensor]: ...

    @undisturbed
    def decode(self, z: Tensor, log_det: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the images of latents: the exact inverse of :meth:`encode`.

        Parameters
        ----------
        z : Tensor
            Latents (..., n).
        log_det : bool
            Whether to return the log-determinant too.

        Returns
        -------
        x : Tensor
            Images (..., C, H, W); not clipped to [0, 1].
        log_det : Tensor
            Only if asked for: log|det J_D(z)| of each image, (...).

        Raises
        ------
        ArgumentError
            If `z` is not a torch tensor of this length, dtype and device.
        """
        batch = z.shape[:-1] if isinstance(z, Tensor) else ()
        x, total = self._flow.decode([level.flatten(0, -4) for level in self.split_latent(z)], log_det)
        if self._tied:
            x = x.mean(-3, keepdim=True)
        x = crop(x, self._chosen_size()).reshape(*batch, *self.image_shape)
        return x if total is None else (x, total.reshape(batch))

    @undisturbed
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the natural log-density (...) of images (..., C, H, W) in [0, 1]."""
        return super().log_prob(x)

    @undisturbed
    def energy(self, x: Tensor, phi: str = "nll") -> Tensor:
        """Return the energy phi(x) of images; see `FlowPrior.energy`."""
        return super().energy(x, phi)

    @undisturbed
    def latent_energy(self, z: Tensor, phi: str = "nll") -> tuple[Tensor, Tensor]:
        """Return the images of latents and their energies; see `FlowPrior.latent_energy`."""
        return super().latent_energy(z, phi)
