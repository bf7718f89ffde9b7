"""When a run ends: criteria per image, combined with ``|`` (either) and ``&`` (both).

A criterion looks at the progress so far and returns, for each image, the status it would end with or an
empty string. It keeps no state, so a resumed run stops exactly where the uninterrupted one does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, UnsupportedError
from .numbers import as_count, to_float
from .registry import Registry

if TYPE_CHECKING:
    import torch

#: Iterations of a run of which nothing is said.
ITERATIONS = 400

#: Statuses with which an image may end.
STATUSES = (
    "converged",
    "max_iter",
    "max_evaluations",
    "timeout",
    "discrepancy",
    "held_out",
    "target",
    "stalled",
    "diverged",
    "stopped",
)


@dataclass
class Progress:
    """What a criterion or a callback may look at after an iteration.

    Attributes
    ----------
    iteration : int
        Number of iterations done.
    max_iter : int or None
        Limit of the run, for progress displays.
    seconds : float
        Time the solver has taken, metrics and recording excluded.
    evaluations : numpy.ndarray, shape (N,)
        Evaluations of the objective so far.
    trace : mapping of str to sequence of numpy.ndarray
        Columns of the trace so far, one entry of shape (N,) an iteration, the start first.
    active : numpy.ndarray, shape (N,), bool
        Images still being optimised.
    noise_energy : numpy.ndarray, shape (N,), optional
        mσ², what ‖Ax − y‖² is on average at the truth, m being the number of measured values.
    images : callable, optional
        Returns the images (N, C, H, W) as they are when it is called; see `x`.
    """

    iteration: int
    max_iter: int | None
    seconds: float
    evaluations: np.ndarray
    trace: Mapping[str, Sequence[np.ndarray]]
    active: np.ndarray = field(default_factory=lambda: np.ones(0, dtype=bool))
    noise_energy: np.ndarray | None = None
    images: Callable[[], torch.Tensor] | None = field(default=None, repr=False)

    @property
    def x(self) -> torch.Tensor:
        """Images of this iteration, shape (N, C, H, W); to be asked for before the next one.

        Raises
        ------
        UnsupportedError
            If nothing has been said of the images.
        """
        if self.images is None:
            raise UnsupportedError("x: this progress is of a run without images")
        return self.images()

    @property
    def value(self) -> np.ndarray:
        """Objective values, shape (N,)."""
        return self.trace["value"][-1]

    @property
    def psnr(self) -> np.ndarray | None:
        """PSNR in dB, shape (N,), or None where the truth is unknown."""
        return self.trace["psnr"][-1] if self.trace.get("psnr") else None

    @property
    def n_active(self) -> int:
        """Number of images still being optimised."""
        return int(self.active.sum())


class Criterion(ABC):
    """A stopping rule.

    Attributes
    ----------
    merit : str
        Column of the trace that is lowest at the best iterate: F itself unless the rule watches another one.
    """

    merit: str = "value"

    @abstractmethod
    def check(self, progress: Progress) -> np.ndarray:
        """Return the status each image would end with, or "" to go on; shape (N,), dtype object."""

    @abstractmethod
    def config(self) -> Any:
        """Return ``{name: value, option: ...}``, JSON-able, which ``cls(value, option=...)`` takes."""

    def __or__(self, other: Criterion) -> Criterion:
        return Either(self, other)

    def __and__(self, other: Criterion) -> Criterion:
        return Both(self, other)


registry: Registry[type[Criterion]] = Registry("stopping criterion", "flowsolve.stopping")
register_criterion = registry.register


class _Pair(Criterion):
    """Two criteria; the first that watches something else than F says what the best iterate is."""

    def __init__(self, first: Criterion, second: Criterion) -> None:
        self.first, self.second = first, second
        self.merit = second.merit if first.merit == "value" else first.merit


class Either(_Pair):
    """Stop an image when one of two criteria does; the first that does gives the status."""

    def check(self, progress: Progress) -> np.ndarray:
        """Return the status of the first criterion that stops, per image."""
        first = self.first.check(progress)
        return np.where(first == "", self.second.check(progress), first)

    def config(self) -> Any:
        """Return both descriptions."""
        return {"either": [self.first.config(), self.second.config()]}


class Both(_Pair):
    """Stop an image when both criteria do, with the status of the first."""

    def check(self, progress: Progress) -> np.ndarray:
        """Return the first criterion's status where both stop."""
        first, second = self.first.check(progress), self.second.check(progress)
        return np.where((first != "") & (second != ""), first, "").astype(object)

    def config(self) -> Any:
        """Return both descriptions."""
        return {"both": [self.first.config(), self.second.config()]}


