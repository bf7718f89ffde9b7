"""Descriptions of operators as JSON, and operators from descriptions."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .registration import composites, registry


def encode_array(value: np.ndarray) -> dict[str, Any]:
    """Return an array as ``{"shape", "dtype", "data"}`` with base64 data.

    The smallest of uint8, float32 and float64 that holds the values exactly is used, so
    that a mask of zeros and ones takes a byte a pixel.
    """
    host = np.asarray(value, dtype=np.float64)
    dtype = "<f8"
    for candidate in ("|u1", "<f4"):
        in_range = candidate != "|u1" or (host.min() >= 0 and host.max() <= 255)
        if in_range and np.array_equal(host.astype(candidate).astype(np.float64), host):
            dtype = candidate
            break
    data = base64.b64encode(np.ascontiguousarray(host.astype(dtype)).tobytes()).decode("ascii")
    return {"shape": list(host.shape), "dtype": dtype, "data": data}


def is_encoded_array(value: Any) -> bool:
    """Return whether `value` is what :func:`encode_array` returns."""
    return isinstance(value, Mapping) and {"shape", "data"} <= set(value)


def decode_array(value: Mapping[str, Any]) -> np.ndarray:
    """Return the float64 array that :func:`encode_array` described.

    Raises
    ------
    ArgumentError
        If the description does not hold together.
    """
    dtype = value.get("dtype", "<f8")
    accepted = "a description by shape, dtype (|u1, <f4 or <f8) and base64 data that agree"
    if dtype not in ("|u1", "<f4", "<f8"):
        raise ArgumentError("config", f"dtype {dtype!r}", accepted)
    try:
        raw = base64.b64decode(value["data"], validate=True)
        return np.frombuffer(raw, dtype=dtype).reshape(value["shape"]).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ArgumentError("config", f"an array that cannot be read ({error})", accepted) from None


def decode_options(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``cls(...)`` with arrays decoded, having checked their names.

    Raises
    ------
    ArgumentError
        If `cls` has no such argument, or one is missing.
    """
    decoded = {
        key: decode_array(value) if is_encoded_array(value) else value for key, value in options.items()
    }
    signature = inspect.signature(cls)
    try:
        signature.bind(**decoded)
    except TypeError as error:
        accepted = f"the options of {getattr(cls, 'name', cls.__name__)}: {', '.join(signature.parameters)}"
        raise ArgumentError("config", error, accepted) from None
    return decoded


def split_config(config: Any, argument: str, word: str = "option") -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a configuration.

    Parameters
    ----------
    config : mapping
        ``{"name": ..., option: value, ...}``.
    argument : str
        What to call it in an error.
    word : str
        What its entries are called there.

    Raises
    ------
    ArgumentError
        If it is no such mapping.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise ArgumentError(argument, config, f'a mapping {{"name": ..., {word}: value, ...}}')
    return config["name"], {key: value for key, value in config.items() if key != "name"}


def from_config(config: Mapping[str, Any]) -> Any:
    """Return the operator that ``config()`` described.

    Parameters
    ----------
    config : mapping
        ``{"name": ..., option: value, ...}``.

    Returns
    -------
    LinearOperator
        An operator with the same entries as the one described.

    Raises
    ------
    ArgumentError
        If the name is unknown or the options are not those of the operator.
    """
    name, options = split_config(config, "config")
    cls = composites[name] if name in composites else registry.get(name, "operator")
    try:
        return cls.from_config(options)
    except KeyError as error:
        raise ArgumentError("config", f"no {error} in {name}", "the options that config() writes") from None
