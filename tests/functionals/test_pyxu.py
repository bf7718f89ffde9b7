import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.functionals import PyxuFunctional

operator = pytest.importorskip("pyxu.operator")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 4, 5), 60])
def test_l1_prox_is_soft_thresholding_in_the_dtype_given(dtype, shape):
    functional = PyxuFunctional(operator.L1Norm(shape), weight=0.5)
    v = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    tau = torch.tensor([0.2, 1.0], dtype=torch.float64)
    threshold = (0.5 * tau).to(dtype).reshape(2, 1, 1, 1)
    expected = v.sign() * (v.abs() - threshold).clamp(min=0)
    got = functional.prox(v, tau)
    assert got.dtype == dtype
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        functional.value(v), 0.5 * v.abs().flatten(1).sum(1).double(), rtol=1e-6, atol=0
    )


def test_positive_orthant_projects():
    functional = PyxuFunctional(operator.PositiveOrthant((1, 2, 2)))
    v = torch.tensor([[-1.0, 2.0], [3.0, -4.0]]).reshape(1, 1, 2, 2)
    assert functional.prox(v, torch.ones(1)).flatten().tolist() == [0, 2, 3, 0]
    assert functional.value(v).item() == float("inf")


def test_what_has_no_prox_is_refused():
    with pytest.raises(ArgumentError, match=r"pyxu\.abc\.ProxFunc"):
        PyxuFunctional(object())


def test_another_shape_is_refused():
    with pytest.raises(ArgumentError, match=r"dim_shape \(7,\)"):
        PyxuFunctional(operator.L1Norm(7)).value(torch.zeros(1, 1, 2, 2))
