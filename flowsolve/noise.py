"""Noise models: what lies between A x and the measurement y.

Every model draws the noise of image i from the seed pair (seed, i), as
:func:`flowsolve.problem.degrade` does, so it does not change with the number of images.
Where the operator measures nothing (a mask's holes) the measurement stays as it is.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import fidelities
from .arrays import Array, check_float, copy, from_host, namespace, to_numpy
from .errors import ArgumentError, UnsupportedError
from .operators.checks import as_number
from .operators.config import split_config
from .registry import Registry

if TYPE_CHECKING:
    from .operators import LinearOperator

LEAST_VARIANCE, TINY = 1e-3, 1e-12
"""Share of the largest variance below which none is taken, so that no value weighs more than all others."""

OUTLIERS_APART = 0.02
"""Difference from A x beyond which a value counts as one that salt and pepper replaced."""

NEGATIVE = 1e-5
"""Photon rates down to minus this fraction of the largest count as zero: an FFT leaves such values."""


class NoiseModel(ABC):
    """A noise model; a subclass is a frozen dataclass whose fields are its parameters.

    Attributes
    ----------
    fidelity : str
        Name of the data fidelity (:mod:`flowsolve.fidelities`) that suits the noise: ``least_squares``,
        ``weighted_least_squares`` (by the variance), or what `data_fidelity` returns.
    """

    fidelity: ClassVar[str] = "least_squares"

    @abstractmethod
    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return y − A x of one image, float64, of the shape of `clean`, up to :attr:`_scale`."""

    @property
    def _scale(self) -> float:
        """What the noise is multiplied by, in the precision of the measurement."""
        return 1.0

    @abstractmethod
    def variance(self, clean: Array) -> Array:
        """Return the variance of each measured value.

        Parameters
        ----------
        clean : array
            A x, or an estimate of it.

        Returns
        -------
        array
            Shape, library, dtype and device of `clean`.

        Raises
        ------
        UnsupportedError
            If one number does not describe the noise.
        """

    def data_fidelity(self, y: Array) -> fidelities.Fidelity:
        """Return the data term that suits the noise; for least squares without the factor 1/σ².

        Parameters
        ----------
        y : array, shape (N, ...)
            Measurements, by which a variance that depends on them is estimated.
        """
        if self.fidelity == "weighted_least_squares":
            variance = to_numpy(self.variance(y)).astype(np.float64)
            weights = 1 / np.maximum(variance, LEAST_VARIANCE * variance.max(initial=TINY))
            return fidelities.WeightedLeastSquares(weights, per_image=True)
        return fidelities.registry.get(self.fidelity)()

    def level(self, y: Array) -> float:
        """Return one standard deviation that stands for the noise, for whatever goes by one number.

        Parameters
        ----------
        y : array, shape (N, ...)
            Measurements.
        """
        return math.sqrt(float(to_numpy(self.variance(y)).astype(np.float64).mean()))

    def corrupt(self, operator: LinearOperator, clean: Array, *, seed: int = 0) -> Array:
        """Return noisy measurements.

        Parameters
        ----------
        operator : LinearOperator
            The operator that measured; its ``support`` says where there is no noise.
        clean : array
            A x, float32 or float64, shape ``(..., *codim_shape)``.
        seed : int, optional
            Seed, >= 0.

        Returns
        -------
        array
            Shape, library, dtype and device of `clean`.

        Raises
        ------
        ArgumentError
            If the shape is not that of measurements, or the model cannot take the values.
        """
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise ArgumentError("seed", seed, "an integer >= 0")
        check_float(clean, "clean")
        shape = tuple(operator.codim_shape)
        host = to_numpy(clean).astype(np.float64)
        if host.ndim < len(shape) or host.shape[host.ndim - len(shape) :] != shape:
            raise ArgumentError("clean", f"shape {host.shape}", f"shape (..., {', '.join(map(str, shape))})")
        if not host.size:
            return copy(clean)
        images = host.reshape(-1, *shape)
        draws = [self._noise(y, np.random.default_rng([int(seed), i])) for i, y in enumerate(images)]
        noise = np.stack(draws).reshape(host.shape)
        if operator.support is not None:
            noise = noise * operator.support
        return clean + self._scale * from_host(noise, clean)

    def config(self) -> dict[str, Any]:
        """Return name and parameters, JSON-able, as :func:`from_config` takes them."""
        name = next((key for key in registry if registry.get(key) is type(self)), None)
        if name is None or not dataclasses.is_dataclass(self):
            raise UnsupportedError(
                f"noise: {type(self).__name__} cannot be described, as a record does; make it a dataclass, "
                'and put @flowsolve.noise.register_noise_model("name") before it'
            )
        return {"name": name, **dataclasses.asdict(self)}


