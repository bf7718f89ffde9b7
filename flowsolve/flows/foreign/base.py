"""What a foreign format has to say of its files, and the names of the formats there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...registry import Registry
from ..checkpoints import check_tensors
from ..config import GlowConfig
from .weights import Weights

F = TypeVar("F", bound="type[ForeignFormat]")

formats: Registry[type[ForeignFormat]] = Registry("format")
"""The formats by name; add one with :func:`register_format`."""


def register_format(name: str) -> Callable[[F], F]:
    """Return a class decorator that registers a :class:`ForeignFormat` under a name."""
    return formats.register(name)  # type: ignore[return-value]


class ForeignFormat(ABC):
    """How one program names and means the tensors of its flows.

    A subclass is a dataclass; its fields are what its files do not say and a person may.

    Attributes
    ----------
    example : str
        Name of a tensor that every file of the format has.
    bits : int
        Bits a pixel value that the program trains with unless told otherwise.
    """

    example: ClassVar[str]
    bits: ClassVar[int]

    @abstractmethod
    def architecture(self, tensors: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """Return the fields of a :class:`GlowConfig` that the tensors' names and shapes tell.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            The file's tensors.
        source : str
            Its path, for errors.

        Returns
        -------
        dict
            Without ``bits``, and without ``image_size`` where the file does not say it.

        Raises
        ------
        CheckpointError
            If the tensors are not this format's.
        """

    @abstractmethod
    def shapes(self, config: GlowConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of the tensors that a flow of this architecture needs."""

    @abstractmethod
    def convert(self, config: GlowConfig, tensors: Mapping[str, Tensor], weights: Weights) -> None:
        """Put all of the flow's tensors into `weights`."""

    def ignores(self, name: str) -> bool:
        """Tell whether a tensor may be there or not, since nothing depends on it."""
        return False

    def notes(self, config: GlowConfig) -> list[str]:
        """Return what was assumed because the file does not say it, a sentence each."""
        return []

    def weights(
        self, config: GlowConfig, tensors: Mapping[str, Tensor], source: str, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Check the file's tensors and return those of the flow.

        Raises
        ------
        CheckpointError
            If tensors are missing, unknown, misshapen or not finite; the message names them as
            the file does.
        """
        needed = {name: tensor for name, tensor in tensors.items() if not self.ignores(name)}
        check_tensors(source, needed, self.shapes(config, tensors))
        weights = Weights(dtype)
        self.convert(config, needed, weights)
        return weights.tensors

    def _vote(self, values: Iterable[float], what: str, source: str) -> int:
        """Return the most frequent value, so that one misshapen tensor does not speak for all.

        Raises
        ------
        CheckpointError
            If there are no values, or the most frequent one is not a positive whole number.
        """
        counts = Counter(values)
        if not counts:
            raise CheckpointError(f"{source}: no tensor that tells the {what}")
        value = counts.most_common(1)[0][0]
        if value != int(value) or value < 1:
            raise CheckpointError(f"{source}: its tensors tell {value:g} for the {what}")
        return int(value)

    def _absent(self, source: str) -> CheckpointError:
        return CheckpointError(f"{source}: no tensor named like {self.example}")


def level_lengths(modules: Iterable[int]) -> list[int]:
    """Return the number of steps of each level, where steps are numbered with what stands between.

    Parameters
    ----------
    modules : iterable of int
        The numbers of the steps in squeeze, steps, split, squeeze, steps, ...: between two levels,
        two numbers are missing.

    Returns
    -------
    list of int
        One number a level; a step that is missing inside a level is counted.
    """
    numbers = sorted(set(modules))
    starts = [number for before, number in zip([-9, *numbers], numbers, strict=False) if number - before > 2]
    ends = [
        before
        for before, number in zip(numbers, [*numbers[1:], numbers[-1] + 9], strict=True)
        if number - before > 2
    ]
    return [end - start + 1 for start, end in zip(starts, ends, strict=True)]
