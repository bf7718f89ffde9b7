"""What ``flow_speed`` times: one gradient through a flow, by several programs, at two sizes.

Run as a script it serves one peer library in that library's own environment::

    python flow_contenders.py normflows bundled CONFIG_JSON THREADS

and answers each line ``DIRECTION`` with the seconds of one gradient.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCHES = {"seed": 8, "bundled": 16}
DIRECTIONS = ("E", "D")
PEERS = ("normflows", "FrEIA")

Gradient = Callable[[], Any]


def make_glow(size: str) -> Any:
    """Return the flow of a size: the bundled prior's, or one of the seed's architecture."""
    import flowsolve as fs
    from flowsolve.flows import Glow, GlowConfig

    if size == "bundled":
        return fs.load_prior("faces64-additive").glow
    glow = Glow(GlowConfig(image_size=64, levels=4, steps=32, hidden=512), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    return glow.requires_grad_(False)


def pull(function: Callable[[Any], list[Tensor]], inputs: Any) -> Any:
    """Return the gradient of half the sum of squares of a function's outputs."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    outputs = function(leaves)
    return torch.autograd.grad(outputs, leaves, [output.detach() for output in outputs])


def contenders(glow: Any, batch: int, device: str) -> dict[str, dict[str, Gradient]]:
    """Return for each direction and each contender that runs in this process a function to time."""
    from flowsolve.flows import FrozenGlow

    from .record_overhead import photographs

    x = photographs(batch).contiguous().to(device)
    full = FrozenGlow(glow, device)
    flows = {
        "flowsolve float32": full,
        "flowsolve bfloat16": FrozenGlow(glow, device, coupling_dtype=torch.bfloat16),
        "flowsolve float32, checkpoint": full.with_memory("checkpoint"),
        "flowsolve float32, invertible": full.with_memory("invertible"),
    }
    # As a prior hands them on: parts of one row of numbers, so not channels last.
    latents = [z.contiguous() for z in full.encode(x)[0]]
    glow = glow.to(device).requires_grad_(False)
    bare = bare_convolutions(full, batch, (x.shape[-2], x.shape[-1]))
    found: dict[str, dict[str, Gradient]] = {
        "E": {"bare convolutions": bare},
        "D": {"bare convolutions": bare},
    }
    for name, flow in flows.items():
        found["E"][name] = lambda flow=flow: pull(lambda leaves: flow.encode(leaves[0])[0], [x])
        found["D"][name] = lambda flow=flow: pull(lambda leaves: [flow.decode(leaves)[0]], latents)
    found["E"]["plain"] = lambda: pull(lambda leaves: plain_encode(glow, leaves[0]), [x])
    found["D"]["plain"] = lambda: pull(lambda leaves: [plain_decode(glow, leaves)], latents)
    return found


def plain_encode(glow: Any, x: Tensor) -> list[Tensor]:
    """Encode layer by layer, with everything computed at every call, also what nobody asked for."""
    h, latents, log_det = x - 0.5, [], x.new_zeros(len(x))
    for level in glow.levels:
        h = F.pixel_unshuffle(h, 2)
        positions = h.shape[-2] * h.shape[-1]
        for step in level.steps:
            norm = step.actnorm
            h = norm.log_scale.exp()[:, None, None] * (h + norm.bias[:, None, None])
            h = F.conv2d(h, step.conv1x1.weight()[:, :, None, None])
            h, change = step.coupling(h)
            log_det = log_det + positions * step.log_det_per_pixel() + change
        kept, out = (None, h) if level.last else h.chunk(2, 1)
        moments = level.moments(kept, (h.shape[-2], h.shape[-1]))
        if moments is not None:
            out = (out - moments[0]) * torch.exp(-moments[1])
            log_det = log_det - moments[1].expand_as(out).sum(dim=(1, 2, 3))
        latents.append(out)
        h = kept
    return latents


def plain_decode(glow: Any, latents: list[Tensor]) -> Tensor:
    """Decode in the same way."""
    h, log_det = None, latents[0].new_zeros(len(latents[0]))
    for level, latent in zip(reversed(glow.levels), reversed(latents), strict=True):
        moments = level.moments(h, (latent.shape[-2], latent.shape[-1]))
        if moments is not None:
            log_det = log_det + moments[1].expand_as(latent).sum(dim=(1, 2, 3))
            latent = moments[0] + latent * torch.exp(moments[1])
        h = latent if h is None else torch.cat([h, latent], 1)
        positions = h.shape[-2] * h.shape[-1]
        for step in reversed(level.steps):
            h, change = step.coupling.inverse(h)
            h = F.conv2d(h, step.conv1x1.inverse_weight()[:, :, None, None])
            norm = step.actnorm
            h = torch.exp(-norm.log_scale)[:, None, None] * h - norm.bias[:, None, None]
            log_det = log_det - positions * step.log_det_per_pixel() + change
        h = F.pixel_shuffle(h, 2)
    return h + 0.5


