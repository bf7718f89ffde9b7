"""The bridge from solvers of other libraries to ``init`` and ``step``: each image has a foreign solver.

One iteration of the driver is one iteration of the library, for each image. The library's own stopping tests
end an image; the budget holds inside its line searches. What the library keeps between iterations cannot be
stored: a run that is resumed starts it afresh at the recorded iterate, and the record says so.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch

from ...errors import ArgumentError
from ...objectives.base import Objective, sum_squares
from ...objectives.evaluation import Evaluation
from ..base import Solver, State, solver_name, zeros
from .hessian import hessian_product
from .rendezvous import Ask, Oracle, Worker

#: How a foreign loop may have ended, in the order of the codes in `ExternalState.ending`.
ENDINGS = ("", "converged", "stalled", "max_evaluations")

#: Evaluations that a question of each kind costs.
COSTS = {"evaluate": 1, "iterate": 1, "product": 2, "prox": 0}


@dataclass
class ExternalState(State):
    """State of a foreign solver: what the driver needs; the library's own part is in `workers`.

    Attributes
    ----------
    ending : torch.Tensor, shape (N,), int64
        How the image's foreign solver ended: index into `ENDINGS`.
    trial : torch.Tensor, shape (N,), float64
        First step of libraries that need one and do not find it: the inverse of the local curvature.
    workers : list
        The foreign solver of each image; None where it is still to be started. Not stored.
    """

    ending: torch.Tensor
    trial: torch.Tensor

    def __post_init__(self) -> None:
        self.workers: list[Any] = [None] * len(self.u)

    def select(self, index: torch.Tensor) -> ExternalState:
        """Return the state of the images at `index`; the foreign solvers of the others are let go."""
        picked = super().select(index)
        picked.workers = [self.workers[i] for i in _positions(self, index)]
        return picked

    def put(self, index: torch.Tensor, other: State) -> None:
        """Overwrite the images at `index` with those of `other`, their foreign solvers too."""
        assert isinstance(other, ExternalState)
        super().put(index, other)
        for i, worker in zip(_positions(self, index), other.workers, strict=True):
            self.workers[i] = worker

    def ends(self) -> list[str]:
        """Return the status with which each image's foreign solver ended, or ""."""
        return [ENDINGS[code] for code in self.ending.tolist()]


