"""Checks that any operator must pass, ours or a user's.

``check(op)`` runs them all on small random data and returns reports; ``assert_conforms``
raises if one fails. The checks that need the matrix are skipped for large operators, so
hand in an operator on a small image. Dense algebra stands in :mod:`.conformance_dense`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..arrays import Array, device, dtype_name, namespace, to_numpy, to_torch
from ..errors import ArgumentError, UnsupportedError
from .base import LinearOperator
from .config import from_config
from .conformance_dense import check_closed_forms, check_lipschitz
from .conformance_report import Report, random_images, relative_error

__all__ = [
    "Report",
    "assert_conforms",
    "available_namespaces",
    "check",
    "check_adjoint",
    "check_closed_forms",
    "check_config",
    "check_dtype_and_device",
    "check_linearity",
    "check_lipschitz",
    "check_no_mutation",
    "check_select",
    "check_shapes_and_batches",
    "check_torch_gradients",
]

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative errors allowed for the adjoint and for linearity."""


def _strict(x: np.ndarray) -> Array:
    import array_api_strict

    return array_api_strict.asarray(x)


def _cupy(x: np.ndarray) -> Array:
    import cupy

    return cupy.asarray(x)


def _torch_cuda(x: np.ndarray) -> Array:
    return to_torch(x, device="cuda")


MAKERS: dict[str, Callable[[np.ndarray], Array]] = {
    "numpy": lambda x: x.copy(),
    "torch": lambda x: to_torch(x.copy()),
    "array_api_strict": _strict,
    "cupy": _cupy,
    "torch-cuda": _torch_cuda,
}


def available_namespaces() -> list[str]:
    """Return the names of the array libraries (and devices) that can be checked here."""
    names = ["numpy"]
    names += [n for n in ("torch", "array_api_strict") if importlib.util.find_spec(n) is not None]
    if importlib.util.find_spec("cupy") is not None:
        import cupy

        # It may be installed where there is no device.
        with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
            names += ["cupy"] if cupy.cuda.runtime.getDeviceCount() else []
    if "torch" in names:
        import torch

        names += ["torch-cuda"] if torch.cuda.is_available() else []
    return names


def _batches(op: LinearOperator) -> list[tuple[int, ...]]:
    if op.n_images is None:
        return [(), (1,), (3,), (2, 2)]
    return [(op.n_images,), (2, op.n_images)]


