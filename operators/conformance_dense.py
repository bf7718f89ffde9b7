"""Conformance checks against dense linear algebra, for operators small enough for it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .base import LinearOperator
from .conformance_report import Report, random_images, relative_error

LARGEST = 1000
"""Dense checks are skipped where an image or a measurement has more numbers than this."""


def _matrices(op: LinearOperator) -> np.ndarray | None:
    """Return A as ``(images, m, n)``, one matrix where all images share it."""
    if max(math.prod(op.dim_shape), math.prod(op.codim_shape)) > LARGEST:
        return None
    dense = op.to_dense()
    return dense[None] if dense.ndim == 2 else dense


def _skip(name: str) -> Report:
    return Report(name, True, "", f"more than {LARGEST} numbers: no dense matrix", "", skipped=True)


def check_lipschitz(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check `lipschitz` against the largest singular value of the matrix.

    An exact norm must agree to 1e-9, a bound may not be below, an estimate must be within
    two per cent.

    Parameters
    ----------
    op : LinearOperator
        The operator, on a small image.
    seed : int, optional
        Not used; there is nothing random.

    Returns
    -------
    list of Report
        One report.
    """
    matrices = _matrices(op)
    if matrices is None:
        return [_skip("lipschitz")]
    norm = max(float(np.linalg.norm(m, 2)) for m in matrices)
    value, kind = op.lipschitz, op.lipschitz_kind
    tolerance = {"exact": 1e-9, "bound": 1e-9, "estimate": 0.02}.get(kind)
    expected = f"{norm:.12g} ({kind})"
    if tolerance is None:
        return [Report("lipschitz", False, "kind exact, bound or estimate", repr(kind), repr(op))]
    passed = value >= norm * (1 - tolerance) - 1e-300
    if kind != "bound":
        passed = passed and value <= norm * (1 + tolerance) + 1e-300
    return [Report("lipschitz", bool(passed), expected, f"{value:.12g}", repr(op))]


def check_closed_forms(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check gram, cogram, pinv, prox_l2 and tikhonov against dense algebra.

    What is computed by iteration is held to 1e-6, closed forms to 1e-9, the pseudo-inverse
    to that times the condition number. The pseudo-inverse is skipped where singular values
    are so small that its own definition depends on rounding, or, by iteration, where the
    condition number exceeds 1000.

    Parameters
    ----------
    op : LinearOperator
        The operator, on a small image.
    seed : int, optional
        Seed of the random data.

    Returns
    -------
    list of Report
        One per function.
    """
    matrices = _matrices(op)
    if matrices is None:
        return [_skip("closed forms")]
    count = op.n_images or 2
    matrices = np.broadcast_to(matrices, (count, *matrices.shape[1:]))
    x = random_images((count, *op.dim_shape), "float64", seed)
    y = random_images((count, *op.codim_shape), "float64", seed + 1)
    taus = np.linspace(0.5, 2.0, count)
    limit = 1e-9 if op.has_closed_form else 1e-6
    kind = "closed form" if op.has_closed_form else "iteration"

    def dense(function: Any, shape: tuple[int, ...]) -> np.ndarray:
        parts = [function(m, x[i].ravel(), y[i].ravel(), taus[i]) for i, m in enumerate(matrices)]
        return np.stack(parts).reshape(count, *shape)

    def prox(m: np.ndarray, v: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
        return np.linalg.solve(m.T @ m + np.eye(v.size) / t, m.T @ b + v / t)

    def tikhonov(m: np.ndarray, v: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
        return np.linalg.solve(m.T @ m + t * np.eye(v.size), m.T @ b)

    column = taus.reshape(count, *(1,) * len(op.codim_shape))
    one = float(taus[0])
    cases = {
        "gram": (op.gram().apply(x), dense(lambda m, v, b, t: m.T @ (m @ v), op.dim_shape)),
        "cogram": (op.cogram().apply(y), dense(lambda m, v, b, t: m @ (m.T @ b), op.codim_shape)),
        "prox_l2": (op.prox_l2(x, y, one), dense(lambda m, v, b, t: prox(m, v, b, one), op.dim_shape)),
        "prox_l2 per image": (op.prox_l2(x, y, column), dense(prox, op.dim_shape)),
        "tikhonov": (op.tikhonov(y, one), dense(lambda m, v, b, t: tikhonov(m, v, b, one), op.dim_shape)),
        "tikhonov per image": (op.tikhonov(y, taus), dense(tikhonov, op.dim_shape)),
    }
    if op.has_closed_form:
        wanted = dense(lambda m, v, b, t: m.T @ (m @ v) + v, op.dim_shape)
        cases["gram_function"] = (op.gram_function(lambda e: e + 1, x), wanted)
    reports = []
    for name, (found, expected) in cases.items():
        error = relative_error(found, expected)
        reports.append(Report(name, error <= limit, f"error <= {limit:g}", f"{error:.1e}", kind, error=error))
    return [*reports, *_check_pinv(op, matrices, x, y)]


def _check_pinv(op: LinearOperator, matrices: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[Report]:
    singular = np.concatenate([s / (s[0] or 1.0) for s in np.linalg.svd(matrices, compute_uv=False)])
    positive = singular[singular > 1e-10]
    condition = 1 / positive.min() if positive.size else 1.0
    if np.any((singular > 1e-13) & (singular < 1e-10)) or (not op.has_closed_form and condition > 1e3):
        found = f"condition number {condition:.0e}"
        return [Report("pinv", True, "a well-conditioned operator", found, "", skipped=True)]
    inverses = np.stack([np.linalg.pinv(m, rcond=1e-11) for m in matrices])
    limit = 1e-11 * condition if op.has_closed_form else 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an iteration that falls short fails by its error
        found, projected = op.pinv(y), op.project_nullspace(x)
    count = len(matrices)
    expected = np.einsum("inm,im->in", inverses, y.reshape(count, -1)).reshape(found.shape)
    seen = np.einsum("inm,imk,ik->in", inverses, matrices, x.reshape(count, -1), optimize=True)
    reports = []
    for name, a, b in (
        ("pinv", found, expected),
        ("project_nullspace", projected, x - seen.reshape(x.shape)),
    ):
        scale = 1.0 if name == "pinv" else float(np.linalg.norm(b) / np.linalg.norm(x)) or 1.0
        # The projection is measured against the image, since it may be nothing but rounding.
        error = relative_error(a, b) * min(scale, 1.0)
        reports.append(
            Report(
                name, error <= limit, f"error <= {limit:.1g}", f"{error:.1e}", f"condition {condition:.1e}"
            )
        )
    return reports
