"""Methods: every way of restoring, as stages that run one after the other in one record."""

from .auto import auto
from .base import Method, Planner, check_name, plan_method, read_method, register_method, registry
from .guard import classical_guard
from .published import asim_2020, oberlin_verm_2021, oberlin_verm_2021_synthesis
from .running import MethodRun, StageRun
from .stage import Stage

__all__ = [
    "Method",
    "MethodRun",
    "Planner",
    "Stage",
    "StageRun",
    "asim_2020",
    "auto",
    "check_name",
    "classical_guard",
    "oberlin_verm_2021",
    "oberlin_verm_2021_synthesis",
    "plan_method",
    "read_method",
    "register_method",
    "registry",
]