@dataclass(frozen=True)
class External(Solver):
    """A solver of another library.

    Attributes
    ----------
    searches : bool
        Whether its evaluations are the trials of a search, so that the lowest may stand for the iterate when
        the budget ends within one.
    iterate_gradient : bool
        Whether iterates are evaluated with the gradient.
    """

    state_type = ExternalState

    searches: ClassVar[bool] = True
    iterate_gradient: ClassVar[bool] = True

    @abstractmethod
    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Run the library's loop on one image and return whether it says it converged.

        Parameters
        ----------
        oracle : Oracle
            The image's objective; `Oracle.iterate` is to be called after each iteration.
        objective : Objective
            The batch's objective, for its options; evaluations go through the oracle.
        trial : float
            First step, where the library needs one.
        """

    def check(self, objective: Objective) -> None:
        """Raise `UnsupportedError` if the library cannot take the objective."""
        objective.require_smooth(solver_name(self))

    def evaluate(self, objective: Objective, u: torch.Tensor, gradient: bool) -> Evaluation:
        """Return what the library is told at u."""
        return objective.evaluate(u, gradient=gradient)

    def complete(self, objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
        """Return the evaluation of F at an iterate, given what the library was told there."""
        return evaluation

    def start(self, objective: Objective, u: torch.Tensor) -> torch.Tensor:
        """Return the start, moved to where the library can begin."""
        return u

    def first_steps(self, objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """Return a first step for each image, shape (N,); 0 where the library finds its own."""
        return zeros(u)

    def init(self, objective: Objective, u: torch.Tensor) -> ExternalState:
        """Evaluate the start and prepare a foreign solver for each image."""
        self.check(objective)
        u = self.start(objective, u)
        told = self.evaluate(objective, u, True)
        assert told.grad is not None
        norm = sum_squares(told.grad).sqrt()
        trial = self.first_steps(objective, u, told)
        evaluation = self.complete(objective, u, told)
        if not self.iterate_gradient:
            evaluation.grad = None
        ending = torch.zeros(len(u), dtype=torch.int64, device=u.device)
        state = ExternalState(u, evaluation, zeros(u), norm, zeros(u).bool(), ending, trial)
        self.start_workers(objective, state, told)
        return state

    def step(self, objective: Objective, state: State) -> ExternalState:
        """Let every foreign solver do one iteration; their evaluations are made together."""
        assert isinstance(state, ExternalState)
        if None in state.workers:
            self.start_workers(objective, state, self.told(objective, state))
        self._turn(objective, state.workers)
        return self._collect(objective, state)

    def close(self, state: State) -> None:
        """End the foreign solvers that are still going, and their threads."""
        assert isinstance(state, ExternalState)
        workers = [worker for worker in state.workers if isinstance(worker, Worker)]
        for worker in workers:
            worker.end(worker.ended or "stopped")
        for worker in workers:
            worker.join()

    def resumes_exactly(self) -> bool:
        """Return False: what the library keeps between iterations is not stored."""
        return False

    def told(self, objective: Objective, state: ExternalState) -> Evaluation:
        """Return what the library was told at the iterates of a state."""
        return state.evaluation

    def start_workers(self, objective: Objective, state: ExternalState, told: Evaluation) -> None:
        """Prepare a foreign solver at the iterate of each image that has none."""

        def loop(trial: float) -> Callable[[Oracle], bool]:
            return lambda oracle: self.minimise(oracle, objective, trial)

        rows = torch.arange(len(state.u), device=state.u.device)[:, None]
        for i, trial in enumerate(state.trial.tolist()):
            if state.workers[i] is None:
                state.workers[i] = Worker(
                    loop(trial),
                    foreign(state.u[i]),
                    told.select(rows[i]),
                    iterate_gradient=self.iterate_gradient,
                )

    def _turn(self, objective: Objective, workers: list[Worker]) -> None:
        """Answer what is asked, all images together, until each has an iterate or has ended."""
        turning = [i for i, worker in enumerate(workers) if not worker.ended]
        for i in turning:
            workers[i].iterate = None
        while turning:
            asks = {i: ask for i in turning if (ask := workers[i].run()) is not None}
            for i in [i for i, ask in asks.items() if not _affordable(objective, i, ask)]:
                del asks[i]
                workers[i].end("max_evaluations")
            for group in _alike(asks):
                self._answer(objective, workers, {i: asks[i] for i in group})
            turning = list(asks)
        for worker in workers:
            if worker.error is not None:
                _report(self, worker)
            worker.rest()

    def _answer(self, objective: Objective, workers: list[Worker], asks: dict[int, Ask]) -> None:
        """Answer questions of one kind in one pass."""
        rows, first = list(asks), next(iter(asks.values()))
        part = objective if len(rows) == len(objective) else objective.select(rows)
        like = objective.problem.y if hasattr(objective, "problem") else first.arguments[0]
        points = torch.stack([asks[i].arguments[0].to(like) for i in rows])
        if first.kind == "product":
            vectors = torch.stack([asks[i].arguments[1].to(like) for i in rows])
            answers = hessian_product(part, points, vectors)
        elif first.kind == "prox":
            tau = torch.tensor([asks[i].arguments[1] for i in rows], dtype=torch.float64)
            answers = self.prox(part, points, tau.to(like.device))
        else:
            evaluation = self.evaluate(part, points, first.gradient)
            if self.searches and first.kind == "evaluate":
                part.count("trials")
            for row, i in enumerate(rows):
                workers[i].remember(asks[i], evaluation.select(torch.tensor([row], device=like.device)))
            return
        for i, answer in zip(rows, answers, strict=True):
            if torch.isfinite(answer).all():
                workers[i].reply(foreign(answer))
            else:
                # Inner iterations would go on with it for as long as the library lets them.
                workers[i].end("stalled")

    def prox(self, objective: Objective, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of the non-smooth part; there is none unless a subclass has one."""
        return v

    def _collect(self, objective: Objective, state: ExternalState) -> ExternalState:
        """Return the state at the new iterates; images without one stay where they were."""
        u, evaluation = state.u.clone(), state.evaluation.clone()
        residual = state.grad_norm.clone()
        moved, points, told = [], [], []
        for i, worker in enumerate(state.workers):
            found = _new_point(self, worker)
            if found is not None:
                moved.append(i)
                points.append(found[0].to(u))
                told.append(found[1])
        if moved:
            rows = torch.tensor(moved, device=u.device)
            part = objective if len(moved) == len(u) else objective.select(rows)
            u[rows] = torch.stack(points)
            joined = join(told)
            evaluation.put(rows, self.complete(part, u[rows], joined))
            if joined.grad is not None:
                residual[rows] = sum_squares(joined.grad).sqrt()
        for i in moved:
            ask = state.workers[i].iterate
            if ask is not None and ask.arguments[1] is not None:
                residual[i] = ask.arguments[1]
        length = sum_squares(u - state.u).sqrt()
        codes = [ENDINGS.index(worker.ended) for worker in state.workers]
        ending = torch.tensor(codes, device=u.device)
        step = torch.where(state.grad_norm > 0, length / state.grad_norm, 0.0)
        new = ExternalState(
            u, evaluation, step, residual, ending == ENDINGS.index("stalled"), ending, state.trial
        )
        new.workers = state.workers
        return new


