"""Checks that any operator must pass, ours or a user's.

``check(op)`` runs them all on small random data and returns reports; ``assert_conforms``
raises if one fails; :class:`OperatorConformance` is a test class to inherit; ``flowsolve
check-operator`` does it from the command line. The checks that need the matrix are skipped
for large operators, so hand in an operator on a small image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from ..errors import ArgumentError
from .base import LinearOperator
from .conformance_basic import (
    check_adjoint,
    check_config,
    check_dtype_and_device,
    check_linearity,
    check_no_mutation,
    check_select,
    check_shapes_and_batches,
)
from .conformance_dense import check_closed_forms, check_lipschitz
from .conformance_libraries import MAKERS, available_namespaces
from .conformance_report import Report
from .conformance_shrink import smallest_shape
from .conformance_torch import check_torch_gradients
from .iterative import ConvergenceWarning

__all__ = [
    "MAKERS",
    "OperatorConformance",
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
    "smallest_shape",
]


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
            reports += guard(check_adjoint, op, where, dtype, seed)
            reports += guard(check_linearity, op, where, dtype, seed)
        for in_library in (check_shapes_and_batches, check_dtype_and_device, check_no_mutation):
            reports += guard(in_library, op, where, seed)
    for function in (check_lipschitz, check_closed_forms, check_torch_gradients, check_config, check_select):
        reports += guard(function, op, seed)
    return reports


def guard(function: Callable[..., list[Report]], *arguments: Any) -> list[Report]:
    """Return a check's reports, or one that failed where the operator raised instead of answering."""
    try:
        with warnings.catch_warnings():
            # An iteration that falls short fails by its error.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function(*arguments)
    except Exception as error:
        name = function.__name__.removeprefix("check_").replace("_", " ")
        case = " ".join(str(a) for a in arguments[1:-1])
        return [Report(name, False, "no error", f"{type(error).__name__}: {error}", case)]


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


class OperatorConformance:
    """Base class of a test class for pytest: one test for each group of checks.

    Inherit from it under a name that pytest collects and implement :meth:`make_operator`.

    Attributes
    ----------
    namespaces : sequence of str or None
        Array libraries to use; ``None`` for all that are available.
    seed : int
        Seed of the random data.

    Examples
    --------
    >>> class TestMyBlur(OperatorConformance):
    ...     def make_operator(self):
    ...         return MyBlur(dim_shape=(3, 7, 6))
    """

    namespaces: ClassVar[Sequence[str] | None] = None
    seed: ClassVar[int] = 0

    def make_operator(self) -> LinearOperator:
        """Return the operator to check, on a small image."""
        raise NotImplementedError(f"{type(self).__name__} must define make_operator()")

    def test_adjoint(self) -> None:
        """⟨Ax, y⟩ = ⟨x, Aᵀy⟩ for all libraries, precisions and batches."""
        self._for_each_library(check_adjoint, ("float64", "float32"))

    def test_linearity(self) -> None:
        """Both maps are linear."""
        self._for_each_library(check_linearity, ("float64", "float32"))

    def test_shapes_and_batches(self) -> None:
        """Shapes are right and images of a batch do not see each other."""
        self._for_each_library(check_shapes_and_batches)

    def test_dtype_and_device(self) -> None:
        """Library, dtype and device stay; integers are refused."""
        self._for_each_library(check_dtype_and_device)

    def test_no_mutation(self) -> None:
        """Inputs are left alone."""
        self._for_each_library(check_no_mutation)

    def test_lipschitz(self) -> None:
        """The norm is what it claims to be."""
        self._assert(check_lipschitz)

    def test_closed_forms(self) -> None:
        """Gram, pseudo-inverse, prox and Tikhonov agree with dense algebra."""
        self._assert(check_closed_forms)

    def test_torch_gradients(self) -> None:
        """Derivatives on torch go through the explicit adjoint."""
        self._assert(check_torch_gradients)

    def test_config(self) -> None:
        """The description in JSON gives the operator back."""
        self._assert(check_config)

    def test_select(self) -> None:
        """The operator for some images does to them what the whole does."""
        self._assert(check_select)

    def _for_each_library(self, function: Callable[..., list[Report]], dtypes: Sequence[str] = ()) -> None:
        for where in available_namespaces() if self.namespaces is None else self.namespaces:
            for dtype in dtypes or (None,):
                self._assert(function, where, *([] if dtype is None else [dtype]))

    def _assert(self, function: Callable[..., list[Report]], *arguments: Any) -> None:
        op = self.make_operator()
        failed = [r for r in guard(function, op, *arguments, self.seed) if not r.passed]
        assert not failed, f"{op!r} fails\n" + "\n".join(map(str, failed))
