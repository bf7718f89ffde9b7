"""By what combinations are ranked that may minimise different functions.

F is comparable only within one objective: another φ, λ or constraint is another function, whose lowest value
says nothing about the image. PSNR compares everything where the truth is known. Where it is not, a part of
the measurements is hidden from start and solver and predicted from the restored image: the error of the
prediction ranks (cross-validation; for denoising, J. Batson and L. Royer, "Noise2Self", ICML 2019).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ..baselines import harmonic_fill
from ..errors import ArgumentError, UnsupportedError
from ..fidelities import Fidelity, HeldOutLeastSquares
from ..metrics import psnr
from ..operators import Identity, LinearOperator, Mask
from ..problem import InverseProblem
from ..run import Run

#: Names that can be asked for; ``auto`` is ``psnr`` where the truth is known, else ``held-out``.
CRITERIA = ("auto", "psnr", "held-out", "objective")

#: Part of the measurements that is hidden.
FRACTION = 0.1

#: Largest part of an image that counts as a hole, of which a copy can be hidden; how many shifts are tried.
HOLE, SHIFTS = 0.2, 32


class Criterion(ABC):
    """What ranks.

    Attributes
    ----------
    name : str
        As it is asked for.
    problem : InverseProblem
        What the objectives are made of.
    seen : InverseProblem
        What the starts are made from.
    fidelity : Fidelity or None
        Data term of the objectives.
    sign : float
        1 where more is better, −1 where less is.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 2
    kind: ClassVar[str] = "f"
    sign: ClassVar[float] = -1.0

    def __init__(self, problem: InverseProblem) -> None:
        self.problem = self.seen = problem
        self.fidelity: Fidelity | None = None

    @abstractmethod
    def curve(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Return iterations (K,) and the mean score over images of the best iterates up to each, (K,)."""

    @abstractmethod
    def of_images(self, x: torch.Tensor) -> float:
        """Return the mean score of restored images (N, C, H, W), NaN where it is no matter of images."""

    @abstractmethod
    def explain(self) -> str:
        """Return a sentence on what ranks and why."""

    def best(self, run: Run) -> float:
        """Return the best score along the run, NaN where there is none."""
        scores = self.curve(run)[1]
        if not np.isfinite(scores).any():
            return float("nan")
        return float(np.nanmax(scores) if self.sign > 0 else np.nanmin(scores))

    def text(self, score: float, *, unit: bool = True) -> str:
        """Return a score as people read it."""
        if not np.isfinite(score):
            return "-"
        return f"{score:.{self.digits}{self.kind}}" + (self.unit if unit else "")


class _Traced(Criterion):
    """A criterion that is a column of the trace."""

    column: ClassVar[str]

    def curve(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Return the column at the lowest F up to each iteration, the mean over images."""
        value, column = np.stack(run.trace["value"]), np.stack(run.trace[self.column])
        lowest = np.minimum.accumulate(np.where(np.isnan(value), np.inf, value))
        new = np.vstack([np.ones((1, value.shape[1]), dtype=bool), lowest[1:] < lowest[:-1]])
        rows = np.maximum.accumulate(np.where(new, np.arange(len(value))[:, None], 0))
        scores = self.transform(np.take_along_axis(column, rows, axis=0))
        return np.arange(len(value)), scores.mean(1)

    def transform(self, column: np.ndarray) -> np.ndarray:
        """Return scores from values of the column."""
        return column


class ByPsnr(_Traced):
    """PSNR: for clean images, which the program degraded itself."""

    name, column, unit, sign = "psnr", "psnr", " dB", 1.0

    def of_images(self, x: torch.Tensor) -> float:
        """Return the mean PSNR."""
        return float(psnr(*map(self.problem.in_frame, (x, self.problem.x_true))).mean())

    def explain(self) -> str:
        """Return a sentence on what ranks and why."""
        return (
            "Combinations are ranked by PSNR, because the clean images are known and values of F with "
            "different weights or prior terms cannot be compared; the choice has therefore seen the truth."
        )


class ByObjective(_Traced):
    """F itself: only for combinations that minimise one function."""

    name, column, digits, kind = "objective", "value", 6, "g"

    def of_images(self, x: torch.Tensor) -> float:
        """Return NaN: what has other objectives cannot be ranked by F."""
        return float("nan")

    def explain(self) -> str:
        """Return a sentence on what ranks and why."""
        return (
            "Combinations are ranked by the lowest F: all minimise the same function. "
            "The lowest F need not be the best image."
        )


class ByHeldOut(_Traced):
    """Prediction of hidden measurements, for problems with noise and operators that are no masks."""

    name, column, digits = "held-out", "held_out", 5

    def __init__(self, problem: InverseProblem, seed: int = 0) -> None:
        super().__init__(problem)
        if problem.sigma == 0:
            raise UnsupportedError(
                "criterion: without noise and truth nothing can be held out of a hard constraint but "
                "pixels of a mask; give a sigma > 0 (0.001 is the rounding of 8-bit files)"
            )
        fidelity = HeldOutLeastSquares(FRACTION, seed=seed)
        hidden = fidelity.held_out(problem.y.shape[1:])
        self.fidelity = fidelity
        whole = np.broadcast_to(hidden, problem.y.shape[1:])
        self._hidden = torch.as_tensor(whole.copy()).to(problem.y.device)
        self._count = float(whole.sum())
        self.seen = _without(problem, hidden)

    def transform(self, column: np.ndarray) -> np.ndarray:
        """Return root-mean-square errors from half the sums of squares."""
        return np.sqrt(2 * column / self._count)

    def of_images(self, x: torch.Tensor) -> float:
        """Return the root-mean-square error of the prediction, the mean over images."""
        y = self.problem.y
        error = (self.problem.operator.apply(x.to(y)) - y).double() * self._hidden
        return float((error.flatten(1).square().sum(1) / self._count).sqrt().mean())

    def explain(self) -> str:
        """Return a sentence on what ranks and why."""
        return _HELD_OUT


class ByHeldOutPixels(Criterion):
    """Prediction of hidden pixels, where the operator is a mask or the identity.

    The problem becomes that of a mask with fewer pixels, also without noise.
    """

    name, digits = "held-out", 5

    def __init__(self, problem: InverseProblem, seed: int = 0) -> None:
        super().__init__(problem)
        shape = tuple(problem.operator.dim_shape)
        weights = problem.operator.mask if isinstance(problem.operator, Mask) else np.ones((1, 1, 1))
        hidden = hidden_pixels(weights != 0, shape, seed)
        kept = torch.as_tensor(~hidden).to(problem.y)
        reduced = Mask(np.where(hidden, 0.0, weights), shape)
        self._original = problem
        self._hidden = torch.as_tensor((weights != 0) & hidden).to(problem.y.device).expand_as(problem.y)
        if not self._hidden.any():
            raise ArgumentError("images", "too few measured pixels to hold some out", "larger measurements")
        self.problem = InverseProblem(
            reduced, problem.y * kept, sigma=problem.sigma, noise=problem.noise, x_true=problem.x_true
        )
        self.seen = self.problem
        self._points: WeakKeyDictionary[Run, dict[int, float]] = WeakKeyDictionary()

    def curve(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores at the start and at the iterations at which this was asked for."""
        points = self._points.setdefault(run, {})
        with torch.no_grad():
            if not points:
                points[0] = self.of_images(run.objective.image(_first(run)))
            if run.iteration not in points:
                points[run.iteration] = self.of_images(run.objective.image(run.best_u))
        return np.array(list(points)), np.array(list(points.values()))

    def explain(self) -> str:
        """Return a sentence on what ranks and why."""
        if not has_hole(self._original.operator):
            return _HELD_OUT
        return (
            _HELD_OUT + " Around a large hole this tells little of who fills it best: try clean images too."
        )

    def of_images(self, x: torch.Tensor) -> float:
        """Return the root-mean-square error of the prediction, the mean over images."""
        error = (self._original.operator.apply(x.to(self._original.y)) - self._original.y).double()
        hidden = self._hidden
        squares = (error.square() * hidden).flatten(1).sum(1) / hidden.flatten(1).sum(1).clamp(min=1)
        return float(squares.sqrt().mean())


_HELD_OUT = (
    "Combinations are ranked by how well they predict the part of the measurements that start and solver "
    "were not shown (root-mean-square error), because the truth is not known and values of F with "
    "different weights or prior terms cannot be compared."
)


def _first(run: Run) -> torch.Tensor:
    """Return the variable at a run's start."""
    if run.start.x is not None:
        return run.objective.from_image(run.start.x)
    assert run.start.z is not None
    return run.objective.from_latent(run.start.z)


def make_criterion(name: str, problem: InverseProblem, seed: int = 0) -> Criterion:
    """Return the criterion of a name for a problem.

    Parameters
    ----------
    name : str
        One of `CRITERIA`.
    problem : InverseProblem
        The problem, with its truth where known.
    seed : int
        Which measurements are hidden.

    Raises
    ------
    ArgumentError
        If there is no such name, or PSNR is asked for without the truth.
    UnsupportedError
        If nothing can be held out.
    """
    if name not in CRITERIA:
        raise ArgumentError("criterion", repr(name), " or ".join(CRITERIA))
    if name == "auto":
        name = "held-out" if problem.x_true is None else "psnr"
    if name == "psnr":
        if problem.x_true is None:
            raise ArgumentError("criterion", "'psnr' for measurements", "held-out, or clean images")
        return ByPsnr(problem)
    if name == "objective":
        return ByObjective(problem)
    kind = ByHeldOutPixels if isinstance(problem.operator, Mask | Identity) else ByHeldOut
    return kind(problem, seed)


def has_hole(operator: LinearOperator) -> bool:
    """Return whether an operator is a mask that lacks some pixels, but few enough to hide as many again."""
    if not isinstance(operator, Mask):
        return False
    return bool(0 < _missing(operator.mask != 0, tuple(operator.dim_shape)).mean() <= HOLE)


def _missing(support: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return which pixels some channel, or some image, lacks: shape (H, W)."""
    support = np.broadcast_to(support, (*support.shape[:-2], *shape[1:]))
    return ~support.all(axis=tuple(range(support.ndim - 2)))


def hidden_pixels(support: np.ndarray, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return which pixels of a mask's images are hidden: a hole like its own, or pixels here and there.

    Scattered pixels are told by their neighbours, and say nothing about who can fill a hole. So where what is
    missing is a small part, a shifted copy of it is hidden, the shift being the one of some random ones that
    falls most on what is measured.

    Parameters
    ----------
    support : numpy.ndarray of bool, shape (1 or C, H, W) or (N, 1 or C, H, W)
        Where the mask is not 0.
    shape : (int, int, int)
        Shape of an image.
    seed : int
        Seed of the choice.

    Returns
    -------
    numpy.ndarray of bool, to broadcast against images
    """
    missing = _missing(support, shape)
    if 0 < missing.mean() <= HOLE:
        generator = np.random.default_rng(seed)
        shifts = generator.integers(0, missing.shape, size=(SHIFTS, 2))
        copies = [np.roll(missing, tuple(shift), (0, 1)) & ~missing for shift in shifts]
        return max(copies, key=lambda copy: copy.sum())
    return HeldOutLeastSquares(FRACTION, seed=seed).held_out(shape)


def _without(problem: InverseProblem, hidden: np.ndarray) -> InverseProblem:
    """Return the problem with hidden measurements replaced by what their neighbours say.

    A classical start made from all measurements would know those that are to be predicted.
    """
    y = problem.y
    if y.ndim != 4:
        # Measurements without neighbours: the mean of those that are seen.
        kept = torch.as_tensor(~np.broadcast_to(hidden, y.shape[1:])).to(y.device)
        mean = (y * kept).flatten(1).sum(1) / kept.sum()
        filled = torch.where(kept, y, mean.reshape(-1, *[1] * (y.ndim - 1)))
    else:
        mask = Mask(np.broadcast_to(~hidden, y.shape[1:]).astype(np.float64), tuple(y.shape[1:]))
        filled = harmonic_fill(InverseProblem(mask, mask.apply(y), sigma=0.0))
    return InverseProblem(problem.operator, filled, sigma=problem.sigma, x_true=problem.x_true)
