"""What a run looks like: figures."""

from .figure import Panel, restoration_figure, save_figure, worst

__all__ = ["Panel", "restoration_figure", "save_figure", "worst"]
