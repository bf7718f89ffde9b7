"""What a training run is asked for, checked before any image is opened."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...errors import ArgumentError
from ..config import GlowConfig, first_problem
from .growth import check_growth
from .sampling import Noise

DEFAULTS: dict[str, Any] = {
    "size": 64,
    "levels": 4,
    "steps": 8,
    "hidden": 64,
    "coupling": "additive",
    "split_prior": "conditional",
    "bits": 8,
}
"""The architecture where neither an option nor an initial prior says otherwise."""

MAX_BITS = 8
"""Images are kept as bytes."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options of :func:`~flowsolve.flows.training.train`.

    Parameters
    ----------
    data : sequence of path
        Folders, zips and image files to train on.
    out : path
        Folder to write to; made if need be.
    hours : float
        Time to train, counted over all parts of a resumed run; the learning rate falls to 0
        over it.
    size : int, optional
        Side of the crops in pixels, 64 by default.
    levels, steps, hidden, coupling, split_prior, bits
        As in :class:`~flowsolve.flows.GlowConfig`; None stands for what the initial prior or the
        checkpoint has, else for 4, 8, 64, additive, conditional and 8. At most 8 bits.
    init : str or path, optional
        Name or file of a prior to start from.
    validation : path, optional
        Zip or folder to measure bits a dimension on; by default a part of `data` is held out.
    resume : bool
        Whether to go on from the checkpoint in `out`.
    any_size : bool
        Whether the prior is meant for images of any size (trained on crops all the same).
    batch : int
        Images a step, in each process.
    lr : float
        Largest learning rate.
    schedule : {"linear", "cosine"}
        How it falls to 0.
    seed : int
        Seed of the weights, the order of the data, crops, flips and noise.
    threads : int, optional
        Threads to compute with; torch's own number by default.
    device : str
        ``cpu``, ``cuda``, ``cuda:1``; under torchrun ``cuda`` is the device of the local rank.
    bf16 : bool
        Whether the couplings' convolutions compute in bfloat16.
    noise : float
        Standard deviation of Gaussian noise added to the images, in units of their range: the density that is
        learned is that of the noisy images, smoother and easier to optimise through. Bits a dimension are
        then those of the noisy images.
    uniform_noise : float
        Width of uniform noise on [0, width) that is added to the unquantised image in place of the
        dequantisation noise of one grey level; 0 for the latter. 1/32 is what Oberlin and Verm's code
        trains with.
    limit : int, optional
        Use no more than so many training images.
    clip : float
        Largest norm of the gradient of the loss in bits a dimension.
    ema : float
        Decay a step of the averaged weights.
    checkpoint_minutes, validate_minutes : float
        Time between checkpoints, and between validations; shorter in a run of a few minutes.
    max_updates : int, optional
        End after so many steps, even before the time is up; the learning rate falls accordingly.
    terms : str
        Terms of the data, for the prior's card.
    summary : str
        What images the prior is for, for its card.

    Raises
    ------
    ArgumentError
        If a number is out of its range, or an option has no such choice.
    """

    data: Sequence[str | os.PathLike[str]]
    out: str | os.PathLike[str]
    hours: float
    size: int | None = None
    levels: int | None = None
    steps: int | None = None
    hidden: int | None = None
    coupling: str | None = None
    split_prior: str | None = None
    bits: int | None = None
    init: str | os.PathLike[str] | None = None
    validation: str | os.PathLike[str] | None = None
    resume: bool = False
    any_size: bool = False
    batch: int = 32
    lr: float = 1e-3
    schedule: str = "linear"
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    bf16: bool = False
    noise: float = 0.0
    uniform_noise: float = 0.0
    limit: int | None = None
    clip: float = 100.0
    ema: float = 0.998
    checkpoint_minutes: float = 3.0
    validate_minutes: float = 5.0
    max_updates: int | None = None
    terms: str = "unknown"
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.data:
            raise ArgumentError("data", "nothing", "folders or zips of images")
        for name in ("hours", "lr", "clip", "checkpoint_minutes", "validate_minutes"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ArgumentError(name, value, "a finite number > 0")
        for name in ("batch", "threads", "limit", "max_updates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(name, value, "an integer >= 1")
        for name in ("noise", "uniform_noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ArgumentError(name, value, "a finite number >= 0")
        if not 0 <= self.ema < 1:
            raise ArgumentError("ema", self.ema, "a number in [0, 1)")
        if not 0 <= self.seed < 2**63:
            raise ArgumentError("seed", self.seed, "an integer from 0 to 2**63 - 1")
        if self.schedule not in ("linear", "cosine"):
            raise ArgumentError("schedule", repr(self.schedule), "'linear' or 'cosine'")
        if self.bits is not None and not 1 <= self.bits <= MAX_BITS:
            raise ArgumentError("bits", self.bits, f"an integer from 1 to {MAX_BITS}")
        if self.init is None and not self.resume:
            self.architecture()

    def added_noise(self) -> Noise:
        """Return what noise the images get."""
        return Noise(self.noise, self.uniform_noise)

    def architecture(self, base: GlowConfig | None = None, *, grown: bool = False) -> GlowConfig:
        """Return the architecture to train.

        Parameters
        ----------
        base : GlowConfig, optional
            That of the initial prior or of the checkpoint, if there is one.
        grown : bool
            Whether the options may ask for more than `base` has (:mod:`.growth` says how much).

        Raises
        ------
        ArgumentError
            If an option contradicts `base`, or the numbers make no Glow.
        """
        values = dict(DEFAULTS)
        if base is not None:
            values |= {name: getattr(base, name) for name in DEFAULTS if name != "size"}
            if base.size is not None and base.size[0] == base.size[1]:
                values["size"] = base.size[0]
        for name in DEFAULTS:
            given = getattr(self, name)
            if given is None:
                continue
            # The weights depend neither on the size of the images nor on their bits.
            fixed = base is not None and not grown and name not in ("size", "bits")
            if fixed and given != values[name]:
                raise ArgumentError(name, given, f"{values[name]}, as the weights to go on from have")
            values[name] = given
        if values["bits"] > MAX_BITS:
            raise ArgumentError("bits", values["bits"], f"an integer from 1 to {MAX_BITS}")
        size = values.pop("size")
        try:
            config = GlowConfig(**values)
        except ValidationError as error:
            name, _, accepted = first_problem(error).partition(": ")
            raise ArgumentError(name, getattr(self, name, "this"), accepted) from None
        if not config.accepts(size, size):
            raise ArgumentError("size", size, f"a multiple of 2**levels = {config.multiple}")
        if base is not None:
            check_growth(base, config)
        any_size = self.any_size or (base is not None and base.size is None)
        return config if any_size else config.model_copy(update={"image_size": size})

    def crop_size(self, config: GlowConfig) -> int:
        """Return the side in pixels of the crops that train `config`."""
        if config.size is not None:
            return config.size[0]
        return DEFAULTS["size"] if self.size is None else self.size

    def command(self) -> str:
        """Return the command line, with file names free of their folders, for the prior's card."""
        words = ["flowsolve", "train", *(Path(path).name for path in self.data)]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("data", "out", "resume", "terms", "summary") or value == field.default:
                continue
            if field.name in ("init", "validation"):
                value = Path(value).name
            flag = f"--{field.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        return " ".join(words)
