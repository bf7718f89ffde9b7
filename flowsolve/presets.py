"""Published protocols as their authors' code runs them, for comparison on your images and prior.

``oberlin-verm-2021``: T. Oberlin and M. Verm, "Regularization via deep generative models: an analysis point
of view", ICIP 2021, code github.com/Mathieu-Verm/Analysis_Synthesis_GLOW. No noise; Adam with learning rate
0.1; the last iterate. Synthesis starts at z = 0 and penalises the standardised latent; analysis penalises the
raw split outputs of the clipped image. The code's loss has no ½, so that lam is half its constant.

``asim-2020``: M. Asim, M. Daniels, O. Leong, A. Ahmed and P. Hand, "Invertible generative models for inverse
problems", ICML 2020, code github.com/CACTuS-AI/GlowIP. Synthesis only, from z = 0; torch's L-BFGS without a
line search, history 100; the constants of its published tables. The code optimises the images of a batch as
one problem; here each is its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .driver import solve
from .errors import ArgumentError
from .flows import FlowPrior
from .flows.raw import raw_prior
from .initialise import Start, make_start
from .objectives import AsimSynthesis, OberlinVermAnalysis, OberlinVermSynthesis
from .objectives.base import Objective
from .operators import Blur, Downsample, Identity, LinearOperator, Mask, RandomProjection
from .priors.terms import LATENTS
from .problem import InverseProblem, degrade
from .registry import Registry
from .result import Result
from .solvers import Adam, Solver, make_solver

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Protocol:
    """How a preset solves one task in one formulation.

    Attributes
    ----------
    lam : float
        Weight of the prior term, half of the code's constant.
    iterations : int
        Iterations of the solver; the last iterate is the result.
    start : {"zeros", "uniform"}
        z = 0, over images D(0); or independent pixels, uniform on [0, 1].
    options : dict
        Further arguments of the objective.
    rate : float
        Learning rate of the solver.
    """

    lam: float
    iterations: int
    start: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 0.1


@dataclass(frozen=True)
class Preset:
    """A published set of protocols.

    Attributes
    ----------
    summary : str
        One line.
    protocols : mapping of str to mapping of str to Protocol
        For each task its formulations.
    operators : mapping of str to callable
        For each task ``(dim_shape, n_images, seed) -> LinearOperator``.
    objectives : mapping of str to type
        Objective of each formulation.
    solver : callable
        ``(learning rate) -> Solver``.
    sigma : mapping of str to float
        Standard deviation of the noise of tasks that have some.
    """

    summary: str
    protocols: Mapping[str, Mapping[str, Protocol]]
    operators: Mapping[str, Callable[[Shape, int, int], LinearOperator]]
    objectives: Mapping[str, type[Objective]]
    solver: Callable[[float], Solver]
    sigma: Mapping[str, float] = field(default_factory=dict)

    def protocol(self, task: str, formulation: str) -> Protocol:
        """Return the protocol of a task in a formulation, or raise `ArgumentError` if there is none."""
        if task not in self.protocols:
            raise ArgumentError("task", repr(task), " or ".join(map(repr, self.protocols)))
        if formulation not in self.protocols[task]:
            raise ArgumentError(
                "formulation", repr(formulation), " or ".join(map(repr, self.protocols[task]))
            )
        return self.protocols[task][formulation]

    def problem(self, task: str, x: torch.Tensor, *, seed: int = 0) -> InverseProblem:
        """Return the preset's problem made of clean images (N, C, H, W) in [0, 1]."""
        if task not in self.operators:
            raise ArgumentError("task", repr(task), " or ".join(map(repr, self.operators)))
        shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
        operator, sigma = self.operators[task](shape, len(x), seed), self.sigma.get(task, 0.0)
        return InverseProblem(operator, degrade(operator, x, sigma=sigma, seed=seed), sigma=sigma, x_true=x)

    def objective(self, task: str, formulation: str, problem: InverseProblem, prior: FlowPrior) -> Objective:
        """Return the loss of the code, halved; over images with the raw latents of the prior."""
        protocol = self.protocol(task, formulation)
        flow = raw_prior(prior) if formulation == "analysis" else prior
        kind = self.objectives[formulation]
        return kind(problem, flow, phi="latent", lam=protocol.lam, **protocol.options)


registry: Registry[Preset] = Registry("preset")


def run(
    name: str,
    task: str,
    formulation: str,
    problem: InverseProblem,
    prior: FlowPrior,
    *,
    seed: int = 0,
    max_iter: int | None = None,
    **settings: Any,
) -> Result:
    """Solve a problem by a published protocol.

    Parameters
    ----------
    name : str
        ``oberlin-verm-2021`` or ``asim-2020``.
    task : str
        Task of the preset, whose constants are taken: ``deblur``, ``super-resolution-2``,
        ``super-resolution-4``, ``inpaint-random`` or ``inpaint-box``; ``denoise``, ``inpaint-box`` or
        ``compressive-sensing``.
    formulation : {"analysis", "synthesis"}
        Formulation.
    problem : InverseProblem
        What to solve, for example `registry.get(name).problem(task, x)`.
    prior : FlowPrior
        The flow.
    seed : int
        Seed of a random start.
    max_iter : int, optional
        Iterations, where not those of the protocol.
    **settings
        Recording and callback, as for `flowsolve.solve`.

    Returns
    -------
    Result
        Its ``best`` is the last iterate, which the code keeps, and not the one of lowest F.

    Raises
    ------
    ArgumentError
        If there is no such preset, task or formulation, or `settings` has what the protocol decides.
    """
    allowed = (
        "record",
        "force",
        "snapshot_every",
        "checkpoint_seconds",
        "flush_seconds",
        "callback",
        "max_seconds",
    )
    other = sorted(set(settings) - set(allowed))
    if other:
        raise ArgumentError(
            "settings", ", ".join(other), f"of those a protocol leaves open: {', '.join(allowed)}"
        )
    chosen = plan(name, task, formulation, problem, prior, seed=seed)
    result = solve(
        chosen.objective,
        chosen.solver,
        chosen.start,
        max_iter=chosen.iterations if max_iter is None else max_iter,
        rtol=None,
        seed=seed,
        **settings,
    )
    return last_iterate(result)


