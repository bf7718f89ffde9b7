"""Adam, the solver of the seed paper's code, one learning rate for every image."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UnsupportedError
from ..objectives.base import Objective, sum_squares
from ..objectives.batch import per_image
from .base import Solver, State, register_solver, require_choice, require_positive, zeros
from .units import from_cosines, to_cosines


@dataclass
class AdamState(State):
    """State of Adam: running moments of the gradient and the number of steps."""

    first: torch.Tensor
    second: torch.Tensor
    taken: torch.Tensor


@register_solver("adam")
@dataclass(frozen=True)
class Adam(Solver):
    """Adam: moment-scaled gradient steps (Kingma & Ba, ICLR 2015).

    Parameters
    ----------
    lr : float, optional
        Learning rate, in units of the variable; unless given, 0.1 over latents (the papers' choice) and 0.01
        over images, whose range is [0, 1].
    beta1, beta2 : float
        Decay rates of the first and second moments.
    eps : float
        Floor of the denominator.
    schedule : {"constant", "cosine"}
        ``cosine`` lowers the learning rate to a hundredth over `horizon` steps.
    horizon : int
        Steps over which the learning rate falls.
    basis : {"pixels", "cosines"}
        What the moments are taken of: the variable itself, or, over images, its cosine transform. Adam's
        scale is one number a coordinate, so it depends on what the coordinates are; a blur bends each
        frequency differently and all pixels alike.
    """

    state_type = AdamState
    takes_fields = True

    lr: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: str = "constant"
    horizon: int = 400
    basis: str = "pixels"

    def __post_init__(self) -> None:
        if self.lr is not None:
            require_positive("lr", self.lr)
        require_positive("beta1", self.beta1, below=1, zero=True)
        require_positive("beta2", self.beta2, below=1, zero=True)
        require_positive("eps", self.eps)
        require_choice("schedule", self.schedule, ("constant", "cosine"))
        require_positive("horizon", self.horizon)
        require_choice("basis", self.basis, ("pixels", "cosines"))

    def init(self, objective: Objective, u: torch.Tensor) -> AdamState:
        """Evaluate the start; moments are zero."""
        objective.require_smooth("adam")
        if self.basis == "cosines" and u.ndim != 4:
            raise UnsupportedError(
                "basis: 'cosines' is for images; over latents use basis='pixels', or the analysis objective"
            )
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        norm = sum_squares(evaluation.grad).sqrt()
        moments = torch.zeros_like(u)
        return AdamState(u, evaluation, zeros(u), norm, zeros(u).bool(), moments, moments.clone(), zeros(u))

    def step(self, objective: Objective, state: State) -> AdamState:
        """Take one Adam step."""
        assert isinstance(state, AdamState) and state.evaluation.grad is not None
        cosines = self.basis == "cosines"
        grad = to_cosines(state.evaluation.grad) if cosines else state.evaluation.grad
        first = self.beta1 * state.first + (1 - self.beta1) * grad
        second = self.beta2 * state.second + (1 - self.beta2) * grad.square()
        taken = state.taken + 1
        # Each image counts its own: around this solver, a continuation starts them anew one by one.
        rate = self._rate(objective, taken)
        mean, square = (
            moment / per_image(1 - beta**taken, moment)
            for beta, moment in ((self.beta1, first), (self.beta2, second))
        )
        direction = mean / (square.sqrt() + self.eps)
        u = state.u - per_image(rate, direction) * (from_cosines(direction) if cosines else direction)
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        norm = sum_squares(evaluation.grad).sqrt()
        return AdamState(u, evaluation, rate, norm, state.failed, first, second, taken)

    def _rate(self, objective: Objective, taken: torch.Tensor) -> torch.Tensor:
        lr = self.lr if self.lr is not None else (0.1 if objective.name == "synthesis" else 0.01)
        if self.schedule == "constant":
            return torch.full_like(taken, lr)
        progress = (taken / self.horizon).clamp(max=1)
        return lr * (0.01 + 0.99 * 0.5 * (1 + torch.cos(torch.pi * progress)))
