"""Objectives: one F over images (analysis) or over latents (synthesis)."""

from .analysis import Analysis
from .base import Evaluation, Objective, Split
from .synthesis import Synthesis

__all__ = ["Analysis", "Evaluation", "Objective", "Split", "Synthesis"]