def _pair(
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
        One per batch shape.
    """
    reports = []
    for batch in _batches(op):
        x, y = _pair(op, where, dtype, batch, seed)
        ax, aty = op.apply(x), op.adjoint(y)
        hx, hy, hax, haty = (to_numpy(a).astype(np.float64).ravel() for a in (x, y, ax, aty))
        norm = np.linalg.norm
        scale = norm(hax) * norm(hy) + norm(hx) * norm(haty)
        error = abs(hax @ hy - hx @ haty) / scale if scale else 0.0
        limit = TOLERANCE[dtype]
        case = f"{where} {dtype} batch {batch}"
        reports.append(
            Report("adjoint", bool(error <= limit), f"relative error <= {limit:g}", f"{error:.1e}", case)
        )
    return reports


def check_linearity(
    op: LinearOperator, where: str = "numpy", dtype: str = "float64", seed: int = 0
) -> list[Report]:
    """Check A(2x − 3u) = 2Ax − 3Au, and the same of the adjoint."""
    limit = TOLERANCE[dtype]
    reports = []
    (x, y), (u, w) = (_pair(op, where, dtype, _batches(op)[-1], seed + s) for s in (0, 10))
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
    for batch in _batches(op):
        x, y = _pair(op, where, "float64", batch, seed)
        found = (tuple(op.apply(x).shape), tuple(op.adjoint(y).shape))
        expected = ((*batch, *op.codim_shape), (*batch, *op.dim_shape))
        reports.append(
            Report("shapes", found == expected, str(expected), str(found), f"{where} batch {batch}")
        )
    batch = _batches(op)[-1]
    x, y = _pair(op, where, "float64", batch, seed)
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
        x, y = _pair(op, where, dtype, _batches(op)[-1], seed)
        expected = (namespace(x).__name__, dtype, str(device(x)))
        for name, result in (("apply", op.apply(x)), ("adjoint", op.adjoint(y))):
            found = (namespace(result).__name__, dtype_name(result), str(device(result)))
            reports.append(
                Report(f"dtype and device of {name}", found == expected, str(expected), str(found), where)
            )
    x, _ = _pair(op, where, "float64", _batches(op)[0], seed)
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
    x, y = _pair(op, where, "float64", _batches(op)[-1], seed)
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
    except UnsupportedError as reason:
        return [Report("config", True, "a JSON document", str(reason), "", skipped=True)]
    x, _ = _pair(op, "numpy", "float64", _batches(op)[-1], seed)
    error = relative_error(from_config(json.loads(text)).apply(x), op.apply(x))
    return [Report("config", error <= 1e-14, "the same operator", f"relative error {error:.1e}", text[:80])]


def check_select(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check that an operator for some images does to them what the whole does."""
    n = 3 if op.n_images is None else op.n_images
    indices = list(range(n))[::-2]
    x, _ = _pair(op, "numpy", "float64", (n,), seed)
    error = relative_error(op.select(indices).apply(x[indices]), op.apply(x)[indices])
    found = f"relative error {error:.1e}"
    return [Report("select", error <= 1e-14, "the same on the images chosen", found, f"{indices} of {n}")]


def check_torch_gradients(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check backward, double backward, ``torch.func`` vjp, jvp and vmap against A and Aᵀ."""
    if importlib.util.find_spec("torch") is None:
        return [Report("torch gradients", True, "", "torch is not installed", "", skipped=True)]
    import torch

    batch = _batches(op)[-1]
    x, y = _pair(op, "torch", "float64", batch, seed)
    v, _ = _pair(op, "torch", "float64", batch, seed + 5)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(op.apply(leaf), leaf, y)
    (first,) = torch.autograd.grad(0.5 * (op.apply(leaf) ** 2).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first, leaf, v)
    cases = {
        "backward": (grad, op.adjoint(y)),
        "double backward": (second, op.adjoint(op.apply(v))),
        "vjp": (torch.func.vjp(op.apply, x)[1](y)[0], op.adjoint(y)),
        "jvp": (torch.func.jvp(op.apply, (x,), (v,))[1], op.apply(v)),
        "vmap": (torch.func.vmap(op.apply)(torch.stack([x, v])), op.apply(torch.stack([x, v]))),
        "vmap of vjp": (
            torch.func.vmap(lambda a, b: torch.func.vjp(op.apply, a)[1](b)[0])(
                torch.stack([x, v]), torch.stack([y, -y])
            ),
            op.adjoint(torch.stack([y, -y])),
        ),
    }
    reports = []
    for name, (found, expected) in cases.items():
        error = relative_error(to_numpy(found), to_numpy(expected))
        reports.append(
            Report(
                f"torch {name}", error <= 1e-12, "the explicit adjoint's", f"error {error:.1e}", str(batch)
            )
        )
    return reports


def check(op: LinearOperator, namespaces: Sequence[str] | None = None, seed: int = 0) -> list[Report]:
    """Run every check.

    Parameters
    ----------
    op : LinearOperator
        The operator, on a small image.
    namespaces : sequence of str, optional
        Array libraries to use. Default: all that are available.
    seed : int, optional
        Seed of the random data.

    Returns
    -------
    list of Report
        Of all the checks; those with ``passed`` false say what was expected and found.

    Raises
    ------
    ArgumentError
        If a library is unknown or not available.
    """
    usable = available_namespaces()
    reports: list[Report] = []
    for where in usable if namespaces is None else namespaces:
        if where not in usable:
            raise ArgumentError("namespaces", repr(where), ", ".join(usable))
        for dtype in ("float64", "float32"):
            reports += check_adjoint(op, where, dtype, seed)
            reports += check_linearity(op, where, dtype, seed)
        reports += check_shapes_and_batches(op, where, seed)
        reports += check_dtype_and_device(op, where, seed)
        reports += check_no_mutation(op, where, seed)
    reports += check_lipschitz(op, seed)
    reports += check_closed_forms(op, seed)
    reports += check_torch_gradients(op, seed)
    reports += check_config(op, seed)
    reports += check_select(op, seed)
    return reports


def assert_conforms(
    op: LinearOperator, namespaces: Sequence[str] | None = None, seed: int = 0, skip: Iterable[str] = ()
) -> None:
    """Raise ``AssertionError`` with every failed check of :func:`check`.

    Parameters
    ----------
    op, namespaces, seed
        As for :func:`check`.
    skip : iterable of str, optional
        Names of reports that need not pass.
    """
    left_out = set(skip)
    failed = [r for r in check(op, namespaces, seed) if not r.passed and r.name not in left_out]
    if failed:
        raise AssertionError(f"{op!r} fails\n" + "\n".join(map(str, failed)))
