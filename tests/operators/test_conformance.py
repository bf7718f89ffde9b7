"""Every operator passes the kit, and the kit notices operators that are wrong."""

from typing import ClassVar

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.operators import Blur, LinearOperator, Mask
from flowsolve.operators import conformance as kit


def test_operator_conforms(operator, where):
    kit.assert_conforms(operator, [where])


def test_large_operator_skips_dense_checks():
    reports = kit.check(Mask.random(0.5, dim_shape=(1, 33, 33)), ["numpy"])
    assert all(r.passed for r in reports)
    assert {r.name for r in reports if r.skipped} == {"lipschitz", "closed forms"}


def test_unavailable_library_is_refused():
    with pytest.raises(ArgumentError, match="namespaces: got 'abacus'; accepted: numpy"):
        kit.check(Mask(np.ones((1, 2, 2))), ["abacus"])


class Wrong(LinearOperator):
    """A gain of two with one thing wrong at a time."""

    def __init__(self, fault):
        super().__init__((1, 3, 4), (1, 3, 4))
        self.fault = fault

    def _apply(self, x):
        if self.fault == "mutation":
            x *= 2
            return x
        if self.fault == "offset":
            return 2 * x + 1
        if self.fault == "shape":
            return 2 * x[..., :2]
        if self.fault == "batch":
            return 2 * x + x.sum()
        if self.fault == "dtype":
            return (2 * x).astype(np.float64)
        return 2 * x

    def _adjoint(self, y):
        return y if self.fault == "adjoint" else 2 * y

    def _lipschitz(self):
        return (1.9 if self.fault == "norm" else 2.0), "vague" if self.fault == "kind" else "exact"

    def _cogram_function(self, f, y):
        return f(y * 0 + (3.0 if self.fault == "closed form" else 4.0)) * y

    @property
    def has_closed_form(self):
        return True


def failures(fault, check):
    return [r.name for r in check(Wrong(fault)) if not r.passed]


def test_sound_operator_passes():
    kit.assert_conforms(Wrong(None), ["numpy"])


@pytest.mark.parametrize(
    ("fault", "check", "name"),
    [
        ("adjoint", kit.check_adjoint, "adjoint"),
        ("offset", kit.check_linearity, "linearity"),
        ("batch", kit.check_shapes_and_batches, "batch"),
        ("dtype", kit.check_dtype_and_device, "dtype and device of apply"),
        ("mutation", kit.check_no_mutation, "input of apply"),
        ("norm", kit.check_lipschitz, "lipschitz"),
        ("kind", kit.check_lipschitz, "lipschitz"),
        ("closed form", kit.check_closed_forms, "prox_l2"),
        ("closed form", kit.check_closed_forms, "pinv"),
    ],
)
def test_fault_is_found(fault, check, name):
    assert name in failures(fault, check)


def test_shape_fault_is_found():
    assert "shapes" in failures("shape", kit.check_shapes_and_batches)


def test_report_reads_as_a_line():
    report = kit.check_adjoint(Wrong("adjoint"))[0]
    assert str(report).startswith("FAIL adjoint [numpy float64 batch ()]: expected relative error <= 1e-12")


def test_a_wrong_adjoint_is_shown_by_one_pixel_and_one_measured_value():
    report = kit.check_adjoint(Wrong("adjoint"))[0]
    assert report.found.startswith("6.8e-02; smallest failing case: x = 0 but 1 at (")
    assert report.found.endswith("<Ax, y> = 2, <x, A^T y> = 1")


def test_an_operator_that_raises_fails_the_check_it_raises_in():
    reports = kit.check(Wrong("shape"), ["numpy"])
    failed = {r.name: r for r in reports if not r.passed}
    assert "shapes" in failed and failed["adjoint"].found.startswith("ValueError: ")
    assert failed["adjoint"].expected == "no error"


class TestBlur(kit.OperatorConformance):
    namespaces: ClassVar = ["numpy", "torch"]

    def make_operator(self):
        return Blur.uniform(3, (2, 5, 6), "reflect")


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("adjoint", "test_adjoint"),
        ("offset", "test_linearity"),
        ("shape", "test_shapes_and_batches"),
        ("dtype", "test_dtype_and_device"),
        ("mutation", "test_no_mutation"),
        ("norm", "test_lipschitz"),
        ("closed form", "test_closed_forms"),
    ],
)
def test_the_base_class_fails_with_the_reports(fault, test):
    class Case(kit.OperatorConformance):
        namespaces: ClassVar = ["numpy"]

        def make_operator(self):
            return Wrong(fault)

    with pytest.raises(AssertionError, match=r"(?s)Wrong\(\(1, 3, 4\) -> \(1, 3, 4\)\) fails\nFAIL"):
        getattr(Case(), test)()


def test_the_base_class_asks_for_an_operator():
    with pytest.raises(NotImplementedError, match="OperatorConformance must define make_operator"):
        kit.OperatorConformance().test_adjoint()


def test_assert_conforms_lists_failures():
    with pytest.raises(AssertionError, match="FAIL lipschitz"):
        kit.assert_conforms(Wrong("norm"), ["numpy"])
    kit.assert_conforms(Wrong("norm"), ["numpy"], skip=["lipschitz"])


def test_paper_blur_is_close_to_singular_but_invertible():
    # 7 x 7 uniform blur with zeros beyond the edge, on one row: smallest singular value .0096.
    row = Blur.uniform((1, 7), (1, 1, 64), "zero").to_dense()
    assert np.linalg.svd(row, compute_uv=False)[-1] == pytest.approx(0.0096, abs=5e-5)
