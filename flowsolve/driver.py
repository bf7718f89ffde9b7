"""The loop around every solver: stopping, best iterates, non-finite guard, trace, record, budget.

Solvers take steps; everything that is the same for all of them stands here, once. The clock runs only while a
solver works, synchronised with the device; metrics, callbacks and recording are not on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import ArgumentError
from .initialise import Start, make_start
from .metrics import psnr, ssim
from .objectives.base import Objective
from .recording import RunWriter, describe_run
from .result import Iterate, Result
from .solvers.base import Solver, make_solver
from .stopping import Criterion, MaxEvaluations, MaxIterations, MaxSeconds, Progress, RelativeChange
from .tally import COUNTED

#: F beyond the start's by this factor (of max(1, |F|)) ends an image as ``diverged``.
DIVERGED = 1e6

Callback = Callable[[Progress], bool | None]


def solve(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    init: str | Start | torch.Tensor = "zeros",
    *,
    max_iter: int | None = 200,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    rtol: float | None = 1e-7,
    stopping: Criterion | None = None,
    record: str | Path | None = None,
    force: bool = False,
    snapshot_every: int | None = None,
    seed: int = 0,
    callback: Callback | None = None,
    **options: Any,
) -> Result:
    """Minimise an objective, every image of the batch on its own, and return what was found.

    Parameters
    ----------
    objective : Analysis or Synthesis
        What to minimise.
    solver : str or Solver
        Name of a registered solver, or one with its options set.
    init : str, Start or torch.Tensor
        Name of a registered start, or images (N, C, H, W), or latents (N, n). Images are encoded for
        synthesis, latents decoded for analysis.
    max_iter, max_evaluations, max_seconds : int, int, float, optional
        Budget: iterations; evaluations of the objective of each image; seconds of solver time.
    rtol : float, optional
        An image has converged when F changed by at most rtol · max(1, |F|) over 10 iterations.
    stopping : Criterion, optional
        One more criterion, or several combined with ``|`` and ``&``.
    record : path, optional
        HDF5 file to write the run to.
    force : bool
        Whether an existing `record` may be replaced.
    snapshot_every : int, optional
        Record the images every so many iterations.
    seed : int
        Seed of the start.
    callback : callable, optional
        Called with a `Progress` after each iteration; the run stops when it returns True.
    **options
        Options of the solver.

    Returns
    -------
    Result

    Raises
    ------
    ArgumentError
        If an option has a bad value or a name is unknown.
    UnsupportedError
        If the solver cannot take the objective.
    """
    run = Run(
        objective,
        make_solver(solver, **options),
        init,
        limits={
            "max_iter": max_iter,
            "max_evaluations": max_evaluations,
            "max_seconds": max_seconds,
            "rtol": rtol,
        },
        stopping=stopping,
        seed=seed,
    )
    if record is not None:
        run.record_to(record, force=force, snapshot_every=snapshot_every)
    with run:
        for progress in run:
            if callback is not None and callback(progress):
                run.stop("stopped")
    return run.result()


def make_criterion(
    max_iter: int | None, max_evaluations: int | None, max_seconds: float | None, rtol: float | None
) -> Criterion:
    """Return the stopping criterion of the usual limits, those that are None left out.

    Raises
    ------
    ArgumentError
        If all limits of cost are None: the run might never end.
    """
    parts: list[Criterion] = []
    for limit, kind, name in (
        (max_iter, MaxIterations, "max_iter"),
        (max_evaluations, MaxEvaluations, "max_evaluations"),
        (max_seconds, MaxSeconds, "max_seconds"),
    ):
        if limit is not None:
            try:
                parts.append(kind(limit))
            except ArgumentError as error:
                raise ArgumentError(name, error.given, error.accepted) from None
    if not parts:
        raise ArgumentError(
            "max_iter", None, "a number for at least one of max_iter, max_evaluations, max_seconds"
        )
    if rtol is not None:
        # Convergence is asked first, so that an image that converges in its last iteration is said to have.
        parts.insert(0, RelativeChange(rtol, window=10))
    criterion = parts[0]
    for part in parts[1:]:
        criterion = criterion | part
    return criterion


class Run:
    """A run that is advanced one iteration at a time; iterating yields a `Progress` each time.

    Parameters
    ----------
    objective, init, seed
        As for `solve`.
    solver : Solver
        The solver.
    limits : dict
        Arguments of `make_criterion`.
    stopping : Criterion, optional
        One more criterion.
    """

    def __init__(
        self,
        objective: Objective,
        solver: Solver,
        init: str | Start | torch.Tensor,
        *,
        limits: dict[str, Any],
        stopping: Criterion | None = None,
        seed: int = 0,
    ) -> None:
        self.objective, self.solver, self.seed, self.limits = objective, solver, int(seed), limits
        self.criterion = make_criterion(**limits)
        if stopping is not None:
            self.criterion = stopping | self.criterion
        self.tally = objective.tally = type(objective.tally)(len(objective))
        self.start = init if isinstance(init, Start) else self._make_start(init)
        self.iteration, self.seconds = 0, 0.0
        n = len(objective)
        self.status = np.full(n, "", dtype=object)
        self.iterations = np.zeros(n, dtype=np.int64)
        self.writer: RunWriter | None = None
        self._entered = False

    def record_to(self, path: str | Path, *, force: bool = False, snapshot_every: int | None = None) -> None:
        """Write the run to an HDF5 file at `path`; to be called before the first iteration."""
        config = describe_run(self.objective, self.solver, self.start, self.seed, self.limits, self.criterion)
        self.writer = RunWriter(path, config, self.objective, force=force, snapshot_every=snapshot_every)

    def stop(self, status: str) -> None:
        """End the images that are still being optimised with `status`."""
        self.status[self.status == ""] = status

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and self._entered:
            # What was reached must not be lost: the record is closed with the best iterates so far.
            self.stop("interrupted" if kind is KeyboardInterrupt else "failed")
            if self.writer is not None:
                self.writer.finish(self.result(), "interrupted" if kind is KeyboardInterrupt else "failed")
        self.stop("stopped")
        if self.writer is not None:
            if kind is None and self._entered:
                self.writer.finish(self.result(), "finished")
            self.writer.close()

    def __iter__(self) -> Iterator[Progress]:
        self._begin()
        while True:
            progress = self._progress()
            self._apply(self.criterion.check(progress))
            if self.iteration > 0:
                yield progress
            self._apply(self.status)
            if not len(self.active):
                return
            self._advance()

    def result(self) -> Result:
        """Return the result as it stands."""
        objective = self.objective
        best = Iterate(
            x=objective.image(self.best_u).detach(),
            z=objective.latent(self.best_u).detach(),
            value=self.best_value.copy(),
            iteration=self.best_iteration.copy(),
        )
        final = Iterate(
            x=objective.image(self.u).detach(),
            z=objective.latent(self.u).detach(),
            value=np.array(self.trace["value"][-1]),
            iteration=self.iterations.copy(),
        )
        return Result(
            best=best,
            final=final,
            status=[str(s) for s in self.status],
            trace={name: np.stack(rows) for name, rows in self.trace.items()},
            counts=self.tally.copy(),
            iterations=self.iterations.copy(),
            seconds=self.seconds,
            record=None if self.writer is None else self.writer.path,
        )

    def _make_start(self, init: str | torch.Tensor) -> Start:
        problem, prior = self.objective.problem, self.objective.prior
        if isinstance(init, torch.Tensor):
            given = init.detach().to(problem.y)
            if tuple(given.shape) == (len(problem), *self.objective.shape):
                return Start(x=given, name="given image", seed=self.seed)
            if tuple(given.shape) == (len(problem), prior.n):
                return Start(z=given, name="given latent", seed=self.seed)
            raise ArgumentError(
                "init", f"tensor of shape {tuple(init.shape)}", "images (N, C, H, W) or latents (N, n)"
            )
        return make_start(init, problem, prior, seed=self.seed)

    def _begin(self) -> None:
        objective, start = self.objective, self.start
        with torch.no_grad():
            u = objective.from_latent(start.z) if start.x is None else objective.from_image(start.x)
        self._entered = False
        began = self._clock()
        self.state = self.solver.init(objective, u)
        self.seconds += self._clock() - began
        value = self.state.evaluation.value.cpu().numpy()
        if not np.isfinite(value).all():
            bad = np.flatnonzero(~np.isfinite(value)).tolist()
            raise ArgumentError(
                "init", f"a start at which F is not finite (images {bad})", "a start with finite F"
            )
        self.active = np.arange(len(objective))
        self.current = objective
        self.u = self.state.u.clone()
        self.best_u = self.u.clone()
        self.best_value = value.copy()
        self.best_iteration = np.zeros(len(objective), dtype=np.int64)
        self.start_value = value.copy()
        self.trace: dict[str, list[np.ndarray]] = {}
        self._log(self.active)
        self._entered = True

    def _advance(self) -> None:
        began = self._clock()
        self.state = self.solver.step(self.current, self.state)
        self.seconds += self._clock() - began
        self.iteration += 1
        active = self.active
        self.iterations[active] = self.iteration
        value = self.state.evaluation.value.cpu().numpy()
        limit = self.start_value + DIVERGED * np.maximum(1, np.abs(self.start_value))
        sound = torch.isfinite(self.state.u.flatten(1)).all(1).cpu().numpy() & (value <= limit[active])
        self._keep_best(active, value, sound)
        self._log(active, sound)
        self.status[active[self.state.failed.cpu().numpy()]] = "stalled"
        self.status[active[~sound]] = "diverged"

    def _keep_best(self, active: np.ndarray, value: np.ndarray, sound: np.ndarray) -> None:
        device = self.u.device
        kept = torch.as_tensor(np.flatnonzero(sound), device=device)
        self.u[torch.as_tensor(active[sound], device=device)] = self.state.u[kept]
        better = sound & (value < self.best_value[active])
        rows = torch.as_tensor(np.flatnonzero(better), device=device)
        self.best_u[torch.as_tensor(active[better], device=device)] = self.state.u[rows]
        self.best_value[active[better]] = value[better]
        self.best_iteration[active[better]] = self.iteration

    def _log(self, active: np.ndarray, sound: np.ndarray | None = None) -> None:
        """Append a row to the trace; images that have ended, or just broke, repeat their last values."""
        evaluation, n = self.state.evaluation, len(self.objective)
        kept = slice(None) if sound is None else np.flatnonzero(sound)
        columns = {
            "value": evaluation.value,
            "data_fidelity": evaluation.data_fidelity,
            "prior": evaluation.prior,
            "grad_norm": self.state.grad_norm,
            "step": self.state.step,
        }
        truth = self.objective.problem.x_true
        if truth is not None:
            rows = torch.as_tensor(active, device=truth.device)
            columns["psnr"] = torch.as_tensor(psnr(evaluation.image, truth[rows]))
        row = {}
        for name, column in columns.items():
            last = self.trace[name][-1] if name in self.trace else np.full(n, np.nan)
            row[name] = last.copy()
            row[name][active[kept]] = column.detach().double().cpu().numpy()[kept]
        last_seconds = self.trace["seconds"][-1] if "seconds" in self.trace else np.zeros(n)
        row["seconds"] = last_seconds.copy()
        row["seconds"][active] = self.seconds
        row.update({name: self.tally.counts[name].copy() for name in COUNTED})
        for name, values in row.items():
            self.trace.setdefault(name, []).append(values)
        if self.writer is not None:
            self.writer.append(self.iteration, row, lambda: self.objective.image(self.u))

    def _progress(self) -> Progress:
        active = np.zeros(len(self.objective), dtype=bool)
        active[self.active] = True
        evaluations = self.tally.counts["evaluations"]
        return Progress(
            self.iteration, self.limits.get("max_iter"), self.seconds, evaluations, self.trace, active
        )

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
            self.current = self.objective.select(torch.as_tensor(self.active))

    def _clock(self) -> float:
        device = self.objective.prior.device
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


def image_metrics(x: torch.Tensor, x_true: torch.Tensor) -> dict[str, np.ndarray]:
    """Return PSNR in dB and SSIM of each image, shape (N,)."""
    return {"psnr": np.asarray(psnr(x, x_true)), "ssim": np.asarray(ssim(x, x_true))}
