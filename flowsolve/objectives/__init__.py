"""Objectives: one F over images (analysis) or over latents (synthesis)."""

from .analysis import Analysis
from .asim import AsimSynthesis
from .base import Objective, register_objective, registry
from .evaluation import Evaluation
from .gauss_newton import GaussNewton
from .oberlin_verm import CheckerboardAnalysis, OberlinVermAnalysis, OberlinVermSynthesis
from .split import Split
from .synthesis import Synthesis

#: The two formulations, by name.
FORMULATIONS: dict[str, type[Objective]] = {"analysis": Analysis, "synthesis": Synthesis}

#: All objectives by the name that a record has of them, with the published losses of `flowsolve.presets` and
#: those that others register.
BY_NAME = registry
for _kind in (
    Analysis,
    Synthesis,
    OberlinVermAnalysis,
    OberlinVermSynthesis,
    CheckerboardAnalysis,
    AsimSynthesis,
):
    register_objective(_kind.name)(_kind)

__all__ = [
    "BY_NAME",
    "FORMULATIONS",
    "Analysis",
    "AsimSynthesis",
    "CheckerboardAnalysis",
    "Evaluation",
    "GaussNewton",
    "OberlinVermAnalysis",
    "OberlinVermSynthesis",
    "Objective",
    "Split",
    "Synthesis",
    "register_objective",
    "registry",
]
