"""Named tasks: an operator with options, a noise level, starts and classical restorations."""

from .any_operator import OperatorTask, operator_task
from .base import Task, check_options, make_task, register_task, registry
from .options import Option, option
from .standard import Deblur, Denoise, InpaintBox, InpaintRandom, SuperResolution

__all__ = [
    "Deblur",
    "Denoise",
    "InpaintBox",
    "InpaintRandom",
    "OperatorTask",
    "Option",
    "SuperResolution",
    "Task",
    "check_options",
    "make_task",
    "operator_task",
    "option",
    "register_task",
    "registry",
]