registry: Registry[type[NoiseModel]] = Registry("noise model", "flowsolve.noise_models")
register_noise_model = registry.register


@register_noise_model("gaussian")
@dataclass(frozen=True)
class Gaussian(NoiseModel):
    """White Gaussian noise; what :func:`flowsolve.problem.degrade` adds, number for number.

    Parameters
    ----------
    sigma : float
        Standard deviation, in units of the measurement, >= 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        as_number(self.sigma, "sigma", zero=True)

    @property
    def _scale(self) -> float:
        return float(self.sigma)

    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal(clean.shape)

    def level(self, y: Array) -> float:
        """Return sigma."""
        return float(self.sigma)

    def variance(self, clean: Array) -> Array:
        """Return sigma² everywhere."""
        return namespace(clean).full_like(clean, self.sigma**2)


@register_noise_model("poisson")
@dataclass(frozen=True)
class Poisson(NoiseModel):
    """Photon counts: y = Poisson(peak · A x) / peak.

    Parameters
    ----------
    peak : float
        Mean number of photons where A x is 1, > 0. Values of A x below 0 are refused, but
        for rounding, which counts as 0.
    """

    peak: float
    fidelity: ClassVar[str] = "kullback_leibler"

    def __post_init__(self) -> None:
        as_number(self.peak, "peak")

    def data_fidelity(self, y: Array) -> fidelities.Fidelity:
        """Return the Kullback-Leibler divergence, from below one photon on a parabola."""
        return fidelities.KullbackLeibler(peak=self.peak, floor=1 / self.peak)

    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(self.peak * _rate(clean)) / self.peak - clean

    def variance(self, clean: Array) -> Array:
        """Return A x / peak, 0 where A x is negative."""
        return _positive_part(clean) / self.peak


@register_noise_model("poisson_gaussian")
@dataclass(frozen=True)
class PoissonGaussian(NoiseModel):
    """Photon counts read out with Gaussian noise: y = Poisson(peak · A x) / peak + sigma n.

    Parameters
    ----------
    peak : float
        Mean number of photons where A x is 1, > 0.
    sigma : float
        Standard deviation of the read-out noise, in units of the measurement, >= 0.

    Notes
    -----
    Weighted least squares with weights 1 / variance suits it where counts are not small
    (Foi, Trimeche, Katkovnik and Egiazarian, IEEE Trans. Image Process. 17, 2008).
    """

    peak: float
    sigma: float
    fidelity: ClassVar[str] = "weighted_least_squares"

    def __post_init__(self) -> None:
        as_number(self.peak, "peak")
        as_number(self.sigma, "sigma", zero=True)

    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = rng.poisson(self.peak * _rate(clean)) / self.peak
        return counts - clean + self.sigma * rng.standard_normal(clean.shape)

    def variance(self, clean: Array) -> Array:
        """Return A x / peak + sigma²."""
        return _positive_part(clean) / self.peak + self.sigma**2


@register_noise_model("salt_and_pepper")
@dataclass(frozen=True)
class SaltAndPepper(NoiseModel):
    """Some values, each on its own, replaced by the lowest or the highest.

    Parameters
    ----------
    amount : float
        Probability that a value is replaced, in [0, 1].
    salt : float, optional
        Probability that what replaces it is the highest value, in [0, 1].
    low, high : float, optional
        The values; 0 and 1 unless told.
    """

    amount: float
    salt: float = 0.5
    low: float = 0.0
    high: float = 1.0
    fidelity: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        for name in ("amount", "salt"):
            as_number(getattr(self, name), name, zero=True, most=1.0)
        _require_range(self.low, self.high)

    def data_fidelity(self, y: Array) -> fidelities.Fidelity:
        """Return Huber's function, which lets go of values that were replaced."""
        return fidelities.Huber(OUTLIERS_APART, scale=1 / OUTLIERS_APART**2)

    def level(self, y: Array) -> float:
        """Return the root of what the differences' squares are on average, for clean values spread evenly."""
        return math.sqrt(self.amount / 3) * (self.high - self.low)

    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hit, white = rng.random((2, *clean.shape))
        value = np.where(white < self.salt, self.high, self.low)
        return np.where(hit < self.amount, value - clean, 0.0)

    def variance(self, clean: Array) -> Array:
        """Raise `UnsupportedError`: most values carry no noise and the others no signal."""
        raise UnsupportedError("salt_and_pepper has no variance to weigh values by; use the huber fidelity")


