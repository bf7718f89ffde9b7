"""Restore images without being told how: the call that most users need."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ArgumentError
from .flows import FlowPrior, load_prior
from .methods import Method, MethodRun, classical_guard, plan_method
from .metrics import Measures, Metric
from .numbers import as_count, to_float
from .priors.base import Prior, require_flow
from .problem import InverseProblem
from .result import Result
from .run import Callback
from .tiles import restore_by_tiles, tile_size

AUTO = "auto"
"""The method that looks at the problem and decides."""


def restore(
    problem: InverseProblem,
    prior: str | os.PathLike[str] | FlowPrior = "faces64",
    method: str | Path | Method = AUTO,
    *,
    seed: int = 0,
    max_seconds: float | None = None,
    max_iter: int | None = None,
    record: str | Path | None = None,
    force: bool = False,
    callback: Callback | None = None,
    metrics: Sequence[str | Metric] = ("psnr",),
    metric_every: int = 1,
    tile: int | str | None = None,
) -> Result:
    """Restore every image of a problem by a method.

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level. Its truth, if any, is for metrics only.
    prior : str, path or FlowPrior
        The prior, or its name or file.
    method : str, path or Method
        ``auto`` decides from the problem; other names are those of `flowsolve.methods.registry`; a JSON
        file of stages, or a `flowsolve.methods.Method`.
    seed : int
        Seed of random starts.
    max_seconds : float, optional
        Solver time for all stages together.
    max_iter : int, optional
        Iterations of all stages together: a method of more is shortened, each stage by the same share.
    record : path, optional
        HDF5 file to write the run to; all stages in one file.
    force : bool
        Whether an existing `record` may be replaced.
    callback : callable, optional
        Called with a `Progress` after each iteration; when it returns True the method ends there.
    metrics, metric_every
        As for `flowsolve.solve`.
    tile : int or "auto", optional
        Restore large images by overlapping tiles of so many pixels' side, in memory that does not grow with
        them: for operators that act locally (identity, masks, blurs, downsampling) and priors of any size.
        ``"auto"`` does so where images have more than 2¹⁸ pixels and it is possible.

    Returns
    -------
    Result
        Its ``x`` is the restoration, ``method`` what was run and why, ``notes`` what is worth knowing.
        By tiles there are no latents, and no record: see `flowsolve.tiles.restore_by_tiles`.

    Raises
    ------
    ArgumentError
        If a name is unknown or a number out of range.
    UnsupportedError
        If the method has no answer for the problem's operator.

    Examples
    --------
    >>> result = fs.restore(problem, "faces64")      # doctest: +SKIP
    >>> result.x, result.method.reason               # doctest: +SKIP
    """
    prior = _loaded(prior)
    side = None if tile is None else tile_size(tile, problem, prior)
    if side is not None:
        if record is not None:
            raise ArgumentError("record", str(record), "none by tiles; tile off records the run")
        return _by_tiles(problem, prior, method, side, seed, max_seconds, max_iter, callback)
    run = make_method_run(
        problem,
        prior,
        method,
        seed=seed,
        max_seconds=max_seconds,
        max_iter=max_iter,
        record=record,
        force=force,
        metrics=metrics,
        metric_every=metric_every,
    )
    return run.complete(callback)


def _by_tiles(
    problem: InverseProblem,
    prior: FlowPrior,
    method: str | Path | Method,
    side: int,
    seed: int,
    max_seconds: float | None,
    max_iter: int | None,
    callback: Callback | None,
) -> Result:
    problem = problem.to(device=prior.device, dtype=prior.dtype)
    # Decided from the whole image: all its tiles are restored alike.
    planned = plan_method(method, problem, prior)

    def run(part: InverseProblem, share: float) -> Result:
        seconds = None if max_seconds is None else share * max_seconds
        going = make_method_run(part, prior, planned, seed=seed, max_iter=max_iter, max_seconds=seconds)
        return going.complete(callback)

    return restore_by_tiles(problem, prior, side, run)


def make_method_run(
    problem: InverseProblem,
    prior: str | os.PathLike[str] | FlowPrior = "faces64",
    method: str | Path | Method = AUTO,
    *,
    seed: int = 0,
    max_seconds: float | None = None,
    max_iter: int | None = None,
    record: str | Path | None = None,
    metrics: Sequence[str | Metric] = ("psnr",),
    metric_every: int = 1,
    **record_options: Any,
) -> MethodRun:
    """Return the run that `restore` would do, not begun yet; parameters and errors are those of `restore`.

    Parameters
    ----------
    problem, prior, method, seed, max_seconds, max_iter, record, metrics, metric_every
        As for `restore`.
    **record_options
        Of `flowsolve.recording.RunWriter`: ``force``, ``snapshot_every``, ``checkpoint_seconds``,
        ``flush_seconds``.
    """
    if not isinstance(problem, InverseProblem):
        raise ArgumentError("problem", type(problem).__name__, "an InverseProblem")
    if record is not None and not isinstance(record, str | Path):
        raise ArgumentError("record", repr(record), "the path of a file")
    seed = as_count(seed, "seed")
    prior = _loaded(prior)
    if max_seconds is not None:
        max_seconds = to_float(max_seconds, "max_seconds", "a number > 0")
        if not max_seconds > 0:
            raise ArgumentError("max_seconds", max_seconds, "a number > 0")
        max_seconds = None if math.isinf(max_seconds) else max_seconds
    if max_iter is not None:
        max_iter = as_count(max_iter, "max_iter", least=1)
    problem = problem.to(device=prior.device, dtype=prior.dtype)
    planned = plan_method(method, problem, prior).shortened(max_iter)
    return MethodRun(
        planned,
        problem,
        prior,
        seed=seed,
        max_seconds=max_seconds,
        record=record,
        record_options=record_options,
        guard=classical_guard if planned.guarded else None,
        measures=Measures(metrics, metric_every),
    )


def _loaded(prior: str | os.PathLike[str] | FlowPrior) -> FlowPrior:
    return require_flow(prior if isinstance(prior, Prior) else load_prior(prior), "restore")
