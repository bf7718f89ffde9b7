"""The array libraries and devices that operators are checked on."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable

import numpy as np

from ..arrays import Array, to_torch


def _strict(x: np.ndarray) -> Array:
    import array_api_strict

    return array_api_strict.asarray(x)


def _cupy(x: np.ndarray) -> Array:
    import cupy

    return cupy.asarray(x)


def _torch_cuda(x: np.ndarray) -> Array:
    return to_torch(x, device="cuda")


MAKERS: dict[str, Callable[[np.ndarray], Array]] = {
    "numpy": lambda x: x.copy(),
    "torch": lambda x: to_torch(x.copy()),
    "array_api_strict": _strict,
    "cupy": _cupy,
    "torch-cuda": _torch_cuda,
}


def available_namespaces() -> list[str]:
    """Return the names of the array libraries (and devices) that can be checked here."""
    names = ["numpy"]
    names += [n for n in ("torch", "array_api_strict") if importlib.util.find_spec(n) is not None]
    if importlib.util.find_spec("cupy") is not None:
        import cupy

        # It may be installed where there is no device.
        with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
            names += ["cupy"] if cupy.cuda.runtime.getDeviceCount() else []
    if "torch" in names:
        import torch

        names += ["torch-cuda"] if torch.cuda.is_available() else []
    return names
