"""Maps of other libraries: what crosses, what is copied, what is refused."""

import contextlib
import sys
import types

import array_api_strict
import numpy as np
import pytest
import torch
from helpers import make_images

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.operators import conformance
from flowsolve.operators.interop import from_functions

SHAPE = (3, 8, 8)


class Recorder:
    """Twice the image, in whatever library it comes; remembers where in memory that was."""

    def __init__(self):
        self.kinds, self.taken, self.given = [], [], []

    def __call__(self, x):
        result = 2.0 * x
        self.kinds.append(type(x).__module__.split(".")[0])
        self.taken.append(np.asarray(x).ctypes.data)
        self.given.append(np.asarray(result).ctypes.data)
        return result


@pytest.mark.parametrize("carrier", ["array_api_strict", "torch", "numpy"])
def test_tensors_cross_without_a_copy(carrier):
    double = Recorder()
    op = from_functions(double, double, SHAPE, SHAPE, carrier)
    x = torch.rand(2, *SHAPE)
    y = op(x)
    assert double.kinds == [carrier]
    assert double.taken == [x.data_ptr()] and double.given == [y.data_ptr()]
    torch.testing.assert_close(y, 2 * x)


def test_a_cupy_operator_takes_tensors_through_dlpack(monkeypatch):
    # NumPy plays CuPy: what is tested is that its from_dlpack is what tensors go through.
    received = []

    def from_dlpack(x):
        received.append(x)
        return np.from_dlpack(x)

    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(from_dlpack=from_dlpack))
    double = Recorder()
    x = torch.rand(2, *SHAPE)
    y = from_functions(double, double, SHAPE, SHAPE, "cupy")(x)
    assert received[0] is not x and received[0].data_ptr() == x.data_ptr()
    assert double.taken == [x.data_ptr()] and double.given == [y.data_ptr()]


@pytest.mark.gpu
def test_a_cupy_operator_inside_a_torch_objective(tiny_prior):
    cupy = pytest.importorskip("cupy")
    pointers = []

    def double(x):
        assert isinstance(x, cupy.ndarray)
        pointers.append(x.data.ptr)
        return 2.0 * x

    op = from_functions(double, double, SHAPE, SHAPE, "cupy")
    x = make_images(2).cuda()
    assert op(x).is_cuda and pointers == [x.data_ptr()]
    prior = tiny_prior.to("cuda")
    problem = fs.InverseProblem(op, op(x), sigma=0.05)
    result = fs.solve(fs.Analysis(problem, prior), "lbfgs", 0 * x + 0.5, max_iter=3)
    assert result.x.is_cuda and torch.isfinite(result.value).all()


@pytest.mark.parametrize("carrier", ["numpy", "torch", "array_api_strict", "numpy/cupy"])
def test_every_library_is_taken_by_every_carrier(carrier):
    def halve(x):
        return 0.5 * x

    conformance.assert_conforms(from_functions(halve, halve, (1, 4, 3), (1, 4, 3), carrier))


@pytest.mark.parametrize("carrier", ["numpy", "torch", "array_api_strict"])
def test_what_a_map_hands_back_is_copied(carrier):
    op = from_functions(lambda x: x, lambda x: x, (1, 2, 2), (1, 2, 2), carrier)
    for x in (np.ones((1, 2, 2)), torch.ones(1, 2, 2), array_api_strict.ones((1, 2, 2))):
        y = op(x)
        with contextlib.suppress(ValueError):  # what cannot be written to does no harm either
            y[...] = 5.0
        assert float(x[0, 0, 0]) == 1.0


def test_results_return_to_the_dtype_of_the_argument():
    op = from_functions(lambda x: x.astype("float64") + 0, lambda x: x + 0, (1, 2, 2), (1, 2, 2))
    assert op(np.ones((1, 2, 2), "float32")).dtype == np.float32
    counting = from_functions(lambda x: (x > 0).astype(int), lambda x: x + 0, (1, 2, 2), (1, 2, 2))
    assert counting(np.ones((1, 2, 2))).dtype == np.float64


def test_what_is_no_linear_map_is_refused():
    with pytest.raises(ArgumentError, match="backward: got NoneType; accepted: a function"):
        from_functions(abs, None, SHAPE, SHAPE)
    with pytest.raises(UnsupportedError, match="gives complex numbers; operators are real"):
        from_functions(lambda x: x * 1j, abs, (1, 2, 2), (1, 2, 2))(np.ones((1, 2, 2)))
