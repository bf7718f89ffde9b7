"""F at a point, read off one pass of a flow: what evaluations and the Gauss-Newton model have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .evaluation import Evaluation


@dataclass
class Reading:
    """An evaluation whose gradient is still to be pulled back through the flow.

    Attributes
    ----------
    evaluation : Evaluation
        F and its terms, without gradient.
    cotangents : tuple of torch.Tensor
        Gradient of F with respect to each output of the flow, pulled back by the transpose of its Jacobian.
    direct : torch.Tensor or None
        Gradient of what F says of the point itself, of its shape, which is added to that.
    """

    evaluation: Evaluation
    cotangents: tuple[torch.Tensor, ...]
    direct: torch.Tensor | None


def pull_back(
    outputs: Sequence[torch.Tensor], leaf: torch.Tensor, cotangents: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return Jᵀ of cotangents by autograd, of the shape of the leaf that the outputs were made from."""
    # A flow without learned split priors has the same volume everywhere: that log-determinant has no graph.
    pairs = [(out, w) for out, w in zip(outputs, cotangents, strict=True) if out.requires_grad]
    (grad,) = torch.autograd.grad([out for out, _ in pairs], leaf, [w for _, w in pairs])
    return grad
