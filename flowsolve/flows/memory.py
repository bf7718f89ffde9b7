"""What a gradient through the flow keeps of the way there, and what it computes again.

A gradient that is taken once goes by :class:`~flowsolve.flows.passes.Passes`, in one of three
modes. What needs more than that gradient is recorded by autograd from the plain form of
:mod:`.frozen`: double backward, forward mode, ``torch.func`` transforms, and whatever runs
inside of :func:`recording`.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..ambient import undisturbed
from .passes import Tape

if TYPE_CHECKING:
    from .config import GlowConfig

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Error of activations computed back, by the dtype of the chain, up to which gradients are accepted.

An error of float32's rounding moves about one ReLU in a million to its other side."""

AUTO_BYTES = 1 << 30
"""What ``"auto"`` lets one gradient keep before it goes on to the next mode."""

ENDS = {"store": 2, "checkpoint": 2, "invertible": 6}
"""About how many times a level's channels are kept, whatever the number of its steps."""

_RECORDING: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=False)


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Within it, gradients through flows are recorded by autograd, operation by operation.

    For those who are going to differentiate the gradient: they then find it recorded already,
    and by torch functions that a ``TorchFunctionMode`` can see.
    """
    token = _RECORDING.set(True)
    try:
        yield
    finally:
        _RECORDING.reset(token)


def needs_recording(*tensors: Tensor) -> bool:
    """Return whether what is computed of `tensors` has to be seen by a transform or by :func:`recording`."""
    if _RECORDING.get() or torch.compiler.is_compiling():
        return True
    if torch._C._functorch.maybe_current_level() is not None:
        return True
    inside = getattr(forward_ad, "_current_level", 0) >= 0
    return inside and any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def is_mapped(tensor: Tensor) -> bool:
    """Return whether a ``vmap`` runs over `tensor`, as autograd's own over a batch of gradients does."""
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(tensor) or functorch.is_functorch_wrapped_tensor(tensor)


def kept_bytes(config: GlowConfig, mode: str, pixels: int, itemsize: int) -> int:
    """Return about how many bytes one gradient keeps.

    Parameters
    ----------
    config : GlowConfig
        Of the flow.
    mode : {"store", "checkpoint", "invertible"}
        The mode.
    pixels : int
        Pixels of all images of the batch.
    itemsize : int
        Bytes a number.
    """
    total = 0
    for level in range(config.levels):
        channels, positions = config.level_channels(level), pixels >> (2 * level + 2)
        per_step = {"store": 2 * config.hidden, "checkpoint": channels, "invertible": 0}[mode]
        if mode == "store" and config.coupling == "affine":
            per_step += 2 * channels
        total += positions * (config.level_steps(level) * per_step + ENDS[mode] * channels)
    return total * itemsize


def chosen_mode(memory: str, config: GlowConfig, shape: torch.Size, itemsize: int) -> str:
    """Return the mode for images of this shape: `memory` itself, unless it is ``"auto"``.

    ``"auto"`` takes the first of the modes that keeps at most :data:`AUTO_BYTES`. It looks at
    nothing but the shape, so that a run does the same on every machine.
    """
    if memory != "auto":
        return memory
    pixels = shape[0] * shape[-2] * shape[-1]
    for mode in ("store", "checkpoint"):
        if kept_bytes(config, mode, pixels, itemsize) <= AUTO_BYTES:
            return mode
    return "invertible"


@dataclass
class Reconstruction:
    """How well ``memory="invertible"`` computed activations back.

    Where the inverse of a flow amplifies rounding errors, activations computed back are not the
    true ones and gradients taken at them are wrong (Behrmann, Vicol, Wang, Grosse & Jacobsen,
    "Understanding and mitigating exploding inverses in invertible neural networks", AISTATS
    2021). The true ones are known at both ends of each level.

    Images whose error is above :data:`TOLERANCES` get their gradient computed anew, with ``"checkpoint"``.

    Attributes
    ----------
    gradients : int
        Gradients taken so far.
    redone : int
        Images whose gradient had to be computed anew, over all of them.
    last : Tensor or None
        Error of each image in the last gradient, (N,): the largest over the levels of the
        distance of found and true activations over the norm of the true ones.
    """

    gradients: int = 0
    redone: int = 0
    last: Tensor | None = None
    _worst: Tensor | None = None

    @property
    def worst(self) -> float:
        """Largest error so far; nan if activations were not finite; 0 if no gradient was taken."""
        return 0.0 if self._worst is None else float(self._worst)

    def refused(self, error: Tensor) -> Tensor | None:
        """Note the errors of a gradient, and return which images need it anew, (N,) bool; None if none.

        This is where the host waits for the device, once a gradient, with all its work queued.
        """
        error = error.detach()
        self.gradients += 1
        self.last = error
        if error.numel():
            worst = error.max()
            self._worst = worst if self._worst is None else torch.maximum(self._worst, worst)
        refused = ~(error <= TOLERANCES[error.dtype])
        if not bool(refused.any()):
            return None
        self.redone += int(refused.sum())
        return refused


