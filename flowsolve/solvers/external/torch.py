"""The optimisers of ``torch.optim``, each class under the name ``torch:`` and its own.

An optimiser sees one image as its one parameter: norms, histories and counters are that image's. It computes
in the objective's dtype and on its device.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar

import torch

from ...errors import ArgumentError
from ...objectives.base import Objective, sum_squares
from ...objectives.evaluation import Evaluation
from ..base import State, register_solver, solver_name
from .bridge import External, ExternalState, foreign
from .rendezvous import Oracle

#: Classes that cannot take an image as their parameter: sparse gradients only, matrices only.
OTHER_PARAMETERS = ("SparseAdam", "Muon")

#: Arguments that do not change what is computed, or that the driver owns.
NOT_OPTIONS = (
    *("self", "params", "foreach", "fused", "capturable", "differentiable", "maximize"),
    *("max_iter", "max_eval"),
)

#: Evaluations of one line search of ``torch.optim.LBFGS``: its search's own limit.
SEARCH_EVALUATIONS = 25


@dataclass(frozen=True)
class TorchOptimizer(External):
    """An optimiser of ``torch.optim`` that takes one gradient a step."""

    optimizer: ClassVar[type[torch.optim.Optimizer]]
    searches = False

    def __post_init__(self) -> None:
        try:
            self.build(torch.zeros(1))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ArgumentError(
                f"options of solver {solver_name(self)!r}", self.config(), f"what torch takes ({error})"
            ) from None

    def build(self, parameter: torch.Tensor) -> torch.optim.Optimizer:
        """Return the optimiser of one parameter."""
        return self.optimizer([parameter], **self.config())

    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Not used: a step needs no value but the one it starts from."""
        raise NotImplementedError

    def step(self, objective: Objective, state: State) -> ExternalState:
        """Let every image's optimiser do one step, then evaluate the new iterates together."""
        assert isinstance(state, ExternalState) and state.evaluation.grad is not None
        if None in state.workers:
            self.start_workers(objective, state, state.evaluation)
        for optimizer, grad in zip(state.workers, state.evaluation.grad, strict=True):
            (parameter,) = optimizer.param_groups[0]["params"]
            parameter.grad = grad.clone()
            optimizer.step()
        u = torch.stack([w.param_groups[0]["params"][0] for w in state.workers]).detach()
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        step = sum_squares(u - state.u).sqrt() / state.grad_norm.clamp(min=torch.finfo(u.dtype).tiny)
        norm = sum_squares(evaluation.grad).sqrt()
        new = ExternalState(u, evaluation, step, norm, state.failed, state.ending, state.trial)
        new.workers = state.workers
        return new

    def start_workers(self, objective: Objective, state: ExternalState, told: Evaluation) -> None:
        """Make an optimiser at the iterate of each image that has none."""
        for i, u in enumerate(state.u):
            if state.workers[i] is None:
                state.workers[i] = self.build(u.detach().clone())


@dataclass(frozen=True)
class TorchLBFGS(TorchOptimizer):
    """The optimiser that evaluates within its step: one of its inner iterations is one of the driver's."""

    searches = True

    def build(self, parameter: torch.Tensor) -> torch.optim.Optimizer:
        """Return the optimiser of one parameter, of one inner iteration a step."""
        if self.config()["line_search_fn"] not in (None, "strong_wolfe"):
            # torch itself notices only when it searches.
            raise ValueError("line_search_fn must be None or 'strong_wolfe'")
        options = {**self.config(), "max_iter": 1, "max_eval": SEARCH_EVALUATIONS + 1}
        return self.optimizer([parameter], **options)

    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Step until the iterate stays where it is; it has converged if the gradient is within tolerance."""
        like = getattr(getattr(objective, "problem", None), "y", oracle.start)
        parameter = oracle.start.to(like).contiguous()
        optimizer = self.build(parameter)

        def closure() -> torch.Tensor:
            evaluation = oracle.evaluate(foreign(parameter))
            assert evaluation.grad is not None
            parameter.grad = evaluation.grad[0].clone(memory_format=torch.contiguous_format)
            return evaluation.value[0]

        while True:
            before = parameter.detach().clone()
            optimizer.step(closure)  # type: ignore[arg-type]
            if torch.equal(parameter, before):
                assert parameter.grad is not None
                return bool(parameter.grad.abs().max() <= self.config()["tolerance_grad"])
            oracle.iterate(foreign(parameter))

    def step(self, objective: Objective, state: State) -> ExternalState:
        """Let every image's optimiser do one inner iteration; their evaluations are made together."""
        return External.step(self, objective, state)

    def start_workers(self, objective: Objective, state: ExternalState, told: Evaluation) -> None:
        """Prepare a loop for each image that has none."""
        External.start_workers(self, objective, state, told)


def _register(cls: type[torch.optim.Optimizer]) -> None:
    """Register a class of ``torch.optim`` with its arguments as options."""
    arguments = inspect.signature(cls.__init__).parameters.values()
    options = [(p.name, Any, field(default=p.default)) for p in arguments if p.name not in NOT_OPTIONS]
    base = TorchLBFGS if issubclass(cls, torch.optim.LBFGS) else TorchOptimizer
    listed = ", ".join(name for name, _, _ in options)
    solver = make_dataclass(cls.__name__, options, bases=(base,), frozen=True)
    solver.optimizer = cls  # type: ignore[attr-defined]
    solver.__module__ = __name__
    solver.__doc__ = f"The optimiser {cls.__name__} of torch.optim (options: {listed})."
    register_solver(f"torch:{cls.__name__}")(solver)


for _cls in sorted(filter(inspect.isclass, vars(torch.optim).values()), key=lambda cls: cls.__name__):
    if issubclass(_cls, torch.optim.Optimizer) and _cls.__name__ not in ("Optimizer", *OTHER_PARAMETERS):
        _register(_cls)
