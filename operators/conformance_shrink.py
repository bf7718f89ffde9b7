"""The smallest case in which an adjoint is wrong.

⟨Ax, y⟩ − ⟨x, Aᵀy⟩ is linear in x and in y, so of two halves of either at least one keeps a
difference: halving ends at one pixel and one measured value, that is, at one entry of the
matrix that A and its adjoint do not agree on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import to_numpy
from .base import LinearOperator


class Bilinear:
    """Both sides of ⟨Ax, y⟩ = ⟨x, Aᵀy⟩, for images and measurements given as NumPy arrays.

    Parameters
    ----------
    op : LinearOperator
        The operator A.
    make : callable
        Turns a NumPy array into one of the library to use.
    """

    def __init__(self, op: LinearOperator, make: Callable[[np.ndarray], Any]) -> None:
        self.op, self.make = op, make

    def sides(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
        """Return both sides, and their difference relative to ‖Ax‖‖y‖ + ‖x‖‖Aᵀy‖."""
        ax, aty = self.op.apply(self.make(x)), self.op.adjoint(self.make(y))
        hx, hy, hax, haty = (to_numpy(a).astype(np.float64).ravel() for a in (x, y, ax, aty))
        norm = np.linalg.norm
        left, right = float(hax @ hy), float(hx @ haty)
        scale = float(norm(hax) * norm(hy) + norm(hx) * norm(haty))
        error = abs(left - right) / scale if scale else 0.0
        return left, right, error if np.isfinite(error) else float("inf")


def smallest_pair(form: Bilinear, x: np.ndarray, y: np.ndarray, limit: float) -> str:
    """Return in words the smallest image and measurement whose relative error exceeds `limit`.

    Parameters
    ----------
    form : Bilinear
        Both sides of the adjoint's definition.
    x, y : numpy.ndarray
        A failing image and measurement, with their batch.
    limit : float
        The relative error allowed.

    Returns
    -------
    str
        Which pixel and which measured value disagree, and by what; or, where the maps are
        not linear, how many numbers are left when halving finds no failing half.
    """
    operands = [x, y]
    supports = [np.arange(x.size), np.arange(y.size)]
    for which in (0, 1):
        while supports[which].size > 1:
            halves = np.array_split(supports[which], 2)
            trials = [[*operands] for _ in halves]
            for trial, half in zip(trials, halves, strict=True):
                trial[which] = _restrict(operands[which], half)
            errors = [form.sides(*trial)[2] for trial in trials]
            best = int(np.argmax(errors))
            if not errors[best] > limit:
                break
            supports[which], operands = halves[best], trials[best]
    if any(s.size > 1 for s in supports):
        return f"an image with {supports[0].size} and a measurement with {supports[1].size} numbers not 0"
    ones = [_restrict(np.ones_like(o), s) for o, s in zip(operands, supports, strict=True)]
    left, right, _ = form.sides(*ones)
    places = [tuple(int(i) for i in np.argwhere(o)[0]) for o in ones]
    return (
        f"x = 0 but 1 at {places[0]} of shape {x.shape}, y = 0 but 1 at {places[1]} of shape {y.shape}: "
        f"<Ax, y> = {left:.6g}, <x, A^T y> = {right:.6g}"
    )


def _restrict(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    restricted = np.zeros_like(values)
    restricted.reshape(-1)[keep] = values.reshape(-1)[keep]
    return restricted


def smallest_shape(
    build: Callable[[tuple[int, ...]], LinearOperator],
    shape: tuple[int, ...],
    fails: Callable[[LinearOperator], bool],
) -> tuple[int, ...]:
    """Return the smallest image shape at which an operator of a family still fails.

    Parameters
    ----------
    build : callable
        Image shape to operator; shapes for which it raises are passed over.
    shape : tuple of int
        A shape that fails.
    fails : callable
        Whether an operator fails.

    Returns
    -------
    tuple of int
        A shape none of whose sides can be lowered alone, of the sizes tried: up to 16 each,
        then doublings.
    """

    def fails_at(candidate: tuple[int, ...]) -> bool:
        try:
            return fails(build(candidate))
        except Exception:
            # Too small for the operator is not the failure looked for.
            return False

    for axis, side in enumerate(shape):
        sizes = [n for n in (*range(1, 17), 32, 64, 128, 256) if n < side]
        for n in sizes:
            candidate = (*shape[:axis], n, *shape[axis + 1 :])
            if fails_at(candidate):
                shape = candidate
                break
    return shape
