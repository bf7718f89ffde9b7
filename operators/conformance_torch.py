"""Conformance checks of derivatives on torch."""

from __future__ import annotations

import importlib.util

from ..arrays import to_numpy
from .base import LinearOperator
from .conformance_basic import batches, random_pair
from .conformance_report import Report, relative_error


def check_torch_gradients(op: LinearOperator, seed: int = 0) -> list[Report]:
    """Check backward, double backward, ``torch.func`` vjp, jvp and vmap against A and Aᵀ."""
    if importlib.util.find_spec("torch") is None:
        return [Report("torch gradients", True, "", "torch is not installed", "", skipped=True)]
    import torch

    batch = batches(op)[-1]
    x, y = random_pair(op, "torch", "float64", batch, seed)
    v, _ = random_pair(op, "torch", "float64", batch, seed + 5)
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
