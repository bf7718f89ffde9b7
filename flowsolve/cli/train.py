"""``flowsolve train``: train a prior on images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..terminal import console as make_console
from ..terminal import plain
from .line import Line
from .options import Device, Seed, Threads

if TYPE_CHECKING:
    from ..flows.training import Status

INTERRUPTED = 130


def train(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER|ZIP...", help="Images to train on: PNG, JPEG, WebP, TIFF, BMP."),
    ],
    hours: Annotated[float, typer.Option(help="Time to train; the learning rate falls to 0 over it.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    size: Annotated[int | None, typer.Option(help="Side of the crops in pixels.", show_default="64")] = None,
    levels: Annotated[int | None, typer.Option(help="Levels.", show_default="4")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps a level.", show_default="8")] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Channels inside the couplings.", show_default="64")
    ] = None,
    coupling: Annotated[str | None, typer.Option(help="additive or affine.", show_default="additive")] = None,
    split_prior: Annotated[
        str | None, typer.Option(help="conditional or standard.", show_default="conditional")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Bits a pixel value, 1 to 8.", show_default="8")] = None,
    init: Annotated[str | None, typer.Option(help="Prior to start from: a name or a file.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Zip or folder to measure on; default: a part is held out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Make a prior for images of any size.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Images a step, in each process.")] = 32,
    lr: Annotated[float, typer.Option(help="Largest learning rate.")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="How it falls to 0: linear or cosine.")] = "linear",
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = "cpu",
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute couplings in bfloat16.")] = False,
    noise: Annotated[
        float, typer.Option(help="Deviation of Gaussian noise added to the images, for a smoother prior.")
    ] = 0.0,
    uniform_noise: Annotated[
        float,
        typer.Option(help="Width of uniform noise added to unquantised images in place of one grey level."),
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(help="Most images to train on.")] = None,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 100.0,
    ema: Annotated[float, typer.Option(help="Decay a step of the averaged weights.")] = 0.998,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 3.0,
    validate_minutes: Annotated[float, typer.Option(help="Minutes between validations.")] = 5.0,
    max_updates: Annotated[int | None, typer.Option(help="Most steps of the optimiser.")] = None,
    terms: Annotated[str, typer.Option(help="Terms of the data, for the prior's card.")] = "unknown",
    summary: Annotated[str, typer.Option(help="What the prior is for, for its card.")] = "",
) -> None:
    """Train a Glow prior on images; writes prior.safetensors, train.json, samples.png and checkpoint/.

    Several GPUs or machines: torchrun --nproc-per-node N -m flowsolve.cli train ...
    """
    # The parameters are the options of the same names; this must come before any other local name.
    given = dict(locals())
    from ..flows.training import TrainingOptions
    from ..flows.training import train as run

    options = TrainingOptions(**given)
    console = make_console(stderr=True)
    with ProgressBar(console) as bar:
        report = run(options, bar)
    if bar.silent:
        return
    rate = f"{report.images} image views in {report.seconds / 60:.1f} min"
    if report.interrupted:
        console.print(f"Interrupted after step {report.steps} ({rate}); --resume goes on from there.")
        raise typer.Exit(INTERRUPTED)
    console.print(
        f"Validation {report.first_bits:.3f} to {report.bits:.3f} bits/dim; {rate}; "
        f"{report.skipped_steps} steps skipped, {report.rollbacks} roll-backs."
    )
    console.print(Text.assemble("Prior: ", (plain(report.prior), "bold")), soft_wrap=True)


class ProgressBar(Line):
    """A line on standard error while a prior trains, with messages above it; use in a ``with`` statement.

    Parameters
    ----------
    console : rich.console.Console
        Where to write. Of several processes only the first writes.
    """

    def __init__(self, console: Console) -> None:
        import os

        silent = os.environ.get("RANK", "0") != "0"
        super().__init__("train", console, refresh_per_second=2, silent=silent)

    def reading(self, kept: int, skipped: int) -> None:
        """Show how many images have been decoded."""
        self._bar.update(self._line, state=f"decoding: {kept} images, {skipped} skipped")

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        if not self.silent:
            self._bar.console.print(Text(plain(text)), soft_wrap=True)

    def stepped(self, status: Status) -> None:
        """Show the state after a step."""
        state = f"step {status.step}  {status.loss:.3f} bits/dim"
        if status.bits is not None:
            state += f" (validation {status.bits:.3f})"
        state += f"  lr {status.lr:.1e}  {status.rate:.0f} images/s"
        self._bar.update(self._line, completed=status.progress, state=state)