def bare_convolutions(flow: Any, batch: int, size: tuple[int, int]) -> Gradient:
    """Return a function that does the couplings' convolutions there and back, and nothing else."""
    pieces = []
    for i, level in enumerate(flow.levels):
        half = level.steps[0].conv1.weight.shape[1]
        shape = (batch, half, size[0] >> (i + 1), size[1] >> (i + 1))
        weight = level.steps[0].conv1.weight
        last = weight.device.type == "cpu"
        layout = torch.channels_last if last else torch.contiguous_format
        a = torch.randn(shape, device=weight.device).contiguous(memory_format=layout)
        pieces.append((a, level.steps))

    def back(g: Tensor, conv: Any, like: Tensor) -> Tensor:
        padding = [conv.padding, conv.padding]
        return torch.ops.aten.convolution_backward(
            g, like, conv.weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]

    @torch.no_grad()
    def run() -> None:
        for a, steps in pieces:
            for step in steps:
                first = F.conv2d(a, step.conv1.weight, step.conv1.bias, padding=1)
                second = F.conv2d(first, step.conv2.weight, step.conv2.bias)
                out = F.conv2d(second, step.conv3.weight, step.conv3.bias, padding=1)
                back(back(back(out, step.conv3, second), step.conv2, first), step.conv1, a)

    return run


# ---------------------------------------------------------------- peers


def peer(library: str, config: dict[str, Any], batch: int) -> dict[str, Gradient]:
    """Return for each direction a function to time, of an equivalent flow of another library.

    Neither has conditional split priors, which are therefore left out. FrEIA's one-sided
    couplings are affine: its networks put out twice the channels of an additive one's.
    """
    torch.manual_seed(0)
    build = {"normflows": _normflows, "FrEIA": _freia}[library]
    size = config["image_size"] or 64
    height, width = (size, size) if isinstance(size, int) else size
    encode, decode = build(config, (height, width))
    x = torch.rand(batch, config["channels"], height, width)
    with torch.no_grad():
        latents = [z.clone() for z in encode([x])]
    return {"E": lambda: pull(encode, [x]), "D": lambda: pull(lambda leaves: [decode(leaves)], latents)}


def _normflows(config: dict[str, Any], size: tuple[int, int]) -> Any:
    import normflows as nf

    levels = []
    for level in range(config["levels"]):
        channels = config["channels"] * 2 ** (level + 2)
        affine = config["coupling"] == "affine"
        steps = [
            nf.flows.GlowBlock(channels, config["hidden"], scale=affine, leaky=0.0, init_zeros=False)
            for _ in range(config["steps"])
        ]
        for step in steps:
            for module in step.modules():
                # Their ActNorm would initialise itself from the first batch.
                if hasattr(module, "data_dep_init_done"):
                    module.data_dep_init_done.fill_(1.0)
            step.requires_grad_(False)
        levels.append(nn.ModuleList(steps))

    def encode(inputs: list[Tensor]) -> list[Tensor]:
        h, latents = inputs[0], []
        for i, steps in enumerate(levels):
            h = F.pixel_unshuffle(h, 2)
            for step in reversed(steps):
                h, _ = step.inverse(h)
            if i < len(levels) - 1:
                h, out = h.chunk(2, 1)
                latents.append(out)
        return [*latents, h]

    def decode(latents: list[Tensor]) -> Tensor:
        h = latents[-1]
        for i, steps in reversed(list(enumerate(levels))):
            if i < len(levels) - 1:
                h = torch.cat([h, latents[i]], 1)
            for step in steps:
                h, _ = step(h)
            h = F.pixel_shuffle(h, 2)
        return h

    return encode, decode


def _freia(config: dict[str, Any], size: tuple[int, int]) -> Any:
    import FrEIA.modules as fm

    hidden, levels = config["hidden"], []

    def network(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, 3, padding=1),
        )

    for level in range(config["levels"]):
        channels = config["channels"] * 2 ** (level + 2)
        dims = [(channels, size[0] >> (level + 1), size[1] >> (level + 1))]
        steps = []
        for _ in range(config["steps"]):
            rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
            norm = fm.ActNorm(dims)
            norm.init_on_next_batch = False
            steps += [norm, fm.Fixed1x1Conv(dims, M=rotation)]
            steps.append(fm.AffineCouplingOneSided(dims, subnet_constructor=network))
        levels.append(nn.ModuleList(steps).requires_grad_(False))

    def encode(inputs: list[Tensor]) -> list[Tensor]:
        h, latents = inputs[0], []
        for i, steps in enumerate(levels):
            h = F.pixel_unshuffle(h, 2)
            for step in steps:
                (h,), _ = step([h])
            if i < len(levels) - 1:
                h, out = h.chunk(2, 1)
                latents.append(out)
        return [*latents, h]

    def decode(latents: list[Tensor]) -> Tensor:
        h = latents[-1]
        for i, steps in reversed(list(enumerate(levels))):
            if i < len(levels) - 1:
                h = torch.cat([h, latents[i]], 1)
            for step in reversed(steps):
                (h,), _ = step([h], rev=True)
            h = F.pixel_shuffle(h, 2)
        return h

    return encode, decode


def serve() -> None:
    """Answer requests of ``flow_speed`` on the standard streams."""
    library, size, config, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    gradients = peer(library, json.loads(config), BATCHES[size])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        gradients[line.strip()]()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    serve()
