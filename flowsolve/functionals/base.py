"""What a term must offer to take part in forward-backward splitting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import UnsupportedError
from ..registry import Registry


class Functional(ABC):
    """A convex term g over images, one value and one proximal step per image of a batch.

    To be recorded it is registered: a record keeps its `config`, from which ``cls(**options)``, or
    ``cls.from_config(**options)`` where there is one, makes it again.
    """

    @abstractmethod
    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Return g(x), shape (N,), float64; 0 or infinity for an indicator.

        Parameters
        ----------
        x : torch.Tensor, shape (N, C, H, W)
            Images.
        """

    @abstractmethod
    def prox(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return argmin over x of g(x) + ‖x − v‖²/(2 tau), of the shape and dtype of v.

        Parameters
        ----------
        v : torch.Tensor, shape (N, C, H, W)
            Images.
        tau : torch.Tensor, shape (N,)
            Positive step of every image.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return a JSON-able description for the run record."""


registry: Registry[type[Functional]] = Registry("functional", "flowsolve.functionals")
register_functional = registry.register


def describe(functional: Functional) -> dict[str, Any]:
    """Return the ``config()`` of a functional, having asked whether it can be made again from it.

    Raises
    ------
    UnsupportedError
        If its class is not registered under the name that its ``config()`` has, or refuses it.
    """
    described = functional.config()
    name = described.get("name")
    if name not in registry or registry.get(str(name)) is not type(functional):
        raise UnsupportedError(
            f"extra: {type(functional).__name__} cannot be described, as a record does: it is not "
            f'registered; put @flowsolve.functionals.register_functional("{name}") before the class'
        )
    from_config(described)
    return described


def from_config(config: Mapping[str, Any]) -> Functional:
    """Return the functional that `describe` described.

    Raises
    ------
    ArgumentError
        If the name is unknown.
    """
    options = dict(config)
    kind = registry.get(str(options.pop("name")), "extra")
    make = getattr(kind, "from_config", kind)
    return make(**options)
