"""Conversions between array libraries."""

import pickle

import array_api_strict
import numpy as np
import pytest
import torch

from flowsolve import arrays
from flowsolve.errors import ArgumentError


def test_namespace():
    assert arrays.namespace(torch.ones(1)).__name__.endswith("torch")
    assert arrays.namespace(np.ones(1), np.zeros(2)).__name__.endswith("numpy")
    assert arrays.namespace(array_api_strict.ones(1)) is array_api_strict
    with pytest.raises(ArgumentError, match=r"x: got builtins\.list; accepted: a NumPy, CuPy, torch"):
        arrays.namespace([1.0])
    with pytest.raises(
        ArgumentError, match=r"y: got numpy\.ndarray, torch\.Tensor; accepted: arrays of one and the same"
    ):
        arrays.namespace(np.ones(1), torch.ones(1), argument="y")


def test_is_torch_and_names():
    assert arrays.is_torch(torch.ones(1)) and not arrays.is_torch(np.ones(1)) and not arrays.is_torch("x")
    for x in (np.ones(1, "float32"), torch.ones(1), array_api_strict.ones(1, dtype=array_api_strict.float32)):
        assert arrays.dtype_name(x) == "float32"
        arrays.check_float(x, "x")
    assert str(arrays.device(torch.ones(1))) == "cpu"


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "complex64"])
def test_other_dtypes_are_refused(dtype):
    for x in (np.ones(2, dtype), torch.ones(2, dtype=getattr(torch, dtype))):
        with pytest.raises(ArgumentError, match=f"z: got dtype {dtype}; accepted: dtype float32 or float64"):
            arrays.check_float(x, "z")


def test_to_numpy():
    host = np.arange(3.0)
    assert arrays.to_numpy(host) is host
    assert np.shares_memory(arrays.to_numpy(torch.from_numpy(host)), host)
    np.testing.assert_array_equal(arrays.to_numpy(torch.ones(2, requires_grad=True) * 3), [3, 3])
    np.testing.assert_array_equal(arrays.to_numpy(array_api_strict.asarray(host)), host)
    np.testing.assert_array_equal(arrays.to_numpy([[1, 2]]), [[1, 2]])


def test_to_torch():
    host = np.arange(3.0)
    tensor = arrays.to_torch(host)
    tensor[0] = 7
    assert host[0] == 7
    assert arrays.to_torch(tensor) is tensor
    assert arrays.to_torch(host, dtype=torch.float32).dtype == torch.float32
    np.testing.assert_array_equal(arrays.to_torch(host[::-1]).numpy(), host[::-1])
    assert arrays.to_torch(array_api_strict.asarray(host)).tolist() == [7, 1, 2]
    host.flags.writeable = False
    arrays.to_torch(host)[0] = 1
    assert host[0] == 7


@pytest.mark.parametrize("single", [True, False])
def test_from_host(single):
    name = "float32" if single else "float64"
    for like in (
        np.ones(1, name),
        torch.ones(1, dtype=getattr(torch, name)),
        array_api_strict.ones(1, dtype=getattr(array_api_strict, name)),
    ):
        real = arrays.from_host(np.array([0.5, 2.0]), like)
        assert arrays.namespace(real) is arrays.namespace(like) and real.dtype == like.dtype
        spectrum = arrays.from_host(np.array([1j]), like)
        assert arrays.dtype_name(spectrum) == ("complex64" if single else "complex128")
        assert arrays.dtype_name(arrays.from_host(np.array([1]), like)) == "int64"


def test_copy_shares_nothing():
    for x in (np.ones(2), torch.ones(2)):
        y = arrays.copy(x)
        y[0] = 5.0
        assert x[0] == 1.0
    leaf = torch.ones(2, requires_grad=True)
    assert arrays.copy(leaf).requires_grad


def test_host_array_caches_and_pickles():
    constant = arrays.HostArray([[0.1, 0.2]])
    like = torch.ones(1)
    assert constant.like(like) is constant.like(torch.zeros(3))
    assert constant.like(like).dtype == torch.float32
    assert constant.like(like.double()).dtype == torch.float64
    assert constant.like(np.ones(1)) is constant.host
    again = pickle.loads(pickle.dumps(constant))
    assert again._cache == {} and not again.host.flags.writeable
    np.testing.assert_array_equal(again.host, constant.host)
    with pytest.raises(ValueError, match="read-only"):
        constant.host[0] = 1
    source = np.ones(2)
    arrays.HostArray(source)
    source[0] = 2.0


def test_host_array_does_not_keep_what_a_transform_owns():
    constant = arrays.HostArray([1.0, 2.0])

    def objective(x):
        return (x * constant.like(x)).sum()

    torch.func.vmap(torch.func.grad(objective))(torch.ones(3, 2))
    assert constant._cache == {}
    with torch.inference_mode():
        constant.like(torch.ones(1))
    leaf = torch.ones(2, requires_grad=True)
    (leaf * constant.like(leaf)).sum().backward()
    assert leaf.grad.tolist() == [1.0, 2.0]


def address(x):
    return x.data_ptr() if isinstance(x, torch.Tensor) else np.asarray(x).ctypes.data


@pytest.mark.parametrize("to", ["numpy", "torch", "array_api_strict"])
def test_crossing_shares_memory(to):
    for x in (np.arange(6.0), torch.arange(6.0), array_api_strict.arange(6.0)):
        there = arrays.cross(x, to)
        assert arrays.library(there) == to and address(there) == address(x)
        back = arrays.cross(there, arrays.library(x))
        assert type(back) is type(x) and np.asarray(back).tolist() == list(range(6))
    tensor = torch.arange(6.0)
    assert address(arrays.cross(arrays.cross(tensor, "numpy"), "torch")) == address(tensor)
    assert arrays.cross(x, arrays.library(x)) is x


def test_crossing_detaches_and_copies_what_is_read_only():
    assert arrays.cross(torch.ones(2, requires_grad=True), "numpy").tolist() == [1, 1]
    host = np.ones(2)
    host.flags.writeable = False
    tensor = arrays.cross(host, "torch")
    tensor[0] = 5
    assert host[0] == 1


def test_crossing_to_nowhere_is_refused():
    with pytest.raises(ArgumentError, match="to: got 'no_such_library'; accepted: the name of an array lib"):
        arrays.cross(np.ones(2), "no_such_library")
    with pytest.raises(
        ArgumentError, match=r"x: got an array of torch on meta .*a device that numpy can see"
    ):
        arrays.cross(torch.ones(2, device="meta"), "numpy")


@pytest.mark.gpu
def test_cupy_and_torch_cross_without_a_copy():
    cupy = pytest.importorskip("cupy")
    tensor = torch.arange(6.0, device="cuda")
    there = arrays.cross(tensor, "cupy")
    assert isinstance(there, cupy.ndarray) and there.data.ptr == tensor.data_ptr()
    assert arrays.cross(there, "torch").data_ptr() == tensor.data_ptr()


@pytest.mark.gpu
def test_cupy_passes_by_dlpack():
    cupy = pytest.importorskip("cupy")
    x = cupy.arange(3.0)
    assert arrays.to_torch(x).data_ptr() == x.data.ptr
    np.testing.assert_array_equal(arrays.to_numpy(x), [0, 1, 2])
    assert arrays.namespace(arrays.from_host(np.ones(2), x)) is arrays.namespace(x)
