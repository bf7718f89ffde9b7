"""flowsolve: restore images from y = A x + n with a normalizing flow as the prior.

The optimisation is what you choose and study: two formulations (`Analysis`, `Synthesis`), several solvers,
named starts, and a convergence record for each run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live, imported on first use: `flowsolve --help` should not wait for torch.
_PUBLIC = {
    "Analysis": "objectives",
    "Synthesis": "objectives",
    "InverseProblem": "problem",
    "degrade": "problem",
    "load_prior": "flows",
    "list_priors": "flows",
    "import_prior": "flows.foreign",
    "restore": "restoration",
    "solve": "driver",
    "iterate": "iteration",
    "multistart": "multiple_starts",
    "discrepancy": "discrepancy_principle",
    "tune": "tuning",
    "Run": "run",
    "Result": "result",
    "open_run": "recording",
    "resume": "recording.resume",
    "rerun": "recording.resume",
    "psnr": "metrics",
    "ssim": "metrics",
    "zoo": "flows",
}

__all__ = [
    "Analysis",
    "InverseProblem",
    "Result",
    "Run",
    "Synthesis",
    "__version__",
    "degrade",
    "discrepancy",
    "import_prior",
    "iterate",
    "list_priors",
    "load_prior",
    "multistart",
    "open_run",
    "psnr",
    "rerun",
    "restore",
    "resume",
    "solve",
    "ssim",
    "tune",
    "zoo",
]

if TYPE_CHECKING:
    from .discrepancy_principle import discrepancy
    from .driver import solve
    from .flows import list_priors, load_prior, zoo
    from .flows.foreign import import_prior
    from .iteration import iterate
    from .metrics import psnr, ssim
    from .multiple_starts import multistart
    from .objectives import Analysis, Synthesis
    from .problem import InverseProblem, degrade
    from .recording import open_run
    from .recording.resume import rerun, resume
    from .restoration import restore
    from .result import Result
    from .run import Run
    from .tuning import tune


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    # Submodules too, so that `fs.operators` or `fs.solvers` need no import of their own.
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
