"""Make a larger Glow that computes what a smaller one does, so that training goes on from there.

Wider couplings, more steps, affine in place of additive couplings and conditional in place of
standard split priors are each written so that the flow's output does not change (the idea of
Chen, Goodfellow and Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import ArgumentError
from ..config import FOREIGN_FIELDS, GlowConfig
from ..glow import Glow, Level
from ..layers import SCALE_SHIFT, Coupling, FlowStep

UNTRAINED_SCALE = 1 / (1 + math.exp(-SCALE_SHIFT))
"""What an affine coupling multiplies by before it is trained."""


def check_growth(source: GlowConfig, target: GlowConfig) -> None:
    """Refuse an architecture that :func:`grow` cannot reach.

    Parameters
    ----------
    source, target : GlowConfig
        The architecture of the weights, and the one asked for.

    Raises
    ------
    ArgumentError
        If the target is smaller in some number, has other levels or channels, or a simpler
        coupling or split prior.
    """
    for name in ("channels", "levels", *FOREIGN_FIELDS):
        here, there = getattr(source, name), getattr(target, name)
        if here != there:
            raise ArgumentError(name, there, f"{here}, as the weights to go on from have")
    for name in ("steps", "hidden"):
        here, there = getattr(source, name), getattr(target, name)
        if there < here:
            raise ArgumentError(name, there, f"at least {here}, as the weights to go on from have")
    for name, larger in (("coupling", "affine"), ("split_prior", "conditional")):
        here, there = getattr(source, name), getattr(target, name)
        if here != there and there != larger:
            raise ArgumentError(name, repr(there), f"{here!r}, as the weights to go on from have")
    rescaled = (source.coupling, source.steps) != (target.coupling, target.steps)
    if rescaled and (target.coupling, target.split_prior) == ("affine", "standard"):
        # Untrained affine couplings scale, and a standard split prior cannot undo it.
        given = "new affine couplings with standard split priors"
        raise ArgumentError("coupling", given, "split_prior='conditional' with new affine couplings")


@torch.no_grad()
def grow(source: Glow, config: GlowConfig, seed: int = 0) -> Glow:
    """Return a Glow of a larger architecture with the same output as `source`.

    Parameters
    ----------
    source : Glow
        The weights to go on from.
    config : GlowConfig
        The architecture to reach: at least as many steps and hidden channels; affine couplings
        in place of additive ones, and conditional split priors in place of standard ones, are
        possible too.
    seed : int
        Seed of the new weights that do not count yet.

    Returns
    -------
    Glow

    Raises
    ------
    ArgumentError
        As for :func:`check_growth`.
    """
    check_growth(source.config, config)
    target = Glow(config, seed=seed)
    # Buffers and parameters alike start from the source's precision.
    target.to(next(source.parameters()).dtype)
    for old, new in zip(source.levels, target.levels, strict=True):
        _grow_level(old, new, config.coupling != source.config.coupling)  # type: ignore[arg-type]
    return target


def _grow_level(old: Level, new: Level, to_affine: bool) -> None:
    for index, step in enumerate(new.steps):
        if index < len(old.steps):
            _grow_step(old.steps[index], step)  # type: ignore[arg-type]
        else:
            _make_identity(step)  # type: ignore[arg-type]
    if old.split_prior is not None and new.split_prior is not None:
        new.split_prior.load_state_dict(old.split_prior.state_dict())
    if not new.steps[0].coupling.affine:  # type: ignore[union-attr]
        return
    # An untrained affine coupling scales the half that it changes: what follows undoes it.
    kept = len(old.steps) if not to_affine else 0
    for index in range(kept, len(new.steps)):
        if index + 1 < len(new.steps):
            _undo_scale_in_actnorm(new.steps[index + 1])  # type: ignore[arg-type]
        else:
            _undo_scale_in_split(new)


def _grow_step(old: FlowStep, new: FlowStep) -> None:
    new.actnorm.load_state_dict(old.actnorm.state_dict())
    new.conv1x1.load_state_dict(old.conv1x1.state_dict())
    _grow_coupling(old.coupling, new.coupling)


def _grow_coupling(old: Coupling, new: Coupling) -> None:
    width = old.conv1.out_channels
    # The translation is the last part of the network's output; scales before it stay 0.
    changed = slice(new.conv3.out_channels - old.conv3.out_channels, None)
    new.conv1.weight[:width] = old.conv1.weight
    _bias(new.conv1)[:width] = _bias(old.conv1)
    # What was there must not hear the new channels, and the new channels must not be heard yet.
    new.conv2.weight[:width] = 0
    new.conv2.weight[:width, :width] = old.conv2.weight
    _bias(new.conv2)[:width] = _bias(old.conv2)
    new.conv3.weight[changed, :width] = old.conv3.weight
    _bias(new.conv3)[changed] = _bias(old.conv3)
    new.log_gain[changed] = old.log_gain


def _make_identity(step: FlowStep) -> None:
    mixing = step.conv1x1
    mixing.permutation.copy_(torch.eye(len(mixing.sign)))
    mixing.sign.fill_(1)
    for parameter in mixing.parameters():
        parameter.zero_()


def _undo_scale_in_actnorm(step: FlowStep) -> None:
    half = len(step.actnorm.bias) // 2
    step.actnorm.log_scale[half:] -= math.log(UNTRAINED_SCALE)
    step.actnorm.bias[half:] *= UNTRAINED_SCALE


def _undo_scale_in_split(level: Level) -> None:
    split = level.split_prior
    assert split is not None  # check_growth refuses the rest
    channels = split.out_channels // 2
    # What a level puts out is the scaled half; the last level puts out both halves.
    first = channels // 2 if level.last else 0
    mean, log_std = slice(first, channels), slice(channels + first, None)
    split.weight[mean] *= UNTRAINED_SCALE
    _bias(split)[mean] *= UNTRAINED_SCALE
    _bias(split)[log_std] += math.log(UNTRAINED_SCALE)


def _bias(layer: torch.nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
