"""What came of a run: the report to the caller, and the card of the prior."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..checkpoints import PriorCard
from .distributed import World
from .options import TrainingOptions
from .state import TrainingState


@dataclass(frozen=True)
class TrainingReport:
    """What came of a run.

    Attributes
    ----------
    prior : Path
        The prior's file.
    steps, images : int
        Steps and image views, over all parts of a resumed run.
    seconds : float
        Time spent.
    first_bits, bits : float or None
        Validation bits a dimension before the first step and now, of the averaged weights.
    train_images, validation_images : int
        How many there are.
    skipped_files : list of str
        Files left out, with reasons.
    skipped_steps, rollbacks : int
        Steps that were no numbers, and returns to a checkpoint.
    interrupted : bool
        Whether it was told to stop before its time; it can be resumed.
    """

    prior: Path
    steps: int
    images: int
    seconds: float
    first_bits: float | None
    bits: float | None
    train_images: int
    validation_images: int
    skipped_files: list[str] = field(default_factory=list)
    skipped_steps: int = 0
    rollbacks: int = 0
    interrupted: bool = False


def make_card(
    options: TrainingOptions, state: TrainingState, described: str, command: str, size: int, world: World
) -> PriorCard:
    """Return the card of the prior that a run has trained up to now.

    Parameters
    ----------
    options : TrainingOptions
        Terms and summary.
    state : TrainingState
        How far the run is.
    described : str
        Names and numbers of the images.
    command : str
        Command line that began the run.
    size : int
        Side of the crops in pixels.
    world : World
        The processes.
    """
    counters = state.counters
    kind = "images of any size" if state.config.size is None else f"{size}x{size} images"
    where = f"{world.size} x {world.device.type}"
    training = (
        f"{described}. {counters.images} image views of {size}x{size} pixels in "
        f"{counters.seconds / 3600:.3g} hours on {where}; {counters.updates} steps. Command: {command}"
    )
    return PriorCard(
        summary=options.summary or f"Glow for {kind}",
        training=training,
        terms=options.terms,
        bits_per_dim=counters.bits,
        noise_sigma=options.noise,
        noise_width=options.uniform_noise or None,
    )