class Map(ABC):
    """One direction of a flow, in all the forms that its gradient needs.

    Attributes
    ----------
    health : Reconstruction
        Where errors are noted.
    """

    health: Reconstruction

    @abstractmethod
    def plain(self, inputs: list[Tensor]) -> list[Tensor]:
        """Return the outputs, by operations that autograd can record."""

    @abstractmethod
    def run(self, inputs: list[Tensor], mode: str | None) -> tuple[list[Tensor], Tape]:
        """Return the outputs, and a tape for :meth:`vjp` in this mode (None: no gradient follows)."""

    @abstractmethod
    def vjp(self, tape: Tape, cotangents: list[Tensor], mode: str) -> tuple[list[Tensor], Tensor | None]:
        """Return the inputs' gradients and, with ``"invertible"``, the reconstruction's error (N,)."""

    def __call__(self, inputs: list[Tensor], mode: str) -> list[Tensor]:
        """Return the map's outputs for `inputs`, differentiable in any way."""
        if needs_recording(*inputs):
            return self.plain(inputs)
        if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)):
            return self.run(inputs, None)[0]
        return list(_Pass.apply(self, mode, *inputs))

    def pull(self, inputs: list[Tensor], tape: Tape, cotangents: list[Tensor], mode: str) -> list[Tensor]:
        """Return the gradients with respect to the inputs."""
        gradients, error = self.vjp(tape, cotangents, mode)
        if error is None:
            return gradients
        if error.is_cuda and torch.cuda.is_current_stream_capturing():
            # Nothing can be read while a graph is captured: what is wrong is at least no number.
            good = (error <= TOLERANCES[error.dtype]).view(-1, 1, 1, 1)
            return [torch.where(good, gradient, math.nan) for gradient in gradients]
        refused = self.health.refused(error)
        if refused is None:
            return gradients
        _, again = self.run([tensor[refused] for tensor in inputs], "checkpoint")
        redone, _ = self.vjp(again, [cotangent[refused] for cotangent in cotangents], "checkpoint")
        for gradient, right in zip(gradients, redone, strict=True):
            gradient[refused] = right
        return gradients


class _Pass(torch.autograd.Function):
    """A map whose gradient is written by hand."""

    @staticmethod
    def forward(ctx: Any, direction: Map, mode: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs, tape = direction.run(list(inputs), mode)
        ctx.direction, ctx.mode = direction, mode
        ctx.save_for_backward(*inputs, *tape)
        ctx.lease = tape.lease
        ctx.n_inputs = len(inputs)
        return tuple(outputs)

    @staticmethod
    @undisturbed
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        saved = list(ctx.saved_tensors)
        inputs, tape = saved[: ctx.n_inputs], Tape()
        tape.extend(saved[ctx.n_inputs :])
        del saved
        mapped = any(is_mapped(cotangent) for cotangent in cotangents)
        if torch.is_grad_enabled() or mapped or needs_recording():
            return None, None, *_differentiable_vjp(ctx.direction.plain, inputs, list(cotangents))
        return None, None, *ctx.direction.pull(inputs, tape, list(cotangents), ctx.mode)


def _differentiable_vjp(
    plain: Callable[[list[Tensor]], list[Tensor]], inputs: list[Tensor], cotangents: list[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradients as autograd takes them, so that they can be differentiated or mapped."""
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        if not graph:
            inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        outputs = plain(inputs)
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
    gradients = torch.autograd.grad(
        [output for output, _ in pairs],
        wanted,
        [cotangent for _, cotangent in pairs],
        create_graph=graph,
        materialize_grads=True,
    )
    found = iter(gradients)
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