@register_noise_model("quantisation")
@dataclass(frozen=True)
class Quantisation(NoiseModel):
    """Rounding to evenly spaced levels; there is nothing random about it.

    Parameters
    ----------
    bits : int
        2^bits levels, from `low` to `high`, both included; 1 to 16.
    low, high : float, optional
        The range; values outside are clipped to it. 0 and 1 unless told.
    """

    bits: int
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.bits, Integral) or isinstance(self.bits, bool) or not 1 <= self.bits <= 16:
            raise ArgumentError("bits", self.bits, "an integer from 1 to 16")
        _require_range(self.low, self.high)

    @property
    def step(self) -> float:
        """Distance between two levels."""
        return (self.high - self.low) / (2**self.bits - 1)

    def _noise(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        inside = np.clip(clean, self.low, self.high)
        return self.low + self.step * np.rint((inside - self.low) / self.step) - clean

    def variance(self, clean: Array) -> Array:
        """Return step² / 12, that of an error spread evenly over a step."""
        return namespace(clean).full_like(clean, self.step**2 / 12)


def from_config(config: Mapping[str, Any]) -> NoiseModel:
    """Return the noise model that ``config()`` described.

    Parameters
    ----------
    config : mapping
        ``{"name": ..., parameter: value, ...}``.

    Raises
    ------
    ArgumentError
        If the name is unknown or the parameters are not those of the model.
    """
    name, options = split_config(config, "noise", "parameter")
    cls = registry.get(name, "noise")
    try:
        return cls(**options)
    except TypeError as error:
        names = ", ".join(f.name for f in dataclasses.fields(cls))  # type: ignore[arg-type]
        raise ArgumentError("noise", error, f"the parameters of {name}: {names}") from None


def parse_noise(text: str) -> NoiseModel:
    """Return the noise model of a text such as ``poisson_gaussian:peak=30,sigma=0.01``.

    Raises
    ------
    ArgumentError
        If the name or a parameter is unknown, or a value is no number.
    """
    name, _, rest = text.partition(":")
    parameters: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            separator = ""
        if not separator:
            accepted = f"NAME:PARAMETER=NUMBER,..., such as poisson:peak=30; names: {', '.join(registry)}"
            raise ArgumentError("noise", repr(text), accepted)
        parameters[key.strip()] = int(number) if value.strip().isdigit() else number
    return from_config({"name": name.strip(), **parameters})


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters of a registered model with their defaults, ``...`` where there is none."""
    fields = dataclasses.fields(registry.get(name, "noise"))  # type: ignore[arg-type]
    return {f.name: ... if f.default is dataclasses.MISSING else f.default for f in fields}


def _rate(clean: np.ndarray) -> np.ndarray:
    least, largest = float(clean.min()), float(np.abs(clean).max())
    if least < -NEGATIVE * largest:
        raise ArgumentError("clean", f"values down to {least:.3g}", "values >= 0, as photon rates are")
    return np.maximum(clean, 0.0)


def _positive_part(clean: Array) -> Array:
    xp = namespace(clean)
    return xp.where(clean > 0, clean, xp.zeros_like(clean))


def _require_range(low: Any, high: Any) -> None:
    good = all(isinstance(v, Real) and math.isfinite(float(v)) for v in (low, high))
    if not good or not low < high:
        raise ArgumentError("low, high", (low, high), "finite numbers with low < high")
