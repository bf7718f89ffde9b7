"""Run the stages of a method in order, as one run with one record.

The stages are runs like any other. What makes them one is here: each starts where the last ended,
iterations, time and counts go on, budgets are shared, and the record of a stage takes over what the stages
before wrote, in one step, so that a kill at any moment, also between two stages, leaves a record from which
the method goes on bit by bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..ambient import undisturbed
from ..baselines import registry
from ..errors import RecordError
from ..flows import FlowPrior
from ..initialise import Start
from ..metrics import Measures
from ..problem import InverseProblem
from ..recording import RunRecord
from ..recording.earlier import EarlierStages, EndedStage
from ..recording.rebuild import build
from ..result import Iterate, Result
from ..run import Callback, Run
from ..stopping import Progress, make_criterion
from .base import Method
from .checked import checked_start
from .stage import CHECKED, MIXED, PREVIOUS, RAW, PriorShelf, Stage

Verdict = tuple[torch.Tensor, np.ndarray, tuple[str, ...]]
"""Images (N, C, H, W), which of them are the classical start (N,), and what to say."""

Guard = Callable[[InverseProblem, torch.Tensor], Verdict]
"""Judges restored images without the truth."""


class StageRun(Run):
    """The run of one stage; its result is that of the method so far.

    Parameters
    ----------
    method : MethodRun
        What it is a stage of.
    index : int
        Which stage, from 0.
    start : Start
        Where it starts.
    limits : dict
        Its limits.
    """

    def __init__(self, method: MethodRun, index: int, start: Start, limits: dict[str, Any]) -> None:
        self.method, self.index, self.earlier = method, index, method.earlier
        self.stage: Stage = method.method.stages[index]
        objective = self.stage.objective(method.problem, method.prior, method.shelf)
        criterion, own = make_criterion(**limits), self.stage.criterion()
        super().__init__(
            objective,
            self.stage.make_solver(),
            start,
            limits=limits,
            criterion=criterion if own is None else own | criterion,
            seed=method.seed,
            measures=method.measures,
        )
        # A named start is made again from its name; one from the stage before is kept by the record.
        self._start_named = not self.stage.continues
        self._verdict: Verdict | None = None

    def describe(self) -> dict[str, Any]:
        """Return the configuration of the stage's run with the method that it belongs to."""
        return super().describe() | {"method": self.method.describe(self.index)}

    def handed_on(self) -> torch.Tensor:
        """Return the images (N, C, H, W) that the stage hands on."""
        return self._kept(super().result()).x

    def end(self) -> None:
        """Let go of what the solver holds; the record stays open until the next stage has taken it over."""
        self.solver.close(self.state)
        if self.writer is not None:
            self.writer.flush()

    def judge(self) -> None:
        """Ask the guard about the images, once the last stage has ended."""
        if self.method.guard is not None and self._verdict is None:
            self._verdict = self.method.guard(self.objective.problem, self.handed_on())

    @undisturbed
    def result(self) -> Result:
        """Return the result of the method so far: the last iterate, or what the guard made of it."""
        own, earlier = super().result(), self.earlier
        kept = self._kept(own)
        fallback, notes = None, ()
        if self._verdict is not None:
            x, fallback, notes = self._verdict
            kept = self._with_fallbacks(kept, x, fallback)
        stages = len(self.method.method.stages)
        if "stopped" in self.status and self.index + 1 < stages:
            notes = (f"stopped in stage {self.index + 1} of {stages}: those after it were not run", *notes)
        moved = [
            dataclasses.replace(iterate, iteration=iterate.iteration + earlier.offset)
            for iterate in (kept, own.final)
        ]
        names = own.counts
        return dataclasses.replace(
            own,
            best=moved[0],
            final=moved[1],
            trace=earlier.joined(own.trace),
            counts={name: (earlier.total(name) + own.counts[name]).astype(np.int64) for name in names},
            iterations=own.iterations + sum(stage.iterations for stage in earlier.ended),
            seconds=own.seconds + _seconds(earlier),
            method=self.method.method,
            notes=notes,
            fallback=fallback,
        )

    def _kept(self, result: Result) -> Iterate:
        return result.best if self.stage.keeps_best else result.final

    def _with_fallbacks(self, kept: Iterate, x: torch.Tensor, fallback: np.ndarray) -> Iterate:
        if not fallback.any():
            return kept
        rows = torch.as_tensor(np.flatnonzero(fallback), device=x.device)
        z, value = kept.z.clone(), kept.value.copy()
        with torch.no_grad():
            z[rows] = self.objective.flow.encode(x[rows])
            part = self.objective.select(rows)
            value[fallback] = part.value(part.from_image(x[rows])).cpu().numpy()
        return Iterate(x=x, z=z, value=value, iteration=np.where(fallback, 0, kept.iteration))

    def _begin(self) -> None:
        super()._begin()
        self.method.let_go()

    def _log(self, active: np.ndarray, sound: np.ndarray | None = None) -> None:
        super()._log(active, sound)
        # Read from the record, the trace also has the columns that only other stages have.
        length, nothing = len(self.trace["value"]), np.full(len(self.objective), np.nan)
        for rows in self.trace.values():
            rows.extend([nothing] * (length - len(rows)))


