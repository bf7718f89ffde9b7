"""Solvers of SciPy, torch, Pyxu and pytorch-minimize on flowsolve's objectives, one file a library."""

from importlib.util import find_spec

from . import pyxu, scipy, torch
from .bridge import External, ExternalState
from .rendezvous import Oracle

__all__ = ["External", "ExternalState", "Oracle", "pyxu", "scipy", "torch"]

# An optional dependency: its solvers exist where it is installed.
if find_spec("torchmin") is not None:
    from . import pytorch_minimize

    __all__ += ["pytorch_minimize"]
