"""Everything that changes while a flow trains: weights, their average, Adam's moments, counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import GlowConfig
from ..glow import Glow


@dataclass
class Counters:
    """How far a run is.

    Parameters
    ----------
    step : int
        Steps tried, with those that were skipped.
    images : int
        Image views used; also the state of the run's random numbers.
    seconds : float
        Time spent, over all parts of a resumed run.
    updates : int
        Steps of Adam, which those that were skipped or rolled back are not among.
    lr_factor : float
        What the learning rate is multiplied by; halved by each rollback.
    skipped, rollbacks : int
        How often that happened.
    bits : float or None
        Latest validation bits a dimension.
    first_bits : float or None
        The first, right after the initialisation.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    updates: int = 0
    lr_factor: float = 1.0
    skipped: int = 0
    rollbacks: int = 0
    bits: float | None = None
    first_bits: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the counters as a dictionary for JSON."""
        return asdict(self)


class TrainingState:
    """A Glow that trains, the average of its weights, and the optimiser.

    The optimiser is Adam (Kingma and Ba, ICLR 2015); the average is exponential, with a decay
    that rises to its value over the first steps so that the initial weights do not linger.

    Parameters
    ----------
    glow : Glow
        The network, with the weights to start from; moved to `device` and trained in place.
    device : torch.device
        Where to train.
    decay : float
        Decay of the average a step.
    """

    def __init__(self, glow: Glow, device: torch.device, decay: float) -> None:
        self.config: GlowConfig = glow.config
        self.decay = decay
        self.counters = Counters()
        # Convolutions in this order of memory are faster, on processors too.
        self.glow = glow.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = glow.levels[-1].split_prior
        if last is not None:
            # It runs on zeros, so that it has no gradient, for which DDP would wait.
            last.weight.requires_grad_(False)  # type: ignore[union-attr]
        self.ema = Glow(glow.config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema.requires_grad_(False)
        self.restart_average()
        self.parameters = {name: p for name, p in self.glow.named_parameters() if p.requires_grad}
        averaged = dict(self.ema.named_parameters())
        self._averaged = [averaged[name] for name in self.parameters]
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=0.0, fused=True)
        for parameter in self.parameters.values():
            self.optimiser.state[parameter] = {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def restart_average(self) -> None:
        """Set the averaged weights to the present ones."""
        self.ema.load_state_dict(self.glow.state_dict())

    def update(self, lr: float) -> None:
        """Take one step of Adam along the gradients that are there, and average."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.counters.updates += 1
        updates = self.counters.updates
        decay = min(self.decay, (1 + updates) / (10 + updates))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, list(self.parameters.values()), 1 - decay)

    def exported(self) -> Glow:
        """Return a copy of the averaged network, on the CPU and in the usual order of memory."""
        glow = Glow(self.config)
        glow.load_state_dict(self.ema.state_dict())
        return glow

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor of the state with the name that it has in a checkpoint."""
        for part, network in (("model", self.glow), ("ema", self.ema)):
            for name, tensor in network.state_dict().items():
                yield f"{part}.{name}", tensor
        for name, parameter in self.parameters.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                yield f"adam.{moment}.{name}", self.optimiser.state[parameter][moment]

    def set_updates(self, updates: int) -> None:
        """Set the number of Adam's steps, which its bias correction depends on."""
        self.counters.updates = updates
        for parameter in self.parameters.values():
            self.optimiser.state[parameter]["step"].fill_(updates)