class MethodRun:
    """A method that runs stage by stage; iterating yields a `Progress` for each iteration of all stages.

    To be gone through in a ``with`` statement, as a `Run`: leaving the loop early ends it as ``stopped``.

    Parameters
    ----------
    method : Method
        The stages.
    problem : InverseProblem
        The problem.
    prior : FlowPrior
        The caller's prior, at the size of the images.
    seed : int
        Seed of random starts.
    max_seconds : float, optional
        Solver time for all stages: each gets the share that its iterations are of those that are left.
    record : path, optional
        HDF5 file to write to.
    record_options : dict, optional
        Options of `flowsolve.recording.RunWriter`.
    guard : callable, optional
        Judges the images at the end.
    hashes : mapping of str to str, optional
        SHA-256 of the stages' own priors, by which alone they are looked for: no path of theirs is opened.
    measures : Measures, optional
        Metrics of the trace, as for `flowsolve.run.Run`.
    resumed : bool
        Whether `resume_from` follows: the first stage's start, a classical restoration perhaps, is not made.
    """

    current: StageRun

    def __init__(
        self,
        method: Method,
        problem: InverseProblem,
        prior: FlowPrior,
        *,
        seed: int = 0,
        max_seconds: float | None = None,
        record: str | Path | None = None,
        record_options: dict[str, Any] | None = None,
        guard: Guard | None = None,
        hashes: Mapping[str, str] | None = None,
        measures: Measures | None = None,
        resumed: bool = False,
    ) -> None:
        self.measures = Measures() if measures is None else measures
        self.method, self.prior, self.seed, self.guard = method, prior, seed, guard
        self.problem = problem.to(device=prior.device, dtype=prior.dtype)
        self.shelf = PriorShelf(prior, hashes)
        self.max_seconds = max_seconds
        self.record: Path | None = None
        self.record_options: dict[str, Any] = {}
        self.earlier = EarlierStages()
        self._before: StageRun | None = None
        self._stopping = False
        # Everything that can be refused is refused before anything runs or is written.
        for stage in method.stages:
            stage.check(self.problem)
            stage.objective(self.problem, prior, self.shelf)
        if not resumed:
            self.current = self._stage(0, None)
        if record is not None:
            self.record_to(record, **(record_options or {}))

    def record_to(self, path: str | Path, **options: Any) -> None:
        """Write the method to an HDF5 file at `path`; as `flowsolve.run.Run.record_to`."""
        self.record, self.record_options = Path(path).absolute(), options
        self.current.record_to(self.record, earlier=self.earlier, **options)

    @property
    def last_iteration(self) -> int:
        """Number of the last iteration, should no stage end before: each stage's start has one of its own."""
        return self.method.max_iter + len(self.method.stages) - 1

    @property
    def writer(self) -> Any:
        """The writer of the record, or None."""
        return self.current.writer

    def describe(self, index: int) -> dict[str, Any]:
        """Return what a record needs to go on with the method from a stage, of JSON types."""
        priors = {s.prior: s.own_prior(self.prior, self.shelf).sha256 for s in self.method.stages if s.prior}
        return self.method.as_json() | {
            "stage": index,
            "last_iteration": self.last_iteration,
            "max_seconds": self.max_seconds,
            "prior": {"name": self.prior.name, "source": self.prior.source, "sha256": self.prior.sha256},
            "priors": priors,
        }

    def resume_from(self, record: RunRecord, checkpoint: tuple[int, Any] | None) -> None:
        """Go on where a record of this method ends.

        Parameters
        ----------
        record : RunRecord
            The record.
        checkpoint : tuple of int and dict, optional
            Iteration and state of the stage that ran; without one, that stage begins again from its start.
        """
        self.earlier, self.record = record.earlier, Path(record.path).absolute()
        self.record_options = dict(record.config["record"])
        start = {name: torch.from_numpy(array).to(self.problem.y) for name, array in record.start.items()}
        index = self.earlier.stage
        name = record.config["initialiser"]["name"]
        if checkpoint is not None and not start:
            # All that the state has not is what the start was called.
            start = {"x": torch.zeros(len(self.problem), *self.problem.operator.dim_shape).to(self.problem.y)}
        given = Start(**start, name=name, seed=self.seed) if start else None
        self.current = run = self._stage(index, given, limits=record.config["limits"])
        if checkpoint is None:
            run.record_anew(record, earlier=self.earlier)
            return
        iteration, arrays = checkpoint
        build("checkpoint", lambda: run.check_state(arrays))
        rows = self.earlier.locally(record.trace)
        run.restore(arrays, {name: list(column[: iteration + 1]) for name, column in rows.items()})
        run.record_on(record, iteration, earlier=self.earlier)

    def __enter__(self) -> MethodRun:
        self.current.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # Whoever leaves the loop early, and not by an error, has what the stage has reached.
        run, before, self._before = self.current, self._before, None
        if before is not None and before is not run:
            # A stage that did not get as far as its start: the record is that of the one before.
            run.__exit__(kind, error, trace)
            run = self.current = before
            self.earlier = before.earlier
        run.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Progress]:
        while True:
            run = self.current
            for progress in run:
                yield self._progress(progress)
            if self._stopping or "stopped" in run.status:
                run.judge()
                return
            if run.index == len(self.method.stages) - 1:
                run.judge()
                return
            run.end()
            self._before = run
            self.current = self._next(run)

    def let_go(self) -> None:
        """Close the record of the stage before, which the present one has taken over."""
        before, self._before = self._before, None
        if before is not None and before.writer is not None:
            before.writer.close()

    def complete(self, callback: Callback | None = None) -> Result:
        """Run to the end and return the result."""
        with self:
            for progress in self:
                if callback is not None and callback(progress):
                    self.stop("stopped")
        return self.result()

    def stop(self, status: str) -> None:
        """End the method after this iteration, images that are still being optimised with `status`."""
        self._stopping = True
        self.current.stop(status)

    def result(self) -> Result:
        """Return the result as it stands."""
        return self.current.result()

    def _next(self, run: StageRun) -> StageRun:
        """Return the run of the stage after one that has ended; the record stays as it is until it begins."""
        x = run.handed_on()
        follower = self.method.stages[run.index + 1]
        start = None
        if follower.init == PREVIOUS:
            start = Start(x=x, name=PREVIOUS, seed=self.seed)
        elif follower.init.startswith(CHECKED):
            start = self._checked(follower.init.removeprefix(CHECKED), run, x)
        elif follower.init.startswith(MIXED):
            name, share = follower.init.removeprefix(MIXED), follower.share
            mean = (1 - share) * x + share * registry.get(name)(self.problem)
            start = Start(x=mean, name=f"{PREVIOUS}, {share:g} of it {name}", seed=self.seed)
        ended = EndedStage(
            run.describe(),
            {name: np.stack(rows) for name, rows in run.trace.items()},
            x.cpu().numpy(),
            [str(status) for status in run.status],
            run.iterations.copy(),
        )
        identity = {} if run.writer is None else run.writer.identity
        self.earlier = self.earlier.after(ended, identity)
        following = self._stage(self.earlier.stage, start)
        if self.record is not None:
            options = {**self.record_options, "force": True}
            following.record_to(self.record, earlier=self.earlier, **options)
        return following

    def _checked(self, name: str, run: StageRun, x: torch.Tensor) -> Start:
        """Return the start that the last stage which held measurements out decides on."""
        index = self.method.judged_before(run.index + 1)
        assert index is not None
        fidelity = self.method.stages[index].fidelity()
        assert fidelity is not None
        judged = x if index == run.index else torch.from_numpy(self.earlier.ended[index].x).to(x)
        return checked_start(name, self.problem, fidelity, judged, x, self.seed)

    def _stage(self, index: int, start: Start | None, limits: dict[str, Any] | None = None) -> StageRun:
        stage = self.method.stages[index]
        if start is None:
            if stage.continues:
                raise RecordError("record: the start of the stage is not there")
            start = self._named_start(stage)
        if limits is None:
            limits = {
                "max_iter": stage.max_iter,
                "max_evaluations": None,
                "max_seconds": self._share(index),
                "rtol": None,
            }
        return StageRun(self, index, start, limits)

    def _named_start(self, stage: Stage) -> Start:
        # Raw latents of 0 are another image than D(0): a start is the caller's prior's.
        raw = stage.prior == RAW
        prior = self.prior if raw else stage.own_prior(self.prior, self.shelf)
        fitted = prior.fitted(self.problem.operator.dim_shape)
        start = stage.start(self.problem, fitted, self.seed)
        if not raw or start.z is None:
            return start
        with torch.no_grad():
            return Start(x=fitted.decode(start.z), name=f"D({start.name})", seed=self.seed)

    def _share(self, index: int) -> float | None:
        if self.max_seconds is None:
            return None
        spent = _seconds(self.earlier)
        left = [stage.max_iter for stage in self.method.stages[index:]]
        # A stage whose turn comes too late still takes its first step, as a run with no time left does.
        return max(self.max_seconds - spent, 1e-9) * left[0] / max(sum(left), 1)

    def _progress(self, progress: Progress) -> Progress:
        return dataclasses.replace(
            progress,
            iteration=self.earlier.offset + progress.iteration,
            max_iter=self.last_iteration,
            seconds=_seconds(self.earlier) + progress.seconds,
            evaluations=(self.earlier.total("evaluations") + progress.evaluations).astype(np.int64),
        )


def _seconds(earlier: EarlierStages) -> float:
    return sum(float(stage.trace["seconds"][-1].max()) for stage in earlier.ended)
