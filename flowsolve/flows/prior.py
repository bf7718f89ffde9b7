"""The prior that a person holds: images to latents and back, densities, energies, samples.

Every method takes any leading (batch) dimensions, treats each image as its own problem, and
can be differentiated; the weights cannot.
"""

from __future__ import annotations

import copy
import hashlib
import math
from typing import Literal, overload

import torch
from torch import Tensor

from ..ambient import undisturbed
from ..errors import ArgumentError
from .checkpoints import PriorCard, serialise
from .choices import PHIS as PHIS
from .choices import checked_phi
from .config import GlowConfig
from .energies import latent_energy
from .glow import Glow
from .padding import crop, padded_size, reflect
from .placed import Placed


class FlowPrior(Placed):
    """A normalizing flow E from images to standardised latents, with its inverse D.

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
        self.name = name
        self.source = source
        self.card = PriorCard() if card is None else card
        self._sha256 = sha256
        self._size = glow.config.size
        super().__init__(glow, device, dtype, memory, coupling_dtype)

    def __repr__(self) -> str:
        size = "any size" if self._size is None else f"{self._size[0]}x{self._size[1]}"
        return f"FlowPrior({self.name!r}, {size}, {self.dtype}, {str(self.device)!r})"

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
    def any_size(self) -> bool:
        """Whether the prior has no image size yet; see :meth:`at_size`."""
        return self._size is None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image.

        Raises
        ------
        ArgumentError
            If the prior takes any size and none was chosen with :meth:`at_size`.
        """
        return (self.config.channels, *self._chosen_size())

    @property
    def n(self) -> int:
        """Number of values in a latent: that in an image, or more where images are reflected."""
        return sum(self.latent_sizes)

    @property
    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """Shape of each level's latent, the finest level first."""
        return self.config.latent_shapes(padded_size(self._chosen_size(), self.config.multiple))

    @property
    def latent_sizes(self) -> list[int]:
        """Number of values in each level's latent, the finest level first."""
        return [math.prod(shape) for shape in self.latent_shapes]

    def at_size(self, height: int, width: int) -> FlowPrior:
        """Return a prior that takes any size, for images of this size.

        Parameters
        ----------
        height, width : int
            At least 1; the image is reflected to the next multiples of ``2**levels``.

        Raises
        ------
        ArgumentError
            If this prior was trained for another size, or a side is not positive.
        """
        trained = self.config.size
        if (trained is not None and trained != (height, width)) or min(height, width) < 1:
            raise ArgumentError("size", (height, width), self._accepted_sizes())
        other = copy.copy(self)
        other._size = (height, width)
        return other

    def check_image(self, x: Tensor) -> None:
        """Refuse what is not an image of this prior.

        Parameters
        ----------
        x : Tensor
            Images (..., C, H, W).

        Raises
        ------
        ArgumentError
            If `x` is not a torch tensor, or has another shape, dtype or device.
        """
        channels = self.config.channels
        accepted = f"images (..., {channels}, H, W) with {self._accepted_sizes()}"
        self._check_tensor("x", x, accepted)
        size = (x.shape[-2], x.shape[-1]) if x.ndim >= 3 else (0, 0)
        fits = min(size) > 0 if self._size is None else size == self._size
        if not fits or x.shape[-3] != channels:
            raise ArgumentError("x", f"shape {tuple(x.shape)}", accepted)

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
        x = crop(x, self._chosen_size()).reshape(*batch, *self.image_shape)
        return x if total is None else (x, total.reshape(batch))

    def split_latent(self, z: Tensor) -> list[Tensor]:
        """Return a latent level by level.

        Parameters
        ----------
        z : Tensor
            Latents (..., n).

        Returns
        -------
        list of Tensor
            For each level, finest first, (..., c, h, w) with the shapes of
            :attr:`latent_shapes` and at least one leading dimension.

        Raises
        ------
        ArgumentError
            If `z` is not a torch tensor of this length, dtype and device.
        """
        accepted = f"latents (..., {self.n})"
        self._check_tensor("z", z, accepted)
        if z.ndim == 0 or z.shape[-1] != self.n:
            raise ArgumentError("z", f"shape {tuple(z.shape)}", accepted)
        batch = z.shape[:-1] or (1,)
        parts = z.split(self.latent_sizes, -1)
        return [part.reshape(*batch, *shape) for part, shape in zip(parts, self.latent_shapes, strict=True)]

    @undisturbed
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the natural log-density (...) of images (..., C, H, W) in [0, 1]."""
        z, log_det = self.encode(x, log_det=True)
        return log_det - 0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> Tensor:
        """Draw images from the prior.

        Parameters
        ----------
        n : int
            How many.
        seed : int
            Seed; the same latents are drawn on every device.
        temperature : float
            Standard deviation of the latents.

        Returns
        -------
        Tensor
            Images (n, C, H, W); not clipped to [0, 1].

        Raises
        ------
        ArgumentError
            If `n` is not positive, or `temperature` is negative or not finite.
        """
        if n < 1:
            raise ArgumentError("n", n, "an integer >= 1")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ArgumentError("temperature", temperature, "a finite number >= 0")
        generator = torch.Generator().manual_seed(seed)
        z = temperature * torch.randn(n, self.n, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            return self.decode(z.to(self.device, self.dtype))

    @undisturbed
    def energy(self, x: Tensor, phi: str = "nll") -> Tensor:
        """Return the energy phi(x) of images.

        Parameters
        ----------
        x : Tensor
            Images (..., C, H, W).
        phi : {"latent", "nll", "typical"}
            ``||E(x)||^2``; or ``||E(x)||^2 - 2 log|det J_E(x)|``: twice the negative
            log-density less the constant ``n log(2 pi)``; or see :mod:`.energies`.

        Returns
        -------
        Tensor
            One value an image, (...).

        Raises
        ------
        ArgumentError
            If `phi` is another name, or as :meth:`check_image`.
        """
        if checked_phi(phi) != "nll":
            z = self.encode(x)
            sizes = self.at_size(x.shape[-2], x.shape[-1]).latent_sizes
            return latent_energy(z, phi, sizes).to(x.dtype)
        z, log_det = self.encode(x, log_det=True)
        return z.square().sum(-1) - 2 * log_det

    @undisturbed
    def latent_energy(self, z: Tensor, phi: str = "nll") -> tuple[Tensor, Tensor]:
        """Return the images of latents and their energies, in one pass of the decoder.

        Parameters
        ----------
        z : Tensor
            Latents (..., n).
        phi : {"latent", "nll", "typical"}
            ``||z||^2``, ``||z||^2 + 2 log|det J_D(z)|``, or see :mod:`.energies`.

        Returns
        -------
        x : Tensor
            ``decode(z)``, (..., C, H, W).
        psi : Tensor
            ``energy(decode(z), phi)`` up to rounding, (...).

        Raises
        ------
        ArgumentError
            If `phi` is another name, or as :meth:`decode`.
        """
        if checked_phi(phi) != "nll":
            return self.decode(z), latent_energy(z, phi, self.latent_sizes).to(z.dtype)
        x, log_det = self.decode(z, log_det=True)
        return x, z.square().sum(-1) + 2 * log_det

    def _chosen_size(self) -> tuple[int, int]:
        if self._size is None:
            accepted = "a prior with a size: this one takes any, choose it with prior.at_size(height, width)"
            raise ArgumentError("prior", self.name, accepted)
        return self._size

    def _accepted_sizes(self) -> str:
        size = self._size or self.config.size
        if size is not None:
            return f"height {size[0]} and width {size[1]}"
        return "height and width at least 1"

    def _check_tensor(self, argument: str, value: object, accepted: str) -> None:
        if not isinstance(value, Tensor):
            raise ArgumentError(argument, type(value).__name__, f"a torch.Tensor, {accepted}")
        if value.dtype != self.dtype:
            raise ArgumentError(argument, value.dtype, f"{self.dtype}, or prior.to(dtype={value.dtype})")
        if value.device.type != self.device.type:
            raise ArgumentError(argument, f"device {value.device}", f"a tensor on {self.device}")
