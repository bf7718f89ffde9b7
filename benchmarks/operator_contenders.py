"""The same linear maps in each library, and the worker process that times them.

Run as ``python operator_contenders.py NAME`` by the environment that has the library: it
reads one JSON request a line and answers each with one JSON line. Nothing here imports
flowsolve, or anything that a library does not bring itself, before it is asked to.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZES = {
    "64x3x64x64": (64, 3, 64, 64),
    "4x3x512x512": (4, 3, 512, 512),
    "1x3x2048x2048": (1, 3, 2048, 2048),
}
MAPS = ("apply", "adjoint", "gram")
PAGE = 4096
"""Bytes of a page of memory."""

DEVICE = "cpu"
"""Where the libraries that run on torch compute; set by the worker."""


@dataclass
class Case:
    """One operator of one library on one batch.

    Attributes
    ----------
    maps : dict of str to callable
        ``apply``, ``adjoint`` and ``gram``, each of no arguments, on data made beforehand.
    to_host : callable
        Result to NumPy array.
    """

    maps: dict[str, Callable[[], Any]]
    to_host: Callable[[Any], np.ndarray]


def kernels() -> dict[str, np.ndarray]:
    """Return the kernels of the blurs; symmetric, so that conventions of orientation agree."""
    wide = np.random.default_rng(0).random((15, 15))
    wide = wide + wide[::-1, ::-1]
    return {"blur 7x7": np.full((7, 7), 1 / 49), "blur 15x15": wide / wide.sum()}


OPERATORS = ("blur 7x7", "blur 15x15", "downsample x2", "mask")


def data(operator: str, size: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an image batch and a measurement batch, float32."""
    rng, (n, c, h, w) = np.random.default_rng(1), SIZES[size]
    shape = (n, c, h // 2, w // 2) if operator == "downsample x2" else (n, c, h, w)
    return tuple(aligned(rng.random(s, dtype=np.float32)) for s in ((n, c, h, w), shape))


def aligned(values: np.ndarray) -> np.ndarray:
    """Return a copy that starts at a page, so that no contender gets worse memory than another by luck."""
    memory = np.empty(values.nbytes + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    copy = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def mask(size: str) -> np.ndarray:
    """Return the 0-1 mask, float32, shape (H, W)."""
    return (np.random.default_rng(2).random(SIZES[size][2:]) > 0.6).astype(np.float32)


def spectrum(kernel: np.ndarray, size: str, *, half: bool = True) -> np.ndarray:
    """Return the transform of a kernel centred on the first pixel, complex64."""
    placed = np.zeros(SIZES[size][2:])
    placed[: kernel.shape[0], : kernel.shape[1]] = kernel
    placed = np.roll(placed, [-(k // 2) for k in kernel.shape], axis=(0, 1))
    return (np.fft.rfft2(placed) if half else np.fft.fft2(placed)).astype(np.complex64)


def from_torch(apply: Callable, adjoint: Callable, gram: Callable, operator: str, size: str) -> Case:
    """Return the case of maps of torch tensors."""
    import torch

    x, y = (torch.from_numpy(a).to(DEVICE) for a in data(operator, size))

    def timed(function: Callable, argument: Any) -> Callable[[], Any]:
        if DEVICE == "cpu":
            return lambda: function(argument)

        def call() -> Any:
            result = function(argument)
            torch.cuda.synchronize()
            return result

        return call

    maps = {"apply": timed(apply, x), "adjoint": timed(adjoint, y), "gram": timed(gram, x)}
    return Case(maps, lambda r: r.cpu().numpy())


def flowsolve(operator: str, size: str) -> Case:
    """Ours."""
    from flowsolve.operators import Blur, Downsample, Mask

    shape = SIZES[size][1:]
    if operator in kernels():
        op: Any = Blur(kernels()[operator], shape)
    else:
        op = Downsample(2, shape) if operator == "downsample x2" else Mask(mask(size), shape)
    return from_torch(op.apply, op.adjoint, op.gram().apply, operator, size)


def bare(operator: str, size: str) -> Case:
    """The shortest torch expressions: rfft2, multiply, irfft2; avg_pool2d; multiply."""
    import torch

    _, _, h, w = SIZES[size]
    if operator in kernels():
        response = torch.from_numpy(spectrum(kernels()[operator], size)).to(DEVICE)
        power = (response.abs() ** 2).to(response.dtype)

        def by(s: Any) -> Callable:
            return lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * s, s=(h, w))

        return from_torch(by(response), by(response.conj()), by(power), operator, size)
    if operator == "mask":
        m = torch.from_numpy(mask(size)).to(DEVICE)
        return from_torch(lambda x: x * m, lambda y: y * m, lambda x: x * m * m, operator, size)

    def down(x: Any) -> Any:
        return torch.nn.functional.avg_pool2d(x, 2)

    def up(y: Any) -> Any:
        return torch.nn.functional.interpolate(y, scale_factor=2) / 4

    return from_torch(down, up, lambda x: up(down(x)), operator, size)


def deepinv(operator: str, size: str, *, fft: bool = False) -> Case | None:
    """``Blur`` (conv2d) or ``BlurFFT``; ``Downsampling`` with a 2x2 mean; ``Inpainting``."""
    import deepinv as dinv
    import torch

    _, c, h, w = SIZES[size]
    if operator in kernels():
        kernel = torch.from_numpy(kernels()[operator]).float()[None, None]
        if fft:
            physics: Any = dinv.physics.BlurFFT(img_size=(c, h, w), filter=kernel)
        else:
            physics = dinv.physics.Blur(filter=kernel, padding="circular")
    elif fft:
        return None
    elif operator == "mask":
        physics = dinv.physics.Inpainting(img_size=(c, h, w), mask=torch.from_numpy(mask(size))[None])
    else:
        quarter = torch.full((1, 1, 2, 2), 0.25)
        physics = dinv.physics.Downsampling(img_size=(c, h, w), filter=quarter, factor=2, padding="valid")
    physics = physics.to(DEVICE)
    return from_torch(physics.A, physics.A_adjoint, physics.A_adjoint_A, operator, size)


def deepinv_fft(operator: str, size: str) -> Case | None:
    """``BlurFFT``."""
    return deepinv(operator, size, fft=True)


def scico(operator: str, size: str) -> Case:
    """``CircularConvolve``, ``Diagonal``, a mean over reshaped axes; all compiled by jax."""
    import jax
    import jax.numpy as jnp
    from scico import linop

    n, c, h, w = shape = SIZES[size]
    if operator in kernels():
        kernel = kernels()[operator].astype(np.float32)
        centre = [k // 2 for k in kernel.shape]
        op = linop.CircularConvolve(jnp.asarray(kernel), shape, ndims=2, h_center=jnp.array(centre))
    elif operator == "mask":
        op = linop.Diagonal(jnp.broadcast_to(jnp.asarray(mask(size)), shape))
    else:
        op = linop.LinearOperator(
            shape,
            eval_fn=lambda x: x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5)),
            input_dtype=np.float32,
        )
    x, y = (jnp.asarray(a) for a in data(operator, size))
    apply, adjoint = jax.jit(lambda a: op(a)), jax.jit(lambda a: op.adj(a))
    gram = jax.jit(lambda a: op.adj(op(a)))
    maps = {
        "apply": lambda: apply(x).block_until_ready(),
        "adjoint": lambda: adjoint(y).block_until_ready(),
        "gram": lambda: gram(x).block_until_ready(),
    }
    return Case(maps, np.asarray)


def sigpy(operator: str, size: str) -> Case:
    """``FFT.H * Multiply * FFT``, ``Multiply``, ``Sum * ArrayToBlocks``."""
    from sigpy import linop

    shape = SIZES[size]
    x, y = data(operator, size)
    if operator in kernels():
        transform = linop.FFT(shape, axes=(-2, -1), center=False)
        op = transform.H * linop.Multiply(shape, spectrum(kernels()[operator], size, half=False)) * transform
    elif operator == "mask":
        op = linop.Multiply(shape, mask(size))
    else:
        blocks = linop.ArrayToBlocks(shape, (2, 2), (2, 2))
        op = 0.25 * linop.Sum(blocks.oshape, (-2, -1)) * blocks
    return Case({"apply": lambda: op(x), "adjoint": lambda: op.H(y), "gram": lambda: op.H(op(x))}, np.real)


def pylops(operator: str, size: str) -> Case | None:
    """``FFT2D.H * Diagonal * FFT2D``, ``Diagonal``; block means have no operator there."""
    import pylops as pl

    shape = SIZES[size]
    if operator in kernels():
        transform = pl.signalprocessing.FFT2D(shape, axes=(-2, -1), real=True, norm="ortho", dtype="float32")
        response = np.broadcast_to(spectrum(kernels()[operator], size), transform.dimsd)
        op = transform.H * pl.Diagonal(response.ravel(), dtype="complex64") * transform
    elif operator == "mask":
        op = pl.Diagonal(np.broadcast_to(mask(size), shape).ravel(), dtype="float32")
    else:
        return None
    x, y = (a.ravel() for a in data(operator, size))
    gram, adjoint = op.H * op, op.H
    maps = {
        "apply": lambda: op.matvec(x),
        "adjoint": lambda: adjoint.matvec(y),
        "gram": lambda: gram.matvec(x),
    }
    return Case(maps, np.real)


def pyxu(operator: str, size: str, *, fft: bool = False) -> Case | None:
    """``Stencil`` or ``FFTConvolve``, ``SubSample * Stencil``, ``DiagonalOp``."""
    import pyxu.operator as pxo

    _, c, h, w = SIZES[size]
    shape = (c, h, w)
    x, y = data(operator, size)
    if operator in kernels():
        kernel = kernels()[operator].astype(np.float32)
        centre = (0, *(k // 2 for k in kernel.shape))
        if fft:
            op = pxo.FFTConvolve(shape, kernel[None], centre, mode="wrap")
        elif operator == "blur 7x7":
            lines = [np.ones(1, np.float32), *(np.full(7, 1 / 7, np.float32) for _ in range(2))]
            op = pxo.Convolve(shape, lines, centre, mode="wrap")
        else:
            op = pxo.Convolve(shape, kernel[None], centre, mode="wrap")
    elif fft:
        return None
    elif operator == "mask":
        op = pxo.DiagonalOp(np.broadcast_to(mask(size), shape).copy())
    else:
        means = pxo.Stencil(shape, np.full((1, 2, 2), 0.25, np.float32), (0, 0, 0))
        op = pxo.SubSample(shape, slice(None), slice(0, h, 2), slice(0, w, 2)) * means
    gram = op.gram()
    maps = {
        "apply": lambda: op.apply(x),
        "adjoint": lambda: op.adjoint(y),
        "gram": lambda: gram.apply(x),
    }
    return Case(maps, np.asarray)


def pyxu_fft(operator: str, size: str) -> Case | None:
    """``FFTConvolve``."""
    return pyxu(operator, size, fft=True)


#: Libraries whose operators run where torch runs.
ON_TORCH = ("flowsolve", "torch", "deepinv")

#: What is timed: name to (library that must be importable, maker of cases).
CONTENDERS: dict[str, tuple[str, Callable[[str, str], Case | None]]] = {
    "flowsolve": ("flowsolve", flowsolve),
    "torch (bare)": ("torch", bare),
    "deepinv": ("deepinv", deepinv),
    "deepinv BlurFFT": ("deepinv", deepinv_fft),
    "scico": ("scico", scico),
    "sigpy": ("sigpy", sigpy),
    "pylops": ("pylops", pylops),
    "pyxu": ("pyxu", pyxu),
    "pyxu FFTConvolve": ("pyxu", pyxu_fft),
}


def fingerprint(result: np.ndarray) -> list[float]:
    """Return two numbers by which results of different libraries are compared."""
    flat = np.asarray(result, dtype=np.float64).ravel()
    return [float(flat.sum()), float(flat @ np.cos(np.arange(flat.size) % 1009))]


def peak_memory(call: Callable[[], Any]) -> float:
    """Return by how many bytes memory rises at its highest during a call; nan off Linux."""
    if DEVICE != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return float(torch.cuda.max_memory_allocated() - before)
    try:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = _status("VmRSS")
        call()
        return _status("VmHWM") - before
    except OSError:
        return math.nan


def _status(key: str) -> float:
    with open("/proc/self/status") as file:
        return next(1024.0 * int(line.split()[1]) for line in file if line.startswith(key + ":"))


def worker(name: str, threads: int, device: str) -> None:
    """Answer requests on standard input until it ends."""
    global DEVICE
    DEVICE = device
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    library, make = CONTENDERS[name]
    if library in ON_TORCH:
        import torch

        torch.set_num_threads(threads)
    current: tuple[tuple[str, str], Case | None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        key = request["operator"], request["size"]
        try:
            if current is None or current[0] != key:
                current = None
                gc.collect()
                current = key, make(*key)
            case = current[1]
            answer = {"missing": True} if case is None else _answer(case, request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(case: Case, request: dict[str, Any]) -> dict[str, Any]:
    call = case.maps[request["map"]]
    if request.get("check"):
        call()
        return {"fingerprint": fingerprint(case.to_host(call())), "peak": peak_memory(call)}
    # Each call by itself, and the middle one: a call that the processor interrupts does not count.
    seconds = []
    for _ in range(request["loops"]):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds)}


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), sys.argv[3])
