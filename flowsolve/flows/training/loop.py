"""The training loop: steps until the time is up, with validations and checkpoints on the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import torch

from ...errors import ArgumentError
from ...threads import use_threads
from ..checkpoints import save_prior
from .checkpoint import load_tensors, save_checkpoint
from .distributed import World, join_world
from .files import writing
from .guard import Guard, Verdict
from .likelihood import BitsPerDim
from .log import Log, Observer, Silent, Status
from .options import TrainingOptions
from .report import TrainingReport, make_card
from .sampling import Prefetcher, Sampler
from .schedule import Every, Schedule, run_progress
from .setup import CHECKPOINT, LOG, PRIOR, SAMPLES, initial_network, prepare_folder, read_images
from .signals import held_signals
from .state import Counters, TrainingState
from .validation import sample_grid, validation_bits, write_grid

LOG_SECONDS = 10.0
"""Time between lines of the log."""

FIRST_BATCH = 256
"""Images that ActNorm is initialised from."""

MAX_ROLLBACKS = 8
"""Roll-backs after which a run gives up."""


def train(options: TrainingOptions, observer: Observer | None = None) -> TrainingReport:
    """Train a Glow on images.

    In ``options.out`` it writes the prior (``prior.safetensors``, averaged weights), ``train.json``
    (JSON lines), ``samples.png`` and ``checkpoint/``. An interruption or a termination signal ends
    it after the step, with a checkpoint. Under torchrun all processes train one network.

    Parameters
    ----------
    options : TrainingOptions
        Images, architecture, time.
    observer : Observer, optional
        Told of what happens.

    Returns
    -------
    TrainingReport

    Raises
    ------
    ArgumentError
        If an option, the images or the output folder cannot be used, if the disk is full (the last
        checkpoint is intact), or if training keeps diverging.
    CheckpointError
        If the checkpoint to resume, or the initial prior, cannot be read.
    """
    if options.threads is not None:
        use_threads(options.threads)
    with join_world(options.device) as world, held_signals() as told:
        return _Run(options, world, observer or Silent(), told).run()


class _Run:
    """One run of :func:`train` in one process."""

    def __init__(
        self, options: TrainingOptions, world: World, observer: Observer, told: threading.Event
    ) -> None:
        self.options, self.world, self.told = options, world, told
        self.observer = observer if world.first else Silent()
        self.out = Path(options.out)
        document = world.by_first(lambda: prepare_folder(options))
        glow, fresh = initial_network(options, document)
        self.config, self.size = glow.config, options.crop_size(glow.config)
        self.images = read_images(options, self.size, world.first, self.observer.reading)
        self.seed = options.seed if document is None else int(document["seed"])
        self.command = options.command() if document is None else str(document["command"])
        self.fingerprint = self.images.fingerprint()
        self.sampler = Sampler(
            self.images.train, self.size, self.config.bits, self.seed, options.added_noise()
        )
        if fresh:
            glow.initialise(self.sampler.batch(0, min(FIRST_BATCH, max(32, len(self.images.train)))))
        self.state = TrainingState(glow, world.device, options.ema)
        self.log = Log(self.out / LOG if world.first else None)
        if document is not None:
            self._resume(document)
        self.budget = 3600 * options.hours
        self.schedule = Schedule(options.lr, options.schedule)
        self.guard = Guard()
        self._begin_clock()

    def _resume(self, document: dict) -> None:
        if document["images"] != self.fingerprint:
            given = f"other images than those that {self.out} was trained on"
            raise ArgumentError("data", given, "the same images, or a new folder with --init")
        self._load()
        self.state.counters = Counters(**document["counters"])
        self.log.keep_until(self.state.counters.step)

    def _load(self) -> None:
        self.world.by_first(lambda: load_tensors(self.out / CHECKPOINT, self.state)["counters"])
        self.world.same_tensors(tensor for _, tensor in self.state.named_tensors())
        updates = self.state.counters.updates
        self.state.set_updates(self.world.same(updates))

    def _begin_clock(self) -> None:
        counters = self.state.counters
        self._origin = time.monotonic() - counters.seconds
        self._part = (counters.images, counters.seconds)
        self._losses: list[float] = []
        self.log_due = Every(LOG_SECONDS / 60, self.budget, 4)
        self.checkpoint_due = Every(self.options.checkpoint_minutes, self.budget, 8)
        self.validation_due = Every(self.options.validate_minutes, self.budget, 4)
        for every in (self.log_due, self.checkpoint_due, self.validation_due):
            every.restart(counters.seconds)

    def run(self) -> TrainingReport:
        """Train until the time is up, or until told to stop."""
        counters, options = self.state.counters, self.options
        self._introduce()
        if counters.step == 0:
            self._validate()
            self._checkpoint()
        module = self.world.wrap(BitsPerDim(self.state.glow, self.config.bits, options.bf16))
        pin = self.world.device.type == "cuda"
        prefetcher = Prefetcher(self.sampler, pin)
        interrupted = False
        try:
            while self._progress() < 1 and not interrupted:
                interrupted = self._step(module, prefetcher)
                if self.checkpoint_due.due(counters.seconds):
                    self._checkpoint()
                if self.validation_due.due(counters.seconds):
                    self._validate()
        finally:
            prefetcher.close()
        if self.guard.healthy:
            self._checkpoint()
        if not interrupted:
            self._validate()
            self._checkpoint()
        self.log.write("interrupted" if interrupted else "end", **counters.as_dict())
        return self._report(interrupted)

    def _progress(self) -> float:
        counters = self.state.counters
        return run_progress(counters.seconds, self.budget, counters.step, self.options.max_updates)

    def _step(self, module: torch.nn.Module, prefetcher: Prefetcher) -> bool:
        """Make one step; returns whether any process was told to stop."""
        state, counters, world, batch = self.state, self.state.counters, self.world, self.options.batch
        lr = self.schedule.at(self._progress()) * counters.lr_factor
        together = batch * world.size
        start = counters.images + batch * world.rank
        x = prefetcher.get(start, batch, start + together).to(world.device, non_blocking=True)
        state.optimiser.zero_grad(set_to_none=True)
        loss = module(x).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.parameters.values(), self.options.clip)
        clock = time.monotonic() - self._origin if world.first else 0.0
        shared = world.sum([float(loss.detach()) / world.size, clock, float(self.told.is_set())])
        value, counters.seconds, stop = shared
        grad_norm = float(norm)
        counters.step += 1
        counters.images += together
        verdict = self.guard.judge(value, grad_norm)
        if verdict is Verdict.TAKE:
            state.update(lr)
            self._losses.append(value)
        else:
            self._recover(verdict, value, grad_norm)
        self._tell(lr, grad_norm)
        return stop > 0

    def _recover(self, verdict: Verdict, loss: float, grad_norm: float) -> None:
        counters = self.state.counters
        counters.skipped += 1
        what = f"step {counters.step}: loss {loss:.4g}, gradient norm {grad_norm:.4g}"
        if verdict is Verdict.SKIP:
            self._say("skip", f"{what}; skipped", loss=loss, grad_norm=grad_norm)
            return
        counters.rollbacks += 1
        if counters.rollbacks > MAX_ROLLBACKS:
            given = f"{self.options.lr}, with which training diverged {counters.rollbacks} times"
            raise ArgumentError("lr", given, "a smaller learning rate; the last checkpoint is intact")
        counters.lr_factor /= 2
        self._load()
        text = f"{what}; back to the last checkpoint, learning rate x {counters.lr_factor:g}"
        self._say("rollback", text, lr_factor=counters.lr_factor)

    def _tell(self, lr: float, grad_norm: float) -> None:
        counters = self.state.counters
        images, seconds = self._part
        rate = (counters.images - images) / max(counters.seconds - seconds, 1e-9)
        loss = sum(self._losses) / len(self._losses) if self._losses else float("nan")
        shown = min(self._progress(), 1.0)
        place = (counters.step, counters.images, counters.seconds)
        self.observer.stepped(Status(shown, *place, loss, counters.bits, lr, rate))
        if self.log_due.due(counters.seconds) or shown >= 1:
            names = {"step": place[0], "images": place[1], "seconds": round(place[2], 2)}
            self.log.write("train", **names, loss=loss, lr=lr, grad_norm=grad_norm, rate=round(rate, 1))
            self._losses.clear()

    def _introduce(self) -> None:
        images, counters = self.images, self.state.counters
        self.log.write(
            "resume" if counters.step else "start",
            step=counters.step,
            seconds=counters.seconds,
            command=self.options.command(),
            data=images.described,
            skipped_files=images.skipped,
            parameters=sum(p.numel() for p in self.state.glow.parameters()),
            processes=self.world.size,
        )
        self.observer.message(f"{images.described}; {self.size}x{self.size} crops")
        for line in images.skipped[:5]:
            self.observer.message(f"skipped {line}")
        if len(images.skipped) > 5:
            self.observer.message(f"skipped {len(images.skipped)} files in all; {LOG} lists them")

    def _say(self, event: str, text: str, **values: float) -> None:
        self.observer.message(text)
        self.log.write(event, step=self.state.counters.step, message=text, **values)

    def _validate(self) -> None:
        """Measure and show the averaged weights, and write them as the prior."""
        counters, ema = self.state.counters, self.state.ema
        bits = validation_bits(
            ema,
            self.images.validation,
            self.size,
            self.config.bits,
            self.options.batch,
            self.world,
            self.options.added_noise(),
        )
        counters.bits = bits
        if counters.first_bits is None:
            counters.first_bits = bits
        if not self.world.first:
            return
        write_grid(self.out / SAMPLES, sample_grid(ema, self.size, self.seed))
        described, options = self.images.described, self.options
        card = make_card(options, self.state, described, self.command, self.size, self.world)
        with writing(self.out):
            save_prior(self.out / PRIOR, self.state.exported(), card)
        names = {"step": counters.step, "images": counters.images, "seconds": round(counters.seconds, 2)}
        self.log.write("validation", **names, bits=bits)
        self.observer.message(f"step {counters.step}: validation {bits:.4f} bits/dim")

    def _checkpoint(self) -> None:
        if not self.world.first or not self.guard.healthy:
            return
        document = {
            "architecture": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "images": self.fingerprint,
            "command": self.command,
        }
        save_checkpoint(self.out / CHECKPOINT, self.state, document)

    def _report(self, interrupted: bool) -> TrainingReport:
        counters = self.state.counters
        return TrainingReport(
            prior=self.out / PRIOR,
            steps=counters.step,
            images=counters.images,
            seconds=counters.seconds,
            first_bits=counters.first_bits,
            bits=counters.bits,
            train_images=len(self.images.train),
            validation_images=len(self.images.validation),
            skipped_files=self.images.skipped,
            skipped_steps=counters.skipped,
            rollbacks=counters.rollbacks,
            interrupted=interrupted,
        )