class _Threshold(Criterion):
    """A criterion with one positive limit and one status."""

    status = "converged"
    integral = False

    def __init__(self, limit: float) -> None:
        name = type(self).__name__
        accepted = "an integer >= 0" if self.integral else "a number >= 0"
        number = to_float(limit, name, accepted)
        whole = math.isfinite(number) and number == int(number)
        if math.isnan(number) or number < 0 or (self.integral and not whole):
            raise ArgumentError(name, repr(limit), accepted)
        self.limit = int(limit) if self.integral else number

    def check(self, progress: Progress) -> np.ndarray:
        """Return the status where the limit is reached."""
        reached = np.broadcast_to(self.reached(progress), progress.value.shape)
        return np.where(reached, self.status, "").astype(object)

    @abstractmethod
    def reached(self, progress: Progress) -> np.ndarray | bool:
        """Return whether the limit is reached, of each image or of all."""

    def config(self) -> Any:
        """Return the name and the limit."""
        return {type(self).__name__: self.limit}


def criterion_from_config(config: Any) -> Criterion:
    """Return the criterion whose ``config()`` this is.

    Raises
    ------
    UnsupportedError
        If its class is not registered.
    """
    name = next(iter(config))
    if name in ("either", "both"):
        first, second = (criterion_from_config(part) for part in config[name])
        return first | second if name == "either" else first & second
    if name in registry:
        options = {key: value for key, value in config.items() if key != name}
        return registry.get(name)(config[name], **options)  # type: ignore[call-arg]
    raise UnsupportedError(
        f"stopping: {name!r} cannot be built again from a record: it is not registered here"
    )


def with_max_iter(criterion: Criterion, max_iter: int) -> Criterion:
    """Return the criterion with another limit of iterations, wherever it has one."""
    if isinstance(criterion, MaxIterations):
        return MaxIterations(max_iter)
    if isinstance(criterion, _Pair):
        parts = (with_max_iter(part, max_iter) for part in (criterion.first, criterion.second))
        return type(criterion)(*parts)
    return criterion


def describe_criterion(criterion: Criterion) -> Any:
    """Return the ``config()`` of a criterion, having asked whether it can be made again from it.

    Raises
    ------
    UnsupportedError
        If a class is not registered under the first key of its ``config()``.
    """
    if isinstance(criterion, _Pair):
        describe_criterion(criterion.first)
        describe_criterion(criterion.second)
        return criterion.config()
    described = criterion.config()
    name = str(next(iter(described)))
    if name not in registry or registry.get(name) is not type(criterion):
        raise UnsupportedError(
            f"stopping: {type(criterion).__name__} cannot be described, as a record does: it is not "
            f'registered; put @flowsolve.stopping.register_criterion("{name}") before the class'
        )
    return described


@register_criterion("MaxIterations")
class MaxIterations(_Threshold):
    """Stop after so many iterations."""

    status, integral = "max_iter", True

    def reached(self, progress: Progress) -> bool:
        """Return whether the iterations are used up."""
        return progress.iteration >= self.limit


@register_criterion("MaxEvaluations")
class MaxEvaluations(_Threshold):
    """Stop an image after so many evaluations of its objective."""

    status, integral = "max_evaluations", True

    def reached(self, progress: Progress) -> np.ndarray:
        """Return whether each image's evaluations are used up."""
        return progress.evaluations >= self.limit


@register_criterion("MaxSeconds")
class MaxSeconds(_Threshold):
    """Stop after so many seconds of solver time."""

    status = "timeout"

    def reached(self, progress: Progress) -> bool:
        """Return whether the time is used up."""
        return progress.seconds >= self.limit


@register_criterion("GradientNorm")
class GradientNorm(_Threshold):
    """Stop an image when ‖∇F‖₂ (or the prox-gradient mapping's norm) is at most `limit`."""

    def reached(self, progress: Progress) -> np.ndarray:
        """Return whether each image's gradient is small."""
        return progress.trace["grad_norm"][-1] <= self.limit


