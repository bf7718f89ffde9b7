"""Small problems on which solvers are checked: a tiny flow, and flows that break or that count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..flows import FlowPrior, Glow, GlowConfig, GlowPrior
from ..objectives import Analysis, Objective, Synthesis
from ..operators import LinearOperator, Mask
from ..priors.terms import LATENTS
from ..problem import InverseProblem, degrade

FORMULATIONS: dict[str, type[Objective]] = {"analysis": Analysis, "synthesis": Synthesis}

SIZE = 8
#: Root-mean-square distance of images from grey, and of latents from 0, at which broken flows break: a third
#: of the way to the solutions of `make_objective`.
BREAKS_AT = {"encode": 0.05, "decode": 0.1}

Fault = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

#: What is done to the output of a map, given the squared distance of its input in units of `BREAKS_AT`.
FAULTS: dict[str, Fault] = {
    "nan": lambda out, t: torch.where(t > 1, torch.nan, out),
    "infinity": lambda out, t: torch.where(t > 1, torch.inf, out),
    # The derivative of the root is infinite where the clamp's is 0: NaN in the gradient alone.
    "nan gradient": lambda out, t: out + 0 * (1 - t).clamp(min=0).sqrt(),
    "exploding gradient": lambda out, t: out * (1 + 1e9 * (t - 1).clamp(min=0)),
    "discontinuous": lambda out, t: out * (1 + 0.3 * torch.floor(2 * t)),
}


def make_glow(seed: int = 3) -> Glow:
    """Return a flow of 3x8x8 images with random weights."""
    shape: dict[str, Any] = {"channels": 3, "image_size": SIZE, "levels": 2, "steps": 1, "hidden": 4}
    glow = Glow(GlowConfig(**shape), seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.05)
    return glow


class FaultyPrior(GlowPrior):
    """A prior whose maps misbehave away from grey images and from the zero latent.

    Parameters
    ----------
    fault : str
        A key of `FAULTS`.
    """

    def __init__(self, fault: str, **options: Any) -> None:
        super().__init__(make_glow(), name=fault, dtype=torch.float64, **options)
        self.fault = FAULTS[fault]

    def encode(self, x: torch.Tensor, log_det: bool = False) -> Any:
        """Return the latents, spoilt."""
        away = (x - 0.5).square().mean((-3, -2, -1)) / BREAKS_AT["encode"] ** 2
        out = super().encode(x, log_det=True)
        z = self.fault(out[0], away[..., None])
        return (z, out[1]) if log_det else z

    def decode(self, z: torch.Tensor, log_det: bool = False) -> Any:
        """Return the images, spoilt."""
        away = z.square().mean(-1) / BREAKS_AT["decode"] ** 2
        out = super().decode(z, log_det=True)
        x = self.fault(out[0], away[..., None, None, None])
        return (x, out[1]) if log_det else x


class CountingPrior(GlowPrior):
    """A prior that counts its passes forward and backward, an image each.

    Attributes
    ----------
    calls : collections.Counter
        Passes by the names of `flowsolve.tally.COUNTED`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(make_glow(), name="counting", dtype=torch.float64, **options)
        self.calls: Counter[str] = Counter()

    def encode(self, x: torch.Tensor, log_det: bool = False) -> Any:
        """Return the latents."""
        return self._counted("E", super().encode(x, log_det=True), len(x), log_det)

    def decode(self, z: torch.Tensor, log_det: bool = False) -> Any:
        """Return the images."""
        return self._counted("D", super().decode(z, log_det=True), len(z), log_det)

    def _counted(self, letter: str, out: tuple[torch.Tensor, torch.Tensor], n: int, log_det: bool) -> Any:
        self.calls[letter] += n
        value = _CountBackward.apply(out[0], self.calls, f"vjp_{letter}")
        return (value, out[1]) if log_det else value


class CountingOperator(LinearOperator):
    """A random mask that counts how many images it is applied to.

    Attributes
    ----------
    calls : collections.Counter
        Applications of ``A`` and ``AT``.
    """

    has_closed_form = False

    def __init__(self) -> None:
        mask = make_mask()
        super().__init__(mask.dim_shape, mask.codim_shape)
        self.mask, self.calls = mask, Counter[str]()

    def _apply(self, x: Any) -> Any:
        self.calls["A"] += math.prod(x.shape[:-3])
        return self.mask.apply(x)

    def _adjoint(self, y: Any) -> Any:
        self.calls["AT"] += math.prod(y.shape[:-3])
        return self.mask.adjoint(y)

    def _lipschitz(self) -> tuple[float, str]:
        return 1.0, "exact"


class _CountBackward(torch.autograd.Function):
    """The identity, with a count of the reverse passes."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, calls: Counter[str], name: str) -> torch.Tensor:
        ctx.calls, ctx.name = calls, name
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        ctx.calls[ctx.name] += len(grads[0])
        return grads[0].clone(), None, None


def make_mask() -> LinearOperator:
    """Return a mask that hides 40 % of the pixels."""
    return Mask.random(missing=0.4, dim_shape=(3, SIZE, SIZE), seed=1)


def make_problem(
    n: int = 3, dtype: torch.dtype = torch.float64, operator: LinearOperator | None = None
) -> InverseProblem:
    """Return a problem of n smooth images with noise of standard deviation 0.05."""
    steps = torch.linspace(0, 3, SIZE, dtype=torch.float64)
    row, column = steps[:, None], steps[None]
    images = [
        [0.5 + 0.3 * torch.sin(row * (1 + 0.3 * i) + c) * torch.cos(column + 0.5 * i) for c in range(3)]
        for i in range(n)
    ]
    x = torch.stack([torch.stack(image) for image in images]).to(dtype)
    y = degrade(make_mask(), x, sigma=0.05, seed=0)
    return InverseProblem(make_mask() if operator is None else operator, y, sigma=0.05, x_true=x)


def make_objective(
    formulation: str,
    prior: FlowPrior | None = None,
    dtype: torch.dtype = torch.float64,
    operator: LinearOperator | None = None,
    images: Sequence[int] = (0, 1, 2),
) -> Objective:
    """Return the objective of some of three images, with ``phi="latent"``, whose minimum is positive."""
    prior = GlowPrior(make_glow(), name="tiny", dtype=dtype) if prior is None else prior
    problem = make_problem(dtype=dtype, operator=operator).select(images)
    return FORMULATIONS[formulation](problem, prior, phi="latent")


def make_start(objective: Objective) -> torch.Tensor:
    """Return where every run starts: grey images, or the zero latent."""
    n, y = len(objective), objective.problem.y
    if objective.space == LATENTS:
        return y.new_zeros(n, objective.flow.n)
    return y.new_full((n, *objective.shape), 0.5)
