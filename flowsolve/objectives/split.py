"""A proximal split of an objective, for forward-backward methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .evaluation import Evaluation


@dataclass
class Split:
    """F = f + g with f smooth and g with a proximal operator, for forward-backward methods.

    Attributes
    ----------
    name : str
        Which of an objective's splits this is.
    smooth : callable
        ``smooth(u, gradient=True) -> Evaluation`` of f alone.
    prox : callable
        ``prox(v, tau) -> u`` = argmin g(u) + ‖u − v‖²/(2 tau), tau a float64 tensor of shape (N,).
    nonsmooth : callable
        ``nonsmooth(u) -> (N,)`` value of g, 0 where g is an indicator that u satisfies.
    merge : callable
        ``merge(u, smooth_evaluation) -> Evaluation`` of F at u, reusing what f has computed there.
    has_value, whole_has_value : bool
        Whether f and F have values; where f has none, a step cannot be judged by it.
    """

    name: str
    smooth: Callable[..., Evaluation]
    prox: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    nonsmooth: Callable[[torch.Tensor], torch.Tensor]
    merge: Callable[[torch.Tensor, Evaluation], Evaluation]
    has_value: bool = True
    whole_has_value: bool = True
