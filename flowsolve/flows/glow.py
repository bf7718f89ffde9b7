"""Glow: the network that trains, and whose ``state_dict`` is what a checkpoint holds.

Solvers do not run this form: :class:`~flowsolve.flows.inference.FrozenGlow` computes the
same map several times faster, once nothing trains any more.

The architecture is that of Kingma and Dhariwal, "Glow: Generative flow with invertible 1x1
convolutions", NeurIPS 2018, with the latents of every level standardised by learned,
conditional means and deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from .config import GlowConfig
from .coupling import CouplingRule
from .layers import FlowStep, conv_bordered, squeeze, sum_image, unsqueeze

SHIFT = 0.5
"""Images in [0, 1] are shifted to [-0.5, 0.5] before the first level."""


def standard_normal_log_prob(latents: Sequence[Tensor]) -> Tensor:
    """Return the log-density (N,) of standard normal latents, a list of tensors (N, ...)."""
    flat = [z.flatten(1) for z in latents]
    dimension = sum(z.shape[1] for z in flat)
    squares = torch.stack([z.square().sum(1) for z in flat]).sum(0)
    return -0.5 * (squares + dimension * math.log(2 * math.pi))


class Level(nn.Module):
    """One scale of the flow: squeeze, steps, and a split whose second half is put out.

    Parameters
    ----------
    config : GlowConfig
        The flow's architecture.
    level : int
        Which level this is; the last one puts out everything.
    """

    def __init__(self, config: GlowConfig, level: int) -> None:
        super().__init__()
        channels = config.level_channels(level)
        self.last = level == config.levels - 1
        self.border = config.border
        rule = CouplingRule.of(config, level)
        self.steps = nn.ModuleList(
            FlowStep(channels, config.hidden, rule, config.border) for _ in range(config.level_steps(level))
        )
        self.split_prior: nn.Conv2d | None = None
        if config.split_prior == "conditional":
            # The last level's convolution runs on zeros, so only its bias counts (unless ones stand
            # around them); it keeps the other levels' form so that all levels' tensors are named and
            # shaped alike.
            kept = channels if self.last else channels // 2
            self.split_prior = nn.Conv2d(kept, 2 * kept, 3, padding=1, dtype=torch.float32)
            nn.init.zeros_(self.split_prior.weight)
            nn.init.zeros_(self.split_prior.bias)  # type: ignore[arg-type]

    def moments(self, kept: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
        """Return mean and log-deviation of what is put out, or None where they are 0 and 0.

        Parameters
        ----------
        kept : Tensor or None
            The half that goes on, (N, C, H, W); None at the last level.
        size : (int, int)
            Height and width of what is put out.

        Returns
        -------
        tuple of Tensor or None
            Each (N, C, H, W); at the last level (1, C, 1, 1), or (1, C, H, W) with a border of 1.
        """
        if self.split_prior is None:
            return None
        weight, bias = self.split_prior.weight, self.split_prior.bias
        if kept is not None:
            out = conv_bordered(kept, weight, bias, self.border)
        elif self.border:
            out = conv_bordered(weight.new_zeros(1, weight.shape[1], *size), weight, bias, self.border)
        else:
            out = bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
        mean, log_std = out.chunk(2, 1)
        return mean, log_std

    def forward(self, h: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return what goes on (None at the last level), the latent put out and the log-det (N,)."""
        h = squeeze(h)
        log_det = h.new_zeros(h.shape[0])
        for step in self.steps:
            h, change = step(h)
            log_det = log_det + change
        kept, out = (None, h) if self.last else h.chunk(2, 1)
        moments = self.moments(kept, (h.shape[-2], h.shape[-1]))
        if moments is not None:
            mean, log_std = moments
            out = (out - mean) * torch.exp(-log_std)
            log_det = log_det - sum_image(log_std.expand_as(out))
        return kept, out, log_det

    def inverse(self, kept: Tensor | None, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Undo :meth:`forward`; returns the level's input and the log-det (N,) of the inverse."""
        log_det = latent.new_zeros(latent.shape[0])
        moments = self.moments(kept, (latent.shape[-2], latent.shape[-1]))
        if moments is not None:
            mean, log_std = moments
            log_det = log_det + sum_image(log_std.expand_as(latent))
            latent = mean + latent * torch.exp(log_std)
        h = latent if kept is None else torch.cat([kept, latent], 1)
        for step in reversed(self.steps):
            h, change = step.inverse(h)  # type: ignore[operator]
            log_det = log_det + change
        return unsqueeze(h), log_det


class Glow(nn.Module):
    """A Glow with standardised latents, ready to train.

    Parameters
    ----------
    config : GlowConfig
        The architecture.
    seed : int, optional
        Seed of the initial weights; torch's global random state is left as it was. With None
        the weights are drawn from, and advance, the global state.

    Examples
    --------
    >>> glow = Glow(GlowConfig(image_size=8, levels=2, steps=1, hidden=4), seed=0)
    >>> latents, log_det = glow(torch.rand(5, 3, 8, 8))
    >>> [tuple(z.shape) for z in latents], tuple(log_det.shape)
    ([(5, 6, 4, 4), (5, 24, 2, 2)], (5,))
    """

    def __init__(self, config: GlowConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        if seed is None:
            self.levels = self._make_levels()
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.levels = self._make_levels()

    def _make_levels(self) -> nn.ModuleList:
        return nn.ModuleList(Level(self.config, level) for level in range(self.config.levels))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode images.

        Parameters
        ----------
        x : Tensor
            Images (N, C, H, W) in [0, 1].

        Returns
        -------
        latents : list of Tensor
            Standardised latents, level 0 first, with the shapes of
            :meth:`GlowConfig.latent_shapes`; standard normal under the model.
        log_det : Tensor
            log|det| of the Jacobian of the latents with respect to x, (N,).

        Raises
        ------
        ArgumentError
            If `x` does not have the configuration's channels, or a size it accepts.
        """
        self._check(x)
        h: Tensor | None = x - SHIFT
        latents = []
        log_det = x.new_zeros(x.shape[0])
        for level in self.levels:
            h, latent, change = level(h)
            latents.append(latent)
            log_det = log_det + change
        return latents, log_det

    def inverse(self, latents: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Decode latents: the inverse of :meth:`forward`.

        Parameters
        ----------
        latents : sequence of Tensor
            As :meth:`forward` returns them.

        Returns
        -------
        x : Tensor
            Images (N, C, H, W).
        log_det : Tensor
            log|det| of the Jacobian of x with respect to the latents, (N,).

        Raises
        ------
        ArgumentError
            If there are not as many latents as levels.
        """
        if len(latents) != len(self.levels):
            raise ArgumentError("latents", f"{len(latents)} tensors", f"{len(self.levels)}, one a level")
        h: Tensor | None = None
        log_det = latents[0].new_zeros(latents[0].shape[0])
        for level, latent in zip(reversed(self.levels), reversed(latents), strict=True):
            h, change = level.inverse(h, latent)  # type: ignore[operator]
            log_det = log_det + change
        assert h is not None
        return h + SHIFT, log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the natural log-density (N,) of images (N, C, H, W) in [0, 1]."""
        latents, log_det = self(x)
        return standard_normal_log_prob(latents) + log_det

    @torch.no_grad()
    def initialise(self, batch: Tensor) -> None:
        """Set every ActNorm from a batch, so that each one puts out mean 0 and deviation 1.

        Call it once, before training.

        Parameters
        ----------
        batch : Tensor
            Images (N, C, H, W) in [0, 1]; as many as memory allows.
        """
        self._check(batch)
        h = batch - SHIFT
        for level in self.levels:
            h = squeeze(h)
            for step in level.steps:  # type: ignore[union-attr]
                step.actnorm.initialise(h)
                h, _ = step(h)
            if not level.last:
                h = h.chunk(2, 1)[0]

    def _check(self, x: Tensor) -> None:
        config = self.config
        if x.ndim != 4 or x.shape[1] != config.channels or not config.accepts(x.shape[2], x.shape[3]):
            accepted = f"(N, {config.channels}, H, W), H and W multiples of {config.multiple}"
            raise ArgumentError("x", f"shape {tuple(x.shape)}", accepted)
