"""A frozen flow on a GPU whose passes are recorded once and then replayed as a whole.

A small flow on a GPU spends its time on launching kernels, a few hundred a gradient. A CUDA
graph launches them all at once. It is recorded for one shape, and its tensors stay where they
are: each pass overwrites what the one before has kept.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UnsupportedError
from .inference import Decoding, Encoding, FrozenGlow
from .memory import Map, needs_recording


class GraphedGlow(FrozenGlow):
    """A flow that replays CUDA graphs where a gradient is wanted once, and is itself elsewhere.

    Parameters
    ----------
    flow : FrozenGlow
        On a GPU; its weights are shared.

    Raises
    ------
    UnsupportedError
        If the flow is not on a GPU.

    Notes
    -----
    The first gradient of each shape, batch included, in each thread takes longer and keeps its
    memory from then on. The gradient of a pass has to be taken before the next pass of the same kind
    and shape; later it raises :class:`~flowsolve.errors.UnsupportedError`, since what it needs has
    been overwritten. In ``"invertible"`` mode images whose activations were not computed back well
    enough get gradients of nan, as a graph cannot branch.
    """

    def __init__(self, flow: FrozenGlow) -> None:
        if flow.device.type != "cuda":
            raise UnsupportedError(f"CUDA graphs: the flow is on {flow.device}, not on a GPU")
        self.__dict__.update(copy.copy(flow).__dict__)
        self._graphs: dict[Any, _Graph] = {}

    def _run(self, direction: Map, inputs: list[Tensor], mode: str) -> list[Tensor]:
        wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        if not wanted or needs_recording(*inputs):
            return direction(inputs, mode)
        assert isinstance(direction, Encoding | Decoding)
        # A pass overwrites the one before: no thread may do so between those of another.
        key = (threading.get_ident(), type(direction), direction.log_det, mode, *(t.shape for t in inputs))
        if key not in self._graphs:
            self._graphs[key] = _Graph(direction, inputs, mode)
        return self._graphs[key](inputs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_graphs": {}}


class _Graph:
    """One map, recorded for one shape."""

    def __init__(self, direction: Map, inputs: Sequence[Tensor], mode: str) -> None:
        samples = tuple(torch.zeros_like(tensor, requires_grad=True) for tensor in inputs)
        self.passes = 0
        self.replay: Any = torch.cuda.make_graphed_callables(
            lambda *tensors: tuple(direction(list(tensors), mode)), samples
        )

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        self.passes += 1
        # The products give gradients memory of their own, as _Pass does for the outputs.
        outputs = self.replay(*(tensor * 1 for tensor in inputs))
        return list(_Pass.apply(self, *outputs))


class _Pass(torch.autograd.Function):
    """Copy what a graph puts out, and refuse a gradient when it is too late for it."""

    @staticmethod
    def forward(ctx: Any, graph: _Graph, *outputs: Tensor) -> tuple[Tensor, ...]:
        ctx.graph, ctx.number = graph, graph.passes
        return tuple(output.clone() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.number != ctx.graph.passes:
            raise UnsupportedError(
                "CUDA graphs: another pass has overwritten what this gradient needs; take each gradient "
                "before the next pass, or use the prior without graphs"
            )
        return None, *cotangents
