"""What objectives, solvers, records and methods use of a prior: these members and no others.

`Prior` is anything that says which images are likely: a flow, an energy, a denoiser. `FlowPrior` is a prior
that is a bijection between images and standard normal latents, which synthesis, starts from latents and the
terms made of latents need. A prior of one's own implements the abstract members;
`flowsolve.priors.check_prior` says whether it does so rightly.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor
from typing_extensions import Self

from ..errors import ArgumentError, UnsupportedError
from .card import PriorCard
from .terms import of_latents


class Prior(ABC):
    """What says which images are likely; each image of a batch is judged on its own.

    Parameters
    ----------
    name : str
        What to call the prior.
    channels : int, optional
        Channels of its images; any number unless given.
    size : (int, int), optional
        Height and width of its images; any unless given.
    source : str, optional
        Name or path that `flowsolve.load_prior` finds it by; by default, none.
    card : PriorCard, optional
        What is worth knowing of it.

    Attributes
    ----------
    kind : str
        What kind of prior it is, in a word, for records and reports.
    default_phi : str or None
        Prior term of an objective that was given none; None for that of the formulation.
    has_latents : bool
        Whether it is a `FlowPrior`.
    """

    kind: ClassVar[str] = "prior"
    has_latents: ClassVar[bool] = False
    default_phi: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        name: str,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        source: str | None = None,
        card: PriorCard | None = None,
    ) -> None:
        self.name, self.source = name, source
        self.card = PriorCard() if card is None else card
        self._channels, self._trained_size, self._size = channels, size, size

    def __repr__(self) -> str:
        size = "any size" if self._size is None else f"{self._size[0]}x{self._size[1]}"
        return f"{type(self).__name__}({self.name!r}, {size}, {self.dtype}, {str(self.device)!r})"

    @property
    @abstractmethod
    def sha256(self) -> str:
        """What tells this prior from every other in a record: 64 hexadecimal digits."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype of images."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of images."""

    @abstractmethod
    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return this prior on another device or in another dtype.

        Raises
        ------
        ArgumentError
            If the device is not there, or the prior has no such dtype.
        """

    @property
    def channels(self) -> int | None:
        """Channels of an image, None for any number."""
        return self._channels

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images that the prior was made for, None for any."""
        return self._trained_size

    @property
    def multiple(self) -> int:
        """What heights and widths must be a multiple of to be taken without reflection."""
        return 1

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
        size, channels = self._chosen_size(), self.channels
        if channels is None:
            raise ArgumentError("prior", self.name, "a prior with a number of channels: this one takes any")
        return (channels, *size)

    @property
    def n(self) -> int:
        """Number of values in a latent; 0 where the prior has none."""
        return 0

    def latents(self, x: Tensor) -> Tensor:
        """Return the latents of images, of shape (..., n): of no values where the prior has none."""
        return x.new_zeros(*x.shape[:-3], 0)

    def settings(self) -> dict[str, Any]:
        """Return what else a record keeps of how the prior computes, JSON-able."""
        return {"kind": self.kind}

    def as_recorded(self, settings: dict[str, Any], dtype: torch.dtype) -> Self:
        """Return this prior as a run used it, from the `settings` in its record."""
        return self if self.dtype == dtype else self.to(dtype=dtype)

    def at_size(self, height: int, width: int) -> Self:
        """Return a prior that takes any size, for images of this size.

        Parameters
        ----------
        height, width : int
            At least 1.

        Raises
        ------
        ArgumentError
            If this prior was made for another size, or a side is not positive.
        """
        made_for = self.size
        if (made_for is not None and made_for != (height, width)) or min(height, width) < 1:
            raise ArgumentError("size", (height, width), self._accepted_sizes())
        other = copy.copy(self)
        other._size = (height, width)
        return other

    def fitted(self, shape: tuple[int, ...]) -> Self:
        """Return the prior at the size of an operator's images.

        Raises
        ------
        ArgumentError
            If it does not take images of this shape.
        """
        takes_channels = len(shape) == 3 and self.channels in (None, shape[0])
        if takes_channels and self.any_size:
            return self.at_size(*shape[1:])
        if not takes_channels or self._size != tuple(shape[1:]):
            channels = "C" if self.channels is None else self.channels
            takes = f"({channels}, {self.size[0]}, {self.size[1]})" if self.size else f"({channels}, H, W)"
            accepted = f"{takes}, as the prior {self.name!r} takes"
            raise ArgumentError("operator", f"images of shape {shape}", accepted)
        return self

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
        channels = self.channels
        wanted = "C" if channels is None else channels
        accepted = f"images (..., {wanted}, H, W) with {self._accepted_sizes()}"
        self._check_tensor("x", x, accepted)
        size = (x.shape[-2], x.shape[-1]) if x.ndim >= 3 else (0, 0)
        fits = min(size) > 0 if self._size is None else size == self._size
        if not fits or (channels is not None and x.shape[-3] != channels):
            raise ArgumentError("x", f"shape {tuple(x.shape)}", accepted)

    def _chosen_size(self) -> tuple[int, int]:
        if self._size is None:
            accepted = "a prior with a size: this one takes any, choose it with prior.at_size(height, width)"
            raise ArgumentError("prior", self.name, accepted)
        return self._size

    def _accepted_sizes(self) -> str:
        size = self._size or self.size
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


class FlowPrior(Prior):
    """A normalizing flow E from images to standardised latents, with its inverse D.

    A subclass has ``encode``, ``decode`` and, where it has several levels, ``latent_shapes``; both maps take
    any leading dimensions, treat each image as its own problem, and can be differentiated.

    Notes
    -----
    Images are (..., C, H, W) in [0, 1]; values outside are allowed. Latents are (..., n), the levels one
    after the other from the finest. Under the model they are standard normal.
    """

    kind: ClassVar[str] = "flow"
    has_latents: ClassVar[bool] = True

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Make a Glow of a call of `FlowPrior`, its name before there were other flows."""
        if cls is FlowPrior:
            from ..flows.prior import GlowPrior

            return super().__new__(GlowPrior)
        return super().__new__(cls)

    @overload
    def encode(self, x: Tensor, log_det: Literal[False] = ...) -> Tensor: ...
    @overload
    def encode(self, x: Tensor, log_det: Literal[True]) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def encode(self, x: Tensor, log_det: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the latents (..., n) of images (..., C, H, W), and log|det J_E| if asked for."""

    @overload
    def decode(self, z: Tensor, log_det: Literal[False] = ...) -> Tensor: ...
    @overload
    def decode(self, z: Tensor, log_det: Literal[True]) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def decode(self, z: Tensor, log_det: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the images of latents, the exact inverse of `encode`, and log|det J_D| if asked for."""

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each level's latent, the finest level first."""
        return [(math.prod(self.image_shape),)]

    @property
    def latent_sizes(self) -> list[int]:
        """Number of values in each level's latent, the finest level first."""
        return [math.prod(shape) for shape in self.latent_shapes]

    @property
    def n(self) -> int:
        """Number of values in a latent."""
        return sum(self.latent_sizes)

    @property
    def preserves_volume(self) -> bool:
        """Whether log|det J_E| changes with the image through the standardisation of latents alone.

        Such a log-determinant goes on falling over latents when over images F has all but stopped.
        """
        return False

    @property
    def bits(self) -> int:
        """Bits a value of the images that it was trained on, for densities in bits a dimension."""
        return 8

    def latents(self, x: Tensor) -> Tensor:
        """Return E(x)."""
        return self.encode(x)

    def split_latent(self, z: Tensor) -> list[Tensor]:
        """Return a latent level by level.

        Parameters
        ----------
        z : Tensor
            Latents (..., n).

        Returns
        -------
        list of Tensor
            For each level, finest first, (..., *shape) with the shapes of :attr:`latent_shapes` and at least
            one leading dimension.

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

    def energy(self, x: Tensor, phi: str = "nll") -> Tensor:
        """Return the energy phi(x) of images.

        Parameters
        ----------
        x : Tensor
            Images (..., C, H, W).
        phi : str
            A prior term made of latents: ``latent`` is ``||E(x)||^2``; ``nll`` is
            ``||E(x)||^2 - 2 log|det J_E(x)|``, twice the negative log-density less the constant
            ``n log(2 pi)``; for ``typical`` and others see `flowsolve.priors.terms`.

        Returns
        -------
        Tensor
            One value an image, (...).

        Raises
        ------
        ArgumentError
            If there is no such term, or as :meth:`check_image`.
        """
        term = of_latents(phi)
        z, log_det = self.encode(x, log_det=True) if term.needs_log_det else (self.encode(x), None)
        energy = term.value(z, self.at_size(x.shape[-2], x.shape[-1]).latent_sizes).to(x.dtype)
        return energy if log_det is None else energy - 2 * log_det

    def latent_energy(self, z: Tensor, phi: str = "nll") -> tuple[Tensor, Tensor]:
        """Return the images of latents and their energies, in one pass of the decoder.

        Parameters
        ----------
        z : Tensor
            Latents (..., n).
        phi : str
            As for :meth:`energy`: ``||z||^2``, ``||z||^2 + 2 log|det J_D(z)|``, ...

        Returns
        -------
        x : Tensor
            ``decode(z)``, (..., C, H, W).
        psi : Tensor
            ``energy(decode(z), phi)`` up to rounding, (...).

        Raises
        ------
        ArgumentError
            If there is no such term, or as :meth:`decode`.
        """
        term = of_latents(phi)
        if not term.needs_log_det:
            return self.decode(z), term.value(z, self.latent_sizes).to(z.dtype)
        x, log_det = self.decode(z, log_det=True)
        return x, term.value(z, self.latent_sizes).to(z.dtype) + 2 * log_det


def require_flow(prior: Prior, who: str) -> FlowPrior:
    """Return a prior that has latents.

    Raises
    ------
    UnsupportedError
        If it has none.
    """
    if not isinstance(prior, FlowPrior):
        raise UnsupportedError(
            f"{who} needs latents, which the prior {prior.name!r} ({prior.kind}) does not have; use the "
            "analysis objective and a start over images, or a normalizing flow"
        )
    return prior
