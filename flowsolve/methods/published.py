"""The published protocols as methods: which of its tasks a problem is, is read off its operator.

``oberlin-verm-2021`` (analysis) and ``oberlin-verm-2021-synthesis``: T. Oberlin and M. Verm, ICIP 2021;
``asim-2020``: M. Asim et al., ICML 2020. Their constants, and where they are from, stand in
`flowsolve.presets`.
"""

from __future__ import annotations

import dataclasses

from .. import presets
from ..errors import UnsupportedError
from ..flows import FlowPrior
from ..flows.raw import PREFIX as RAW
from ..flows.raw import has_raw_latents
from ..operators import Blur, Downsample, Identity, LinearOperator, Mask, RandomProjection, SeparableBlur
from ..problem import InverseProblem
from ..solvers.base import solver_name
from .base import Method, register_method
from .stage import Stage

#: Tasks of the presets by operator; both inpaintings of a preset have the same constants.
TASKS: tuple[tuple[type[LinearOperator], tuple[str, ...]], ...] = (
    (Identity, ("denoise",)),
    (Mask, ("inpaint-random", "inpaint-box")),
    (Blur, ("deblur",)),
    (SeparableBlur, ("deblur",)),
    (Downsample, ("super-resolution-2", "super-resolution-4")),
    (RandomProjection, ("compressive-sensing",)),
)


def published_method(
    name: str, preset: str, formulation: str, problem: InverseProblem, prior: FlowPrior
) -> Method:
    """Return a published protocol for the task that a problem's operator stands for.

    Parameters
    ----------
    name : str
        What the method is called.
    preset : str
        A name of `flowsolve.presets.registry`.
    formulation : {"analysis", "synthesis"}
        Which of its two.
    problem : InverseProblem
        The problem.
    prior : FlowPrior
        The flow.

    Raises
    ------
    UnsupportedError
        If the protocol has no such task.
    """
    task = _task(name, preset, formulation, problem)
    chosen = presets.registry.get(preset)
    protocol = chosen.protocol(task, formulation)
    solver = chosen.solver(protocol.rate)
    defaults = {f.name: f.default for f in dataclasses.fields(solver)}
    options = {name: value for name, value in solver.config().items() if value != defaults.get(name)}
    raw = formulation == "analysis" and has_raw_latents(prior)
    stage = Stage(
        formulation=chosen.objectives[formulation].name,
        phi="latent",
        lam=protocol.lam,
        solver=solver_name(solver),
        options=options,
        init=protocol.start,
        max_iter=protocol.iterations,
        prior=RAW if raw else None,
        objective_options=dict(protocol.options),
    )
    return Method(name, (stage,), f"{chosen.summary} Its constants for {task}.")


def _task(name: str, preset: str, formulation: str, problem: InverseProblem) -> str:
    protocols, operator = presets.registry.get(preset).protocols, problem.operator
    kinds = next((tasks for kind, tasks in TASKS if isinstance(operator, kind)), ())
    if isinstance(operator, Downsample):
        rows, columns = operator.factor
        kinds = (f"super-resolution-{rows}",) if rows == columns else ()
    for task in kinds:
        if formulation in protocols.get(task, {}):
            return task
    raise UnsupportedError(
        f"method: {name} has no {formulation} protocol for {operator}; it has {', '.join(protocols)}"
    )


@register_method("oberlin-verm-2021")
def oberlin_verm_2021(problem: InverseProblem, prior: FlowPrior) -> Method:
    """Oberlin & Verm's analysis protocol: Adam 0.1 over images, raw latents, the last iterate."""
    return published_method("oberlin-verm-2021", "oberlin-verm-2021", "analysis", problem, prior)


@register_method("oberlin-verm-2021-synthesis")
def oberlin_verm_2021_synthesis(problem: InverseProblem, prior: FlowPrior) -> Method:
    """Oberlin & Verm's synthesis protocol: Adam 0.1 over latents from z = 0, the last iterate."""
    return published_method("oberlin-verm-2021-synthesis", "oberlin-verm-2021", "synthesis", problem, prior)


@register_method("asim-2020")
def asim_2020(problem: InverseProblem, prior: FlowPrior) -> Method:
    """Asim et al.'s protocol: L-BFGS without a line search over latents, from z = 0."""
    return published_method("asim-2020", "asim-2020", "synthesis", problem, prior)
