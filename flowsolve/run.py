"""The loop around every solver: stopping, best iterates, non-finite guard, trace, record, budget.

Solvers take steps; everything that is the same for all of them stands here, once. The clock runs only while a
solver works, synchronised with the device; metrics, callbacks and recording are not on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import interrupts
from .ambient import undisturbed
from .errors import ArgumentError, RecordError, UnsupportedError
from .initialise import Start, as_start, make_start, usual_start
from .metrics import Measures
from .numbers import as_count
from .objectives.base import Objective, sum_squares
from .objectives.evaluation import Evaluation
from .priors.terms import LATENTS
from .problem import InverseProblem
from .recording import RunRecord, RunWriter, describe_run
from .recording.checkpoint import Arrays, pack_state, unpack_state
from .recording.earlier import EarlierStages
from .result import Iterate, Result
from .solvers.base import Solver, solver_name
from .stopping import Criterion, Progress, checked_limits, make_criterion
from .tally import COUNTED

#: F beyond the start's by this factor (of max(1, |F|)) ends an image as ``diverged``.
DIVERGED = 1e6

Callback = Callable[[Progress], bool | None]


class Run:
    """A run that is advanced one iteration at a time; iterating yields a `Progress` each time.

    A run is gone through once, in a ``with`` statement: leaving that early ends it as ``stopped``. It counts
    on its own: other runs of the same objective, also in other threads, and calls of the objective by a
    callback leave its counts and its budget alone.

    Parameters
    ----------
    objective, init, seed
        As for `solve`.
    solver : Solver
        The solver.
    limits : dict
        The usual limits, as arguments of `make_criterion`.
    criterion : Criterion, optional
        When to stop; what the limits make unless given.
    measures : Measures, optional
        Metrics that the trace has a column of, where the truth is known; PSNR unless given.
    """

    @undisturbed
    def __init__(
        self,
        objective: Objective,
        solver: Solver,
        init: str | Start | torch.Tensor,
        *,
        limits: dict[str, Any],
        criterion: Criterion | None = None,
        seed: int = 0,
        measures: Measures | None = None,
    ) -> None:
        self.objective, self.solver, self.seed = objective, solver, as_count(seed, "seed")
        if not solver.does_without_values():
            objective.require_value(solver_name(solver))
        self.limits = checked_limits(**limits)
        self.measures = Measures() if measures is None else measures
        self.criterion = make_criterion(**self.limits) if criterion is None else criterion
        # The objective that was given may be in use elsewhere: solvers get one that counts for this run.
        self._counted = self.current = objective.with_own_tally()
        self.tally = self._counted.tally
        self.tally.limit = self.limits["max_evaluations"]
        self.start = self._make_start(init)
        self._start_named = isinstance(init, str)
        self.iteration, self.seconds = 0, 0.0
        n = len(objective)
        problem = objective.problem
        self._noise_energy = problem.sigma**2 * problem.n_measurements.cpu().numpy().astype(np.float64)
        self.status = np.full(n, "", dtype=object)
        self.iterations = np.zeros(n, dtype=np.int64)
        self.writer: RunWriter | None = None
        self.restarted_at: list[int] = []
        self._begun = self._restored = self._looped = False

    @property
    def problem(self) -> InverseProblem:
        """The problem whose images are optimised."""
        return self.objective.problem

    def describe(self) -> dict[str, Any]:
        """Return the configuration that the run can be repeated from, of JSON types."""
        described = describe_run(
            self.objective, self.solver, self.start, self.seed, self.limits, self.criterion
        )
        return described | {"metrics": self.measures.config()}

    def record_to(self, path: str | Path, *, earlier: EarlierStages | None = None, **options: Any) -> None:
        """Write the run to an HDF5 file at `path`; to be called before the first iteration.

        Parameters
        ----------
        path : path
            File to create.
        earlier : EarlierStages, optional
            In a method, the stages before this one.
        **options
            Of `flowsolve.recording.RunWriter`: ``force``, ``snapshot_every``, ``checkpoint_seconds``,
            ``flush_seconds``.
        """
        config = self.describe()
        config["record"] = {k: v for k, v in options.items() if k != "force"}
        if self.restarted_at:
            config["restarted_at"] = self.restarted_at
        # A start that was given cannot be made again from a name: the record keeps it.
        given = {} if self._start_named else {"x": self.start.x, "z": self.start.z}
        start = {name: tensor for name, tensor in given.items() if tensor is not None}
        self.writer = RunWriter(path, config, self.objective, start=start, earlier=earlier, **options)

    def record_on(self, record: RunRecord, iteration: int, *, earlier: EarlierStages | None = None) -> None:
        """Write on, as a run restored at an iteration of a record; its file is replaced in one step."""
        arrays = self._pack()
        if not self.solver.resumes_exactly():
            self.restarted_at = [*record.config.get("restarted_at", []), iteration]
        self.record_to(record.path, force=True, earlier=earlier, **record.config["record"])
        assert self.writer is not None
        with record.open() as old:
            self.writer.adopt(old, iteration)
        self.writer.begin(arrays, None)
        self.writer.checkpoint(arrays, iteration)

    def record_anew(self, record: RunRecord, *, earlier: EarlierStages | None = None) -> None:
        """Write the run from its beginning in the place of a record of it that has no checkpoint."""
        self.record_to(record.path, force=True, earlier=earlier, **record.config["record"])
        assert self.writer is not None
        self.writer.adopt_identity(record.attributes)

    def complete(self, callback: Callback | None = None) -> Result:
        """Run to the end and return the result."""
        with self:
            for progress in self:
                if callback is not None and callback(progress):
                    self.stop("stopped")
        return self.result()

    def stop(self, status: str) -> None:
        """End the images that are still being optimised with `status`."""
        self.status[self.status == ""] = status

    def __enter__(self) -> Run:
        self._require_not_looped()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        status = "stopped"
        if kind is not None:
            status = "interrupted" if issubclass(kind, KeyboardInterrupt | SystemExit) else "failed"
        if self._begun:
            self.solver.close(self.state)
            self.stop(status)
        if self.writer is None:
            return
        try:
            if not self._begun or isinstance(error, RecordError):
                return
            # What was reached must not be lost: the record is closed with the best iterates so far.
            self._finish_record("finished" if kind is None else status)
        finally:
            self.writer.close()

    def _finish_record(self, status: str) -> None:
        assert self.writer is not None
        self.writer.finish(self.result(), status)

    def __iter__(self) -> Iterator[Progress]:
        self._require_not_looped()
        self._looped = True
        if not self._restored:
            try:
                self._begin()
            except BaseException:
                # A record that was not begun leaves nothing.
                if self.writer is not None and not self._begun:
                    self.writer.close()
                raise
        while True:
            interrupts.check()
            # Also of a checkpoint: the one at the start is written before it is known whether it goes on.
            progress = self._progress()
            self._apply(self._ends(progress))
            if self.iteration > 0 and not self._restored:
                yield progress
            self._apply(self.status)
            if not len(self.active):
                return
            if not self._restored:
                self._save()
            self._restored = False
            self._advance()

    @undisturbed
    def result(self) -> Result:
        """Return the result as it stands, which the rest of the run does not change.

        Images that are still being optimised have the status "".

        Raises
        ------
        UnsupportedError
            If the run has not begun: there is nothing yet.
        """
        if not self._begun:
            raise UnsupportedError("result: the run has not begun; loop over it first, or use solve(...)")
        return Result(
            best=self._iterate(self.best_u, self.best_value, self.best_iteration),
            final=self._iterate(self.u, self.trace["value"][-1], self.iterations),
            status=[str(s) for s in self.status],
            trace={name: np.stack(rows) for name, rows in self.trace.items()},
            counts=self.tally.copy(),
            iterations=self.iterations.copy(),
            seconds=self.seconds,
            record=None if self.writer is None else self.writer.path,
        )

    def _require_not_looped(self) -> None:
        if self._looped:
            raise UnsupportedError(
                "run: it has been looped over; a run is gone through once, make another one"
            )

    def _iterate(self, u: torch.Tensor, value: np.ndarray, iteration: np.ndarray) -> Iterate:
        """Return copies: the run writes into its own as it goes on."""
        u = u.clone()
        x, z = self.objective.image(u).detach(), self.objective.latent(u).detach()
        return Iterate(x, z, value.copy(), iteration.copy())

    @undisturbed
    def _make_start(self, init: Any) -> Start:
        problem, prior = self.objective.problem, self.objective.prior
        init = usual_start(init, self.objective)
        if isinstance(init, str):
            return make_start(init, problem, prior, seed=self.seed)
        start = as_start(init, problem, prior, latent=self.objective.space == LATENTS)
        return start if isinstance(init, Start) else replace(start, seed=self.seed)

    @undisturbed
    def _begin(self) -> None:
        objective, start = self._counted, self.start
        with torch.no_grad():
            if start.x is not None:
                u = objective.from_image(start.x)
            else:
                assert start.z is not None
                u = objective.from_latent(start.z)
        began = self._clock()
        self.state = self.solver.init(objective, u)
        self.seconds += self._clock() - began
        value, known = self.state.evaluation.value.cpu().numpy(), self._known(self.state.evaluation)
        if not np.isfinite(known).all():
            bad = np.flatnonzero(~np.isfinite(known)).tolist()
            raise ArgumentError(
                "init", f"a start at which F is not finite (images {bad})", "a start with finite F"
            )
        self.active = np.arange(len(objective))
        self.u = self.state.u.clone()
        self.best_u = self.u.clone()
        self.best_value = value.copy()
        self.best_iteration = np.zeros(len(objective), dtype=np.int64)
        self.start_value = known.copy()
        self.trace: dict[str, list[np.ndarray]] = {}
        self._moved = torch.full_like(self.state.evaluation.value, torch.nan)
        self._log(self.active)
        self.best_merit = self._merit().copy()
        if self.writer is not None:
            arrays = self._pack()
            self.writer.begin(arrays, {name: rows[0] for name, rows in self.trace.items()})
            self.writer.checkpoint(arrays, 0)
        self._begun = True

    @undisturbed
    def restore(self, arrays: Arrays, trace: dict[str, list[np.ndarray]]) -> None:
        """Continue from a checkpoint: the state as `_pack` returned it and the trace up to it."""
        device = self.objective.problem.y.device
        self.state = unpack_state(self.solver.state_type, arrays, device, self.solver.nested())
        self.active = np.array(arrays["active"])
        self.current = self._counted.select(torch.as_tensor(self.active))
        self.u, self.best_u = (
            torch.from_numpy(np.array(arrays[name])).to(device) for name in ("u", "best_u")
        )
        for name in ("best_value", "best_iteration", "start_value", "iterations"):
            setattr(self, name, np.array(arrays[name]))
        self.best_merit = np.array(arrays.get("best_merit", self.best_value))
        self.status = np.array([s.decode() for s in arrays["status"]], dtype=object)
        self.iteration, self.seconds = int(arrays["iteration"]), float(arrays["seconds"])
        for name, counts in self.tally.counts.items():
            # A checkpoint of an older version may lack what that version did not count.
            counts[:] = arrays.get(f"tally/{name}", 0)
        self.trace = trace
        self._begun = self._restored = True

    def check_state(self, arrays: Arrays) -> None:
        """Refuse arrays of a checkpoint that are not the state of this run, before it is restored from them.

        Raises
        ------
        RecordError
            The message names the first array that is missing or has another shape or dtype.
        """
        n, device = len(self.objective), self.objective.problem.y.device
        active = arrays.get("active", np.zeros(0))
        if active.dtype.kind != "i" or active.ndim != 1 or not (np.diff(active, prepend=-1) > 0).all():
            raise RecordError("record: its checkpoint has no images that are still optimised")
        if len(active) and active[-1] >= n:
            raise RecordError(f"record: its checkpoint is of more than {n} images")
        u = np.zeros((n, *self.objective.variable_shape), str(self.objective.prior.dtype)[6:])
        wanted: Arrays = {"u": u, "best_u": u}
        wanted |= dict.fromkeys(("best_value", "start_value"), np.zeros(n))
        wanted |= dict.fromkeys(("best_iteration", "iterations"), np.zeros(n, dtype=np.int64))
        wanted |= {"status": np.zeros(n, "S24"), "iteration": np.array(0), "seconds": np.array(0.0)}
        _require_alike(arrays, wanted)
        state = self.solver.init(self.objective, torch.from_numpy(np.array(arrays["best_u"])).to(device))
        try:
            packed = pack_state(state)
        finally:
            self.solver.close(state)
        _require_alike(arrays, {name: array[: len(active)] for name, array in packed.items()})

    def _pack(self) -> Arrays:
        """Return everything that the rest of the run depends on, the trace apart."""
        arrays: Arrays = {
            "active": self.active,
            "u": self.u.cpu().numpy(),
            "best_u": self.best_u.cpu().numpy(),
            "best_value": self.best_value,
            "best_merit": self.best_merit,
            "best_iteration": self.best_iteration,
            "start_value": self.start_value,
            "iterations": self.iterations,
            "status": self.status.astype("S24"),
            "iteration": np.array(self.iteration),
            "seconds": np.array(self.seconds),
        }
        arrays |= {f"tally/{name}": counts for name, counts in self.tally.counts.items()}
        return arrays | pack_state(self.state)

    def _save(self) -> None:
        """Record the state where one is due."""
        if self.writer is not None and self.writer.checkpoint_due:
            self.writer.checkpoint(self._pack(), self.iteration)

    @undisturbed
    def _advance(self) -> None:
        began = self._clock()
        self.state = self.solver.step(self.current, self.state)
        self.seconds += self._clock() - began
        self.iteration += 1
        active = self.active
        self.iterations[active] = self.iteration
        value, known = self.state.evaluation.value.cpu().numpy(), self._known(self.state.evaluation)
        limit = self.start_value + DIVERGED * np.maximum(1, np.abs(self.start_value))
        sound = torch.isfinite(self.state.u.flatten(1)).all(1).cpu().numpy() & (known <= limit[active])
        self._moved = self._residual(active)
        kept = torch.as_tensor(np.flatnonzero(sound), device=self.u.device)
        self.u[torch.as_tensor(active[sound], device=self.u.device)] = self.state.u[kept]
        self._log(active, sound)
        self._keep_best(active, value, sound)
        self.status[active] = self.state.ends()
        self.status[active[~sound]] = "diverged"

    def _keep_best(self, active: np.ndarray, value: np.ndarray, sound: np.ndarray) -> None:
        device, merit = self.u.device, self._merit()[active]
        better = sound & (merit < self.best_merit[active])
        if not self.objective.has_value and self.criterion.merit == "value":
            # Nothing tells one fixed-point iterate from another but that it comes later.
            better = sound
        rows = torch.as_tensor(np.flatnonzero(better), device=device)
        self.best_u[torch.as_tensor(active[better], device=device)] = self.state.u[rows]
        self.best_value[active[better]] = value[better]
        self.best_merit[active[better]] = merit[better]
        self.best_iteration[active[better]] = self.iteration

    def _merit(self) -> np.ndarray:
        """Return what is lowest at an image's best iterate, shape (N,): F, or what the criterion asks."""
        column = self.criterion.merit
        if column not in self.trace:
            raise UnsupportedError(
                f"stopping: the criterion watches {column!r}, which this objective does not have; give it "
                "fidelity=flowsolve.fidelities.HeldOutLeastSquares(...)"
            )
        return self.trace[column][-1]

    @undisturbed
    def _ends(self, progress: Progress) -> np.ndarray:
        """Return the statuses that the criterion gives, without a convergence that cannot be one yet."""
        ends = self.criterion.check(progress)
        provisional = self.state.provisional()
        if provisional is not None:
            waiting = self.active[provisional.cpu().numpy()]
            ends[waiting[ends[waiting] == "converged"]] = ""
        return ends

    def _known(self, evaluation: Evaluation) -> np.ndarray:
        """Return what is watched for divergence: F, or the data term where F has no value."""
        known = evaluation.value if self.objective.has_value else evaluation.data_fidelity
        return known.cpu().numpy()

    def _residual(self, active: np.ndarray) -> torch.Tensor:
        """Return ‖T(u) − u‖ / ‖u‖ of the solver's step T from the last iterate, shape (N,), float64."""
        before = self.u[torch.as_tensor(active, device=self.u.device)]
        tiny = torch.finfo(before.dtype).tiny
        return (sum_squares(self.state.u - before) / sum_squares(before).clamp(min=tiny)).sqrt()

    def _log(self, active: np.ndarray, sound: np.ndarray | None = None) -> None:
        """Append a row to the trace; images that have ended, or just broke, repeat their last values."""
        evaluation, n = self.state.evaluation, len(self.objective)
        kept = slice(None) if sound is None else np.flatnonzero(sound)
        columns: dict[str, torch.Tensor | None] = {
            "value": evaluation.value,
            "data_fidelity": evaluation.data_fidelity,
            "prior": evaluation.prior,
            "grad_norm": self.state.grad_norm,
            "step": self.state.step,
        }
        if self.problem.x_true is not None:
            columns |= self._measured(active, evaluation.image)
        columns |= self.current.monitors(evaluation.image) | self.state.columns()
        if not self.objective.has_value:
            columns["residual"] = self._moved
        row = {}
        for name, column in columns.items():
            last = self.trace[name][-1] if name in self.trace else np.full(n, np.nan)
            row[name] = last.copy()
            if column is not None:
                row[name][active[kept]] = column.detach().double().cpu().numpy()[kept]
        last_seconds = self.trace["seconds"][-1] if "seconds" in self.trace else np.zeros(n)
        row["seconds"] = last_seconds.copy()
        row["seconds"][active] = self.seconds
        row.update({name: self.tally.counts[name].copy() for name in COUNTED})
        for name, values in row.items():
            # Callbacks see the trace itself: one that wrote into it would change what the criteria see.
            values.setflags(write=False)
            self.trace.setdefault(name, []).append(values)
        if self.writer is not None:
            self.writer.append(self.iteration, row, lambda: self.objective.image(self.u))

    def _measured(self, active: np.ndarray, image: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """Return the metrics of images that are optimised; None between the iterations that ask them."""
        if self.iteration % self.measures.every:
            return {metric.name: None for metric in self.measures}
        truth = self.problem.x_true
        assert truth is not None
        shown = [
            self.problem.in_frame(x) for x in (image, truth[torch.as_tensor(active, device=truth.device)])
        ]
        return {metric.name: torch.as_tensor(metric(*shown)) for metric in self.measures}

    def _progress(self) -> Progress:
        active = np.zeros(len(self.objective), dtype=bool)
        active[self.active] = True
        evaluations = self.tally.counts["evaluations"].copy()
        return Progress(
            self.iteration,
            self.limits["max_iter"],
            self.seconds,
            evaluations,
            self.trace,
            active,
            self._noise_energy,
            self._images,
        )

    @undisturbed
    def _images(self) -> torch.Tensor:
        """Return a copy of the images, outside the run's clock and counts."""
        with torch.no_grad():
            return self.objective.image(self.u.clone()).detach()

    def _apply(self, ends: np.ndarray) -> None:
        """End the images that have a status and drop them from the batch."""
        unset = self.status == ""
        self.status[unset] = ends[unset]
        going = self.status[self.active] == ""
        if going.all():
            return
        self.active = self.active[going]
        if len(self.active):
            device = self.state.u.device
            self.state = self.state.select(torch.as_tensor(np.flatnonzero(going), device=device))
            self.current = self._counted.select(torch.as_tensor(self.active))

    def _clock(self) -> float:
        device = self.objective.prior.device
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


def _require_alike(arrays: Arrays, wanted: Arrays) -> None:
    """Refuse arrays of a checkpoint of other shapes and dtypes than they should have."""
    for name, array in wanted.items():
        found = arrays.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            given = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            text = f"{given} for {name}; it should be {array.dtype} of shape {array.shape}"
            raise RecordError(f"record: its checkpoint has {text}")