def foreign(tensor: torch.Tensor) -> torch.Tensor:
    """Return a float64 copy on the host, as the loops of other libraries work on."""
    return tensor.detach().to(device="cpu", dtype=torch.float64, copy=True)


def join(evaluations: list[Evaluation]) -> Evaluation:
    """Return evaluations of single images as that of a batch; without gradients unless all have one."""
    parts: dict[str, Any] = {}
    for f in fields(Evaluation):
        rows = [getattr(evaluation, f.name) for evaluation in evaluations]
        parts[f.name] = None if any(row is None for row in rows) else torch.cat(rows)
    return Evaluation(**parts)


def _positions(state: State, index: torch.Tensor) -> list[int]:
    return torch.arange(len(state.u))[index.cpu()].tolist()


def _affordable(objective: Objective, row: int, ask: Ask) -> bool:
    limit = objective.tally.limit
    spent = objective.tally.counts["evaluations"][objective.indices[row]]
    return limit is None or spent + COSTS[ask.kind] <= limit


def _alike(asks: dict[int, Ask]) -> list[list[int]]:
    """Return the images grouped by what they ask for."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for i, ask in asks.items():
        groups.setdefault((ask.kind, ask.gradient), []).append(i)
    return list(groups.values())


def _new_point(solver: External, worker: Worker) -> tuple[torch.Tensor, Evaluation] | None:
    """Return where an image went in this turn: its iterate, or the lowest trial of a search cut short."""
    if worker.iterate is not None:
        known = worker.recall(worker.iterate)
        assert known is not None
        return worker.iterate.arguments[0], known
    return worker.lowest() if worker.ended == "max_evaluations" and solver.searches else None


def _report(solver: External, worker: Worker) -> None:
    """Raise what the library raised at once, as options do that it does not take; else warn of it."""
    error, worker.error = worker.error, None
    said = f"{type(error).__name__}: {error}"
    if worker.answered == 0:
        raise ArgumentError(
            f"options of solver {solver_name(solver)!r}", solver.config(), f"what the library takes ({said})"
        ) from error
    warnings.warn(f"{solver_name(solver)} ended an image with {said}", RuntimeWarning, stacklevel=4)
