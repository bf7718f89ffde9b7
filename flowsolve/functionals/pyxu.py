"""Pyxu's proximable functionals as terms of a flow objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..arrays import to_numpy
from ..errors import ArgumentError, UnsupportedError
from .base import Functional, register_functional

PLAIN = ("L1Norm", "L2Norm", "LInfinityNorm", "PositiveL1Norm", "PositiveOrthant", "SquaredL2Norm")
"""Functionals of Pyxu that their shape alone makes, so that a record can name them."""


@register_functional("pyxu")
class PyxuFunctional(Functional):
    """A Pyxu functional with a proximal operator, such as ``pyxu.operator.L1Norm(dim_shape=(3, 64, 64))``.

    The functional is applied to each image on the host in float64, because Pyxu's own arithmetic may change
    the dtype (its proximal gradient turns float32 into float64); the result returns to the dtype and device
    of the image.

    Parameters
    ----------
    functional : pyxu.abc.ProxFunc
        Pyxu functional over one image; its ``dim_shape`` must be the image's shape or its number of pixels.
    weight : float
        Factor in front, >= 0.

    Raises
    ------
    ArgumentError
        If `functional` has no ``prox`` or no ``apply``, or `weight` is negative.
    """

    def __init__(self, functional: Any, weight: float = 1.0) -> None:
        if not (
            hasattr(functional, "prox") and hasattr(functional, "apply") and hasattr(functional, "dim_shape")
        ):
            raise ArgumentError("functional", type(functional).__name__, "a pyxu.abc.ProxFunc")
        if not weight >= 0:
            raise ArgumentError("weight", weight, "a number >= 0")
        self.functional, self.weight = functional, float(weight)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighted functional of each image."""
        values = [float(np.squeeze(self.functional.apply(image))) for image in self._images(x)]
        return self.weight * torch.tensor(values, dtype=torch.float64, device=x.device)

    def prox(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return Pyxu's prox of each image with step weight · tau."""
        steps = (self.weight * tau).tolist()
        moved = [self.functional.prox(a, tau=t) for a, t in zip(self._images(v), steps, strict=True)]
        return torch.as_tensor(np.stack(moved).reshape(v.shape)).to(v)

    def config(self) -> dict[str, Any]:
        """Return the functional's name, shape and weight."""
        kind, shape = type(self.functional).__name__, list(map(int, self.functional.dim_shape))
        return {"name": "pyxu", "functional": kind, "dim_shape": shape, "weight": self.weight}

    @classmethod
    def from_config(
        cls, functional: str, weight: float, dim_shape: Sequence[int] | None = None
    ) -> PyxuFunctional:
        """Return the functional that `config` described.

        Raises
        ------
        UnsupportedError
            If it is none that can be made from its name and shape.
        """
        if functional not in PLAIN or dim_shape is None:
            raise UnsupportedError(
                f"extra: Pyxu's {functional!r} cannot be built again from a record; of Pyxu's can "
                f"{', '.join(PLAIN)}; others go into a class with @flowsolve.functionals.register_functional"
            )
        import pyxu.operator

        return cls(getattr(pyxu.operator, functional)(dim_shape=tuple(dim_shape)), weight)

    def _images(self, x: torch.Tensor) -> np.ndarray:
        shape = tuple(self.functional.dim_shape)
        if int(np.prod(shape)) != x[0].numel():
            raise ArgumentError(
                "functional", f"dim_shape {shape}", f"that of the image, {tuple(x.shape[1:])}"
            )
        return to_numpy(x.detach()).astype(np.float64).reshape(len(x), *shape)
