"""Conformance checks that need nothing but the operator: adjoint, linearity, batches, types, configs."""

from __future__ import annotations

import contextlib
import json

import numpy as np

from ..arrays import Array, device, dtype_name, namespace, to_numpy
from ..errors import ArgumentError, UnsupportedError
from .base import LinearOperator
from .config import from_config
from .conformance_libraries import MAKERS
from .conformance_report import Report, random_images, relative_error
from .conformance_shrink import Bilinear, smallest_pair

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative errors allowed for the adjoint and for linearity."""


def batches(op: LinearOperator) -> list[tuple[int, ...]]:
    """Return the batch shapes to check, the smallest first."""
    if op.n_images is None:
        return [(), (1,), (3,), (2, 2)]
    return [(op.n_images,), (2, op.n_images)]


def random_pair(
    op: LinearOperator, where: str, dtype: str, batch: tuple[int, ...], seed: int
) -> tuple[Array, Array]:
    """Return a random image and a random measurement."""
    make = MAKERS[where]
    x = random_images((*batch, *op.dim_shape), dtype, seed)
    y = random_images((*batch, *op.codim_shape), dtype, seed + 1)
    return make(x), make(y)


def check_adjoint(
    op: LinearOperator, where: str = "numpy", dtype: str = "float64", seed: int = 0
) -> list[Report]:
    """Check ⟨Ax, y⟩ = ⟨x, Aᵀy⟩, relative to ‖Ax‖‖y‖ + ‖x‖‖Aᵀy‖, per batch shape.

    Parameters
    ----------
    op : LinearOperator
        The operator.
    where : str, optional
        Array library, one of :func:`available_namespaces`.
    dtype : {"float64", "float32"}, optional
        Precision; the relative errors allowed are 1e-12 and 1e-5.
    seed : int, optional
        Seed of the random data.

    Returns
    -------
    list of Report
        One per batch shape; one that failed names the smallest case that fails.
    """
    reports, limit, form = [], TOLERANCE[dtype], Bilinear(op, MAKERS[where])
    for batch in batches(op):
        x = random_images((*batch, *op.dim_shape), dtype, seed)
        y = random_images((*batch, *op.codim_shape), dtype, seed + 1)
        error = form.sides(x, y)[2]
        found, passed = f"{error:.1e}", error <= limit
        if not passed:
            found += f"; smallest failing case: {smallest_pair(form, x, y, limit)}"
        case = f"{where} {dtype} batch {batch}"
        reports.append(Report("adjoint", passed, f"relative error <= {limit:g}", found, case, error=error))
    return reports


def check_linearity(
    op: LinearOperator, where: str = "numpy", dtype: str = "float64", seed: int = 0
) -> list[Report]:
    """Check A(2x − 3u) = 2Ax − 3Au, and the same of the adjoint."""
    limit = TOLERANCE[dtype]
    reports = []
    (x, y), (u, w) = (random_pair(op, where, dtype, batches(op)[-1], seed + s) for s in (0, 10))
    for name, function, a, b in (("linearity", op.apply, x, u), ("linearity of adjoint", op.adjoint, y, w)):
        whole = to_numpy(function(2 * a - 3 * b))
        parts = 2 * to_numpy(function(a)) - 3 * to_numpy(function(b))
        error = relative_error(whole, parts)
        expected = f"relative error <= {limit:g}"
        reports.append(Report(name, error <= limit, expected, f"{error:.1e}", f"{where} {dtype}"))
    return reports


def check_shapes_and_batches(op: LinearOperator, where: str = "numpy", seed: int = 0) -> list[Report]:
    """Check shapes for several batch shapes, and that no image sees another of its batch."""
    reports = []
    for batch in batches(op):
        x, y = random_pair(op, where, "float64", batch, seed)
        found = (tuple(op.apply(x).shape), tuple(op.adjoint(y).shape))
        expected = ((*batch, *op.codim_shape), (*batch, *op.dim_shape))
        reports.append(
            Report("shapes", found == expected, str(expected), str(found), f"{where} batch {batch}")
        )
    batch = batches(op)[-1]
    x, y = random_pair(op, where, "float64", batch, seed)
    for name, function, a in (("batch", op.apply, x), ("batch of adjoint", op.adjoint, y)):
        error = relative_error(to_numpy(function(a))[0], to_numpy(function(a[0, ...])))
        limit = TOLERANCE["float64"]
        case = f"{where}, first part of batch {batch} alone"
        reports.append(Report(name, error <= limit, f"relative error <= {limit:g}", f"{error:.1e}", case))
    return reports


def check_dtype_and_device(op: LinearOperator, where: str = "numpy", seed: int = 0) -> list[Report]:
    """Check that library, dtype and device stay, and that integers are refused."""
    reports = []
    for dtype in ("float32", "float64"):
        x, y = random_pair(op, where, dtype, batches(op)[-1], seed)
        expected = (namespace(x).__name__, dtype, str(device(x)))
        for name, result in (("apply", op.apply(x)), ("adjoint", op.adjoint(y))):
            found = (namespace(result).__name__, dtype_name(result), str(device(result)))
            reports.append(
                Report(f"dtype and device of {name}", found == expected, str(expected), str(found), where)
            )
    x, _ = random_pair(op, where, "float64", batches(op)[0], seed)
    xp = namespace(x)
    try:
        op.apply(xp.astype(x, xp.int32))
        found_error = "accepted"
    except ArgumentError:
        found_error = "ArgumentError"
    reports.append(
        Report("integers refused", found_error == "ArgumentError", "ArgumentError", found_error, where)
    )
    return reports


def check_no_mutation(op: LinearOperator, where: str = "numpy", seed: int = 0) -> list[Report]:
    """Check that inputs stay as they were, also when the result is written to."""
    reports = []
    x, y = random_pair(op, where, "float64", batches(op)[-1], seed)
    for name, function, a in (("apply", op.apply, x), ("adjoint", op.adjoint, y)):
        before = to_numpy(a).copy()
        result = function(a)
        # A result that cannot be written to cannot harm the input either.
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            result[...] = 0.0
        same = bool(np.array_equal(before, to_numpy(a)))
        found = "unchanged" if same else "changed"
        reports.append(Report(f"input of {name}", same, "unchanged", found, where))
    return reports


def check_config(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check that ``from_config`` of the JSON of ``config()`` gives the same operator."""
    try:
        text = json.dumps(op.config())
        again = from_config(json.loads(text))
    except UnsupportedError as reason:
        return [Report("config", True, "a JSON document", str(reason), "", skipped=True)]
    x, _ = random_pair(op, "numpy", "float64", batches(op)[-1], seed)
    error = relative_error(again.apply(x), op.apply(x))
    return [Report("config", error <= 1e-14, "the same operator", f"relative error {error:.1e}", text[:80])]


def check_select(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check that an operator for some images does to them what the whole does."""
    n = 3 if op.n_images is None else op.n_images
    indices = list(range(n))[::-2]
    x, _ = random_pair(op, "numpy", "float64", (n,), seed)
    error = relative_error(op.select(indices).apply(x[indices]), op.apply(x)[indices])
    found = f"relative error {error:.1e}"
    return [Report("select", error <= 1e-14, "the same on the images chosen", found, f"{indices} of {n}")]
