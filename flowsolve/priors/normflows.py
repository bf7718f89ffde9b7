"""Flows of normflows (Stimper et al., "normflows: A PyTorch package for normalizing flows", JOSS 2023)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, UnsupportedError
from .adapted_flow import AdaptedFlow


class NormflowsPrior(AdaptedFlow):
    """A ``normflows.NormalizingFlow`` or ``MultiscaleFlow`` as a prior.

    Parameters
    ----------
    flow : normflows.NormalizingFlow or normflows.MultiscaleFlow
        The trained flow; copied and frozen. Its base must be ``DiagGaussian`` or ``GlowBase``, without
        classes.
    image_shape, vectors, scale, offset, **options
        See `flowsolve.priors.adapted_flow.AdaptedFlow`.

    Raises
    ------
    UnsupportedError
        If normflows is not installed.
    ArgumentError
        If it is no such flow, or its base is another one.

    Examples
    --------
    >>> import normflows as nf
    >>> def coupling():
    ...     return nf.flows.AffineCouplingBlock(nf.nets.MLP([96, 32, 192], init_zeros=True))
    >>> blocks = [coupling(), nf.flows.Permute(192, mode="swap"), coupling()]
    >>> flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(192), blocks)
    >>> prior = NormflowsPrior(flow, (3, 8, 8), vectors=True, offset=-0.5)
    >>> x = prior.sample(2, seed=0)
    >>> x.shape, bool((prior.decode(prior.encode(x)) - x).abs().max() < 1e-4)
    (torch.Size([2, 3, 8, 8]), True)
    """

    def __init__(self, flow: nn.Module, image_shape: tuple[int, int, int], **options: Any) -> None:
        normflows = _normflows()
        if not isinstance(flow, normflows.NormalizingFlow | normflows.MultiscaleFlow):
            raise ArgumentError(
                "flow", type(flow).__name__, "a normflows.NormalizingFlow or normflows.MultiscaleFlow"
            )
        self._several = isinstance(flow, normflows.MultiscaleFlow)
        bases = list(flow.q0) if self._several else [flow.q0]
        for base in bases:
            _check_base(base, normflows)
        # The library's levels begin with the coarsest.
        self._shapes = [tuple(base.shape) for base in reversed(bases)]
        if sum(map(math.prod, self._shapes)) != math.prod(image_shape):
            raise ArgumentError("image_shape", image_shape, f"the shape of images of {self._shapes} latents")
        super().__init__(flow, image_shape, **options)

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each level's latent, the finest level first."""
        return list(self._shapes)

    @property
    def _flow(self) -> Any:
        return self.function

    def _moments(self) -> list[tuple[Tensor, Tensor]]:
        """Return mean and logarithm of the deviation of each level's latent, finest first."""
        bases = list(reversed(self._flow.q0)) if self._several else [self._flow.q0]
        return [_moments_of(base) for base in bases]

    def _to_noise(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        if self._several:
            raw, total = self._flow.inverse_and_log_det(x)
            raw = list(reversed(raw))
        else:
            # Flow by flow: the library sums log-determinants in float32 whatever the dtype.
            total = x.new_zeros(len(x))
            for flow in reversed(self._flow.flows):
                x, change = flow.inverse(x)
                total = total + change
            raw = [x]
        moments = self._moments()
        levels = [(z - mean) * torch.exp(-log) for z, (mean, log) in zip(raw, moments, strict=True)]
        return levels, total - _volume(levels, moments)

    def _from_noise(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        moments = self._moments()
        raw = [mean + torch.exp(log) * z for z, (mean, log) in zip(levels, moments, strict=True)]
        if self._several:
            x, total = self._flow.forward_and_log_det(list(reversed(raw)))
        else:
            x, total = raw[0], raw[0].new_zeros(len(raw[0]))
            for flow in self._flow.flows:
                x, change = flow(x)
                total = total + change
        return x, total + _volume(levels, moments)


def _normflows() -> Any:
    try:
        import normflows
    except ImportError as error:
        raise UnsupportedError("normflows: not installed; pip install normflows") from error
    return normflows


def _check_base(base: nn.Module, normflows: Any) -> None:
    distributions = normflows.distributions
    known = isinstance(base, distributions.DiagGaussian | distributions.GlowBase)
    if not known or getattr(base, "class_cond", False):
        accepted = "one whose base is DiagGaussian or GlowBase, without classes"
        raise ArgumentError("flow", f"a flow with the base {type(base).__name__}", accepted)


def _moments_of(base: Any) -> tuple[Tensor, Tensor]:
    if not hasattr(base, "loc_logs"):
        return base.loc, base.log_scale
    factor = base.logscale_factor
    return base.loc * torch.exp(base.loc_logs * factor), base.log_scale * torch.exp(
        base.log_scale_logs * factor
    )


def _volume(levels: list[Tensor], moments: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the sum of the logarithms of the deviations over all values."""
    sums = [log.expand_as(z[:1]).sum() for z, (_, log) in zip(levels, moments, strict=True)]
    return torch.stack(sums).sum()
