"""A flow with its split outputs as they are, not standardised: the latents of Oberlin & Verm's code.

A level puts out values whose mean and deviation the flow predicts; `FlowPrior` standardises them, so that its
latents are standard normal. Without that step the map is still invertible, with the same couplings.
"""

from __future__ import annotations

import copy

from .checkpoints import PriorCard
from .config import GlowConfig
from .prior import FlowPrior, GlowPrior

PREFIX = "raw:"
"""Before the name or path of a prior: the same flow with raw latents."""


def has_raw_latents(prior: FlowPrior) -> bool:
    """Return whether a prior standardises what its levels put out, so that its raw latents are others."""
    return isinstance(prior, GlowPrior) and prior.config.split_prior != "standard"


def raw_prior(prior: FlowPrior) -> FlowPrior:
    """Return the flow of a prior whose latents are the levels' raw outputs.

    Parameters
    ----------
    prior : FlowPrior
        A prior; one that does not standardise what its levels put out has raw latents already.

    Returns
    -------
    FlowPrior
        Named, and found by `load_prior`, as the given one with ``raw:`` before it; on its device, in its
        dtypes and with its memory mode.
    """
    if not has_raw_latents(prior):
        return prior
    assert isinstance(prior, GlowPrior)
    glow = copy.deepcopy(prior.glow)
    options = prior.config.model_dump() | {"split_prior": "standard"}
    glow.config = GlowConfig(**options)
    for level in glow.levels:
        level.split_prior = None  # type: ignore[assignment]
    raw = GlowPrior(
        glow,
        name=PREFIX + prior.name,
        source=None if prior.source is None else PREFIX + prior.source,
        card=PriorCard(terms=prior.card.terms),
        device=prior.device,
        dtype=prior.dtype,
        memory=prior.memory,
        coupling_dtype=prior.coupling_dtype,
    )
    raw = raw.tied() if prior.channels < prior.config.channels else raw
    return raw if prior.config.size is not None or prior.any_size else raw.at_size(*prior.image_shape[1:])
