"""A task that is nothing but an operator: any registered one, with its options, or a description of one."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..files import read_text
from ..operators import LinearOperator, from_config
from ..operators import registry as operator_registry
from ..operators.config import encode_array
from .base import Size, Task

Shape = tuple[int, int, int]

DIM_SHAPE = "dim_shape"


@dataclass(frozen=True, eq=False)
class OperatorTask(Task):
    """Restore what an operator measured.

    Attributes
    ----------
    operator_name : str
        Name of a registered operator, or of a composite that a file describes.
    arguments : mapping
        Its options, as ``config()`` has them; `dim_shape` need not be one.
    """

    operator_name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Return nothing: the options are the operator's."""
        return {}

    def operator(self, dim_shape: Shape, *, n_images: int = 1, seed: int = 0) -> LinearOperator:
        """Return the operator for images of a shape."""
        options = dict(self.arguments)
        kind = operator_registry.get(self.operator_name) if self.operator_name in operator_registry else None
        if kind is not None and DIM_SHAPE in inspect.signature(kind).parameters:
            options.setdefault(DIM_SHAPE, list(dim_shape))
        try:
            operator: LinearOperator = from_config({"name": self.operator_name, **options})
        except ArgumentError as error:
            said = "operator-option" if error.argument == "config" else error.argument
            raise ArgumentError(said, error.given, error.accepted) from None
        if tuple(operator.dim_shape) != tuple(dim_shape):
            given = f"{self.operator_name}, for images of shape {tuple(operator.dim_shape)}"
            raise ArgumentError("operator", given, f"one for images of shape {tuple(dim_shape)}")
        return operator

    @property
    def dim_shape(self) -> Shape | None:
        """Shape of the images, where the options say it."""
        given = self.arguments.get(DIM_SHAPE)
        return None if given is None else (int(given[0]), int(given[1]), int(given[2]))

    def image_size(self, size: Size) -> Size:
        """Return the size of the images that the options say, or that of the measurements."""
        return size if self.dim_shape is None else self.dim_shape[1:]

    def config(self) -> dict[str, Any]:
        """Return the operator's name; its options are described with the operator."""
        return {"name": self.operator_name, "options": {}}


def operator_task(name_or_file: str, options: Mapping[str, Any]) -> OperatorTask:
    """Return the task of an operator.

    Parameters
    ----------
    name_or_file : str
        Name of a registered operator, or a ``.json`` or ``.toml`` file with what its ``config()`` returns.
    options : mapping
        Options by name, which go over those of a file; a text that ends in ``.npy`` is the array there.

    Raises
    ------
    ArgumentError
        If there is no such operator, or a file cannot be read.
    """
    described: dict[str, Any] = {"name": name_or_file}
    if name_or_file.endswith((".json", ".toml")):
        described = _read(Path(name_or_file))
    else:
        operator_registry.get(name_or_file, "operator")
    name = described.pop("name")
    return OperatorTask(str(name), described | {key: _option(key, value) for key, value in options.items()})


def _read(path: Path) -> dict[str, Any]:
    accepted = 'a JSON or TOML file of an operator\'s config(), {"name": ..., option: value, ...}'
    try:
        text = read_text(path)
        document = json.loads(text) if path.suffix == ".json" else _toml(text)
    except (OSError, ValueError) as error:
        raise ArgumentError(
            "operator", f"{path} ({getattr(error, 'strerror', None) or error})", accepted
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise ArgumentError("operator", f"{path}, which names no operator", accepted)
    return document


def _toml(text: str) -> dict[str, Any]:
    from ..studies.toml import tomllib

    return tomllib.loads(text)


def _option(name: str, value: Any) -> Any:
    if not (isinstance(value, str) and value.endswith(".npy")):
        return value
    try:
        return encode_array(np.load(value, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ArgumentError(
            "operator-option", f"{name}={value} ({error})", "a .npy file of numbers"
        ) from None