@dataclass(frozen=True)
class Plan:
    """What a preset minimises, by what, from where and for how long."""

    objective: Objective
    solver: Solver
    start: Start
    iterations: int


def plan(
    name: str, task: str, formulation: str, problem: InverseProblem, prior: FlowPrior, *, seed: int = 0
) -> Plan:
    """Return what `run` would solve; parameters and errors are those of `run`."""
    preset = registry.get(name, "preset")
    protocol = preset.protocol(task, formulation)
    objective = preset.objective(task, formulation, problem, prior)
    start = _start(protocol, objective, prior, seed)
    return Plan(objective, preset.solver(protocol.rate), start, protocol.iterations)


def last_iterate(result: Result) -> Result:
    """Return a result whose best iterate is the last one, as the published codes keep it."""
    return dataclasses.replace(result, best=result.final)


def _start(protocol: Protocol, objective: Objective, prior: FlowPrior, seed: int) -> Start:
    if protocol.start != "zeros" or objective.space == LATENTS:
        return make_start(protocol.start, objective.problem, objective.prior, seed=seed)
    # The objective's own flow has raw latents, whose 0 is another image.
    fitted = prior.fitted(objective.shape)
    with torch.no_grad():
        x = fitted.decode(objective.problem.y.new_zeros(len(objective), fitted.n))
    return Start(x=x, name="D(0)", seed=seed)


def _adam(rate: float) -> Solver:
    # The loss is half the code's: with half its eps Adam takes the same steps to the last bit or so.
    return Adam(lr=rate, eps=0.5e-8)


def _plain_lbfgs(rate: float) -> Solver:
    return make_solver("torch:LBFGS", lr=rate, history_size=100)


def _both(
    constants: tuple[float, float],
    iterations: int,
    start: str,
    checkerboards: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> dict[str, Protocol]:
    """Return the protocols of a task, synthesis then analysis, from constants of a loss without ½."""
    c, options = constants, checkerboards
    return {
        "synthesis": Protocol(c[0] / 2, iterations, "zeros", options[0]),
        "analysis": Protocol(c[1] / 2, iterations, start, options[1]),
    }


def _projection(m: int) -> Callable[[Shape, int, int], LinearOperator]:
    return lambda shape, n, seed: RandomProjection(m, shape, seed=seed)


MEASUREMENTS = 5000
"""Measurements of ``compressive-sensing``, for which the paper has its ablations."""

registry.register("oberlin-verm-2021")(
    Preset(
        "Oberlin & Verm, ICIP 2021: Adam 0.1, no noise, raw latents over images, checkerboard penalty.",
        protocols={
            "deblur": _both((1e-4, 1e-5), 1000, "uniform"),
            "super-resolution-2": _both(
                (5e-4, 1e-4), 500, "uniform", ({"checkerboard": 0.04, "block": 2}, {})
            ),
            "super-resolution-4": _both(
                (5e-3, 1e-5),
                400,
                "uniform",
                ({"checkerboard": 1e-3, "block": 4}, {"checkerboard": 8e-4, "block": 2}),
            ),
            "inpaint-random": _both((4e-4, 5e-4), 1000, "zeros"),
            "inpaint-box": _both((4e-4, 5e-4), 1000, "zeros"),
        },
        operators={
            "deblur": lambda shape, n, seed: Blur.uniform(7, shape, boundary="zero"),
            "super-resolution-2": lambda shape, n, seed: Downsample(2, shape),
            "super-resolution-4": lambda shape, n, seed: Downsample(4, shape),
            "inpaint-random": lambda shape, n, seed: Mask.random(0.6, dim_shape=shape, seed=seed, n_images=n),
            "inpaint-box": lambda shape, n, seed: Mask.box(21, dim_shape=shape),
        },
        objectives={"analysis": OberlinVermAnalysis, "synthesis": OberlinVermSynthesis},
        solver=_adam,
    )
)

registry.register("asim-2020")(
    Preset(
        "Asim et al., ICML 2020: L-BFGS without a line search over latents, from z = 0.",
        protocols={
            "denoise": {"synthesis": Protocol(1.0 / 2, 400, "zeros", rate=1.0)},
            "inpaint-box": {"synthesis": Protocol(0.05 / 2, 400, "zeros", rate=1.0)},
            "compressive-sensing": {"synthesis": Protocol(0.0, 600, "zeros", rate=0.1)},
        },
        operators={
            "denoise": lambda shape, n, seed: Identity(shape),
            "inpaint-box": lambda shape, n, seed: Mask.box(19, dim_shape=shape),
            "compressive-sensing": _projection(MEASUREMENTS),
        },
        objectives={"synthesis": AsimSynthesis},
        solver=_plain_lbfgs,
        sigma={"denoise": 0.1, "compressive-sensing": 0.1 / math.sqrt(MEASUREMENTS)},
    )
)