@register_criterion("RelativeChange")
class RelativeChange(_Threshold):
    """Stop an image when F changed by at most `limit` · max(1, |F|) over the last `window` iterations.

    Where F has no value, the fixed-point residual ‖u_k+1 − u_k‖ / ‖u_k‖ must have been at most √`limit` for
    as long: near a minimum F changes by the square of what its variable does.
    """

    def __init__(self, limit: float, window: int = 5) -> None:
        super().__init__(limit)
        self.window = as_count(window, "window", least=1)

    def reached(self, progress: Progress) -> np.ndarray | bool:
        """Return whether each image's value has settled."""
        values = progress.trace["value"]
        if len(values) <= self.window:
            return False
        if progress.trace.get("residual"):
            recent = np.stack([np.asarray(r) for r in list(progress.trace["residual"])[-self.window :]])
            return recent.max(0) <= math.sqrt(self.limit)
        recent = np.stack([np.asarray(v) for v in list(values)[-self.window - 1 :]])
        spread = recent.max(0) - recent.min(0)
        return spread <= self.limit * np.maximum(1.0, np.abs(recent[-1]))

    def config(self) -> Any:
        """Return the limit and the window."""
        return {"RelativeChange": self.limit, "window": self.window}


@register_criterion("Discrepancy")
class Discrepancy(_Threshold):
    """Stop an image when ‖Ax − y‖² is at most `limit` · mσ², what the noise accounts for (Morozov, 1966).

    What a descent fits after that is noise: stopped there, it regularises by itself, so that F may be taken
    with a small lam, or none (Engl, Hanke & Neubauer, "Regularization of inverse problems", 1996, section
    4.3). The limit is the τ of the literature, 1 or a little above; m counts the measured values, without
    what a mask hides. The data term must be least squares, and σ > 0.
    """

    status = "discrepancy"

    def __init__(self, limit: float = 1.0) -> None:
        super().__init__(limit)

    def reached(self, progress: Progress) -> np.ndarray:
        """Return whether each image fits its measurements as well as the noise allows."""
        if progress.noise_energy is None or not progress.noise_energy.all():
            raise UnsupportedError(
                "stopping: Discrepancy needs a problem with noise (sigma > 0); use HeldOut or RelativeChange"
            )
        return 2 * progress.trace["data_fidelity"][-1] <= self.limit * progress.noise_energy


@register_criterion("HeldOut")
class HeldOut(_Threshold):
    """Stop an image when the misfit of measurements held out has not fallen for `limit` iterations.

    The objective must hold some out (`flowsolve.fidelities.HeldOutLeastSquares`): they are not fitted, only
    watched, and their misfit falls as long as the image gets better and rises when noise is fitted (Prechelt,
    "Early stopping - but when?", 1998). The best iterate is the one where it was lowest, and not the one of
    lowest F.
    """

    status, integral, merit = "held_out", True, "held_out"

    def __init__(self, limit: int = 20) -> None:
        super().__init__(limit)

    def reached(self, progress: Progress) -> np.ndarray | bool:
        """Return whether each image's lowest misfit is at least `limit` iterations back."""
        misfits = np.stack([np.asarray(row) for row in progress.trace[self.merit]])
        return len(misfits) - 1 - misfits.argmin(0) >= max(1, self.limit)


@register_criterion("TargetValue")
class TargetValue(Criterion):
    """Stop an image when F is at most its target, for example the value that another solver ended with.

    Parameters
    ----------
    targets : float or array_like, shape (N,)
        Target of all images, or of each.
    """

    def __init__(self, targets: float | Sequence[float] | np.ndarray) -> None:
        self.targets = np.asarray(targets, dtype=np.float64)
        if self.targets.ndim > 1 or not np.isfinite(self.targets).all():
            raise ArgumentError("TargetValue", repr(targets), "a finite number, or one for each image")

    def check(self, progress: Progress) -> np.ndarray:
        """Return ``target`` where it is reached."""
        value = np.asarray(progress.value)
        if self.targets.ndim and self.targets.shape != value.shape:
            raise ArgumentError(
                "TargetValue",
                f"{len(self.targets)} targets",
                f"one number, or {len(value)}, one for each image",
            )
        return np.where(value <= self.targets, "target", "").astype(object)

    def config(self) -> Any:
        """Return the targets."""
        return {"TargetValue": self.targets.tolist()}


def checked_limits(
    max_iter: int | None = None,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    rtol: float | None = None,
) -> dict[str, Any]:
    """Return the usual limits as Python numbers, under their names.

    Raises
    ------
    ArgumentError
        If one is not a number >= 0, or all limits of cost are None.
    """
    make_criterion(max_iter, max_evaluations, max_seconds, rtol)
    counts = {"max_iter": max_iter, "max_evaluations": max_evaluations}
    times = {"max_seconds": max_seconds, "rtol": rtol}
    return {name: None if limit is None else int(limit) for name, limit in counts.items()} | {
        name: None if limit is None else float(limit) for name, limit in times.items()
    }


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
