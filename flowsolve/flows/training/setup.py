"""What has to be there before the first step: a folder, the images, the network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...files import target
from ..config import GlowConfig
from ..glow import Glow
from ..prior import GlowPrior
from ..zoo import load_prior
from .checkpoint import DOCUMENT, read_document
from .data import ImageStore, read_store
from .files import writing
from .growth import grow
from .options import TrainingOptions

PRIOR, LOG, SAMPLES, CHECKPOINT = "prior.safetensors", "train.json", "samples.png", "checkpoint"

VALIDATION_IMAGES = 500
"""Most images that a validation looks at."""

HELD_OUT = 20
"""One in so many training images is held out where no validation images are given."""


@dataclass(frozen=True)
class Images:
    """The images of a run.

    Attributes
    ----------
    train, validation : ImageStore
        What is trained on, and what is measured on.
    skipped : list of str
        Files left out, with reasons.
    described : str
        Names and numbers, for the prior's card.
    """

    train: ImageStore
    validation: ImageStore
    skipped: list[str]
    described: str

    def fingerprint(self) -> str:
        """Return what tells these images from others."""
        return self.train.fingerprint() + self.validation.fingerprint()


def prepare_folder(options: TrainingOptions) -> dict[str, Any] | None:
    """Make the output folder, and read the document of its checkpoint if a run is resumed.

    Returns
    -------
    dict or None
        The document; None where nothing is resumed.

    Raises
    ------
    ArgumentError
        If the folder cannot be written to, has a run in it that is not to be resumed or none that could
        be, or a file of the run is something that is no regular file.
    CheckpointError
        If the checkpoint is damaged.
    """
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise ArgumentError("out", f"{out}, which is a file", "a folder, which need not exist")
    checkpoint = out / CHECKPOINT
    for name in (PRIOR, LOG, SAMPLES, f"{CHECKPOINT}/{DOCUMENT}"):
        target(out / name, "out")
    if options.resume:
        if not (checkpoint / DOCUMENT).is_file():
            raise ArgumentError("resume", f"{out}, which has no checkpoint", "the folder of an earlier run")
        return read_document(checkpoint)
    there = [name for name in (PRIOR, LOG, f"{CHECKPOINT}/{DOCUMENT}") if (out / name).exists()]
    if there:
        given = f"{out}, which has a run in it ({', '.join(there)})"
        raise ArgumentError("out", given, "a folder without a run, or --resume to go on with this one")
    with writing(out):
        checkpoint.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    return None


def read_images(
    options: TrainingOptions, size: int, writable: bool, tell: Callable[[int, int], None]
) -> Images:
    """Decode the images to train and to validate on.

    Parameters
    ----------
    options : TrainingOptions
        Where they are.
    size : int
        Side of the crops.
    writable : bool
        Whether the output folder may be used for what does not fit in memory; else the
        system's folder for temporary files is.
    tell : callable
        As for :func:`~flowsolve.flows.training.data.read_store`.

    Raises
    ------
    ArgumentError
        If there is no image that can be used.
    """
    spill = Path(options.out) if writable else Path(tempfile.gettempdir())
    store = read_store(options.data, size, spill, limit=options.limit, tell=tell)
    names = ", ".join(Path(path).name for path in options.data)
    skipped = list(store.skipped)
    if options.validation is not None:
        validation = read_store(
            [options.validation], size, spill, limit=VALIDATION_IMAGES, argument="validation"
        )
        skipped += validation.skipped
        measured = f"{len(validation)} of {Path(options.validation).name}"
    else:
        held = min(VALIDATION_IMAGES, max(1, len(store) // HELD_OUT))
        chosen = {int(i) for i in np.linspace(0, len(store) - 1, held).round()}
        validation = store.subset(sorted(chosen))
        measured = f"{len(validation)} held out of them"
        if len(store) > len(chosen):
            store = store.subset([i for i in range(len(store)) if i not in chosen])
        else:
            measured = "the training images themselves"
    described = f"{len(store)} images of {names}; validation: {measured}"
    return Images(store, validation, skipped, described)


def initial_network(options: TrainingOptions, document: dict[str, Any] | None) -> tuple[Glow, bool]:
    """Return the network to train, and whether its weights are random.

    Parameters
    ----------
    options : TrainingOptions
        What is asked for.
    document : dict or None
        Document of the checkpoint to resume, whose tensors are loaded later.

    Raises
    ------
    ArgumentError
        If the options contradict the checkpoint or the initial prior, or the latter is unknown.
    CheckpointError
        If the initial prior cannot be read.
    """
    if document is not None:
        return Glow(options.architecture(GlowConfig.model_validate(document["architecture"]))), False
    if options.init is None:
        return Glow(options.architecture(), seed=options.seed), True
    prior = load_prior(options.init)
    if not isinstance(prior, GlowPrior):
        raise ArgumentError("init", f"{options.init}, which is no Glow", "a Glow")
    source = prior.glow
    if source.config.channels != 3:
        raise ArgumentError("init", f"{options.init} with {source.config.channels} channels", "3 channels")
    return grow(source, options.architecture(source.config, grown=True), options.seed), False
