"""``flowsolve import-prior``: turn weights of another program into a prior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..flows import GlowPrior
    from ..flows.foreign import ImportedPrior


def import_prior(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights: a .pt, .pth, .pkg or .safetensors.")],
    out: Annotated[Path, typer.Option(help="File to write; its name ends in .safetensors.")],
    format: Annotated[
        str, typer.Option(help="Program that made the file: rosinality, glowip, chaiyujin; auto tries each.")
    ] = "auto",
    size: Annotated[
        int | None, typer.Option(help="Side of the images in pixels.", show_default="the file's, or 64")
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Make a prior for images of any size.")
    ] = False,
    bits: Annotated[
        int | None,
        typer.Option(help="Bits a pixel value of the training images.", show_default="the program's own"),
    ] = None,
    coupling_bias: Annotated[
        float | None,
        typer.Option(help="glowip: constant in the couplings' scales, as in configs.json.", show_default="0"),
    ] = None,
    last_coupling_bias: Annotated[
        float | None,
        typer.Option(help="glowip: the same in the last level; 0 if last_zeros is false.", show_default="1"),
    ] = None,
    summary: Annotated[str, typer.Option(help="What the prior is for, for its card.")] = "",
    terms: Annotated[str, typer.Option(help="Terms of the weights, for its card.")] = "not stated",
    training: Annotated[str, typer.Option(help="What it was trained on, for its card.")] = "not stated",
    force: Annotated[bool, typer.Option("--force", help="Replace the file that --out names.")] = False,
) -> None:
    """Turn a Glow that another program trained into a prior for this one, without running its code.

    Reads checkpoints of rosinality/glow-pytorch, CACTuS-AI/GlowIP and chaiyujin/glow-pytorch.
    """
    if out.exists() and not force:
        raise ArgumentError("out", f"{out}, which exists", "a new file, or --force to replace it")
    if size is not None and any_size:
        raise ArgumentError("size", f"{size} and --any-size", "one of them")
    from ..flows import GlowPrior, save_prior
    from ..flows.checkpoints import checked_target
    from ..flows.foreign import import_prior as run

    checked_target(out, "out")
    settings: dict[str, Any] = {"coupling_bias": coupling_bias, "last_coupling_bias": last_coupling_bias}
    imported = run(
        file,
        format,
        image_size="any" if any_size else size,
        bits=bits,
        summary=summary,
        training=training,
        terms=terms,
        **{name: value for name, value in settings.items() if value is not None},
    )
    save_prior(out, imported.glow, imported.card)
    _print(imported, GlowPrior(imported.glow), out)


def _print(imported: ImportedPrior, prior: GlowPrior, out: Path) -> None:
    from .tables import console

    config = imported.glow.config
    steps = f"{config.levels} levels of {config.steps} steps"
    if config.last_steps is not None:
        steps += f", {config.last_steps} in the last"
    parameters = sum(parameter.numel() for parameter in imported.glow.parameters())
    size = "any size" if config.size is None else f"{config.size[1]}x{config.size[0]} pixels"
    rows = [
        ("format", imported.format),
        ("images", f"{config.channels} channels, {size}, {config.bits} bits"),
        ("flow", f"{steps}, {config.hidden} hidden channels"),
        ("couplings", f"{config.coupling}, {config.split_prior} split priors"),
        ("parameters", f"{parameters:,}"),
        ("round trip", f"largest error {_round_trip_error(prior):.1e} on a test image"),
        *(("assumed", note) for note in imported.notes),
        ("written to", str(out)),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _round_trip_error(prior: GlowPrior) -> float:
    """Return the largest difference between a smooth image in [0, 1] and its decoded latent."""
    import torch

    if prior.any_size:
        prior = prior.at_size(*(max(32, prior.config.multiple),) * 2)
    channels, height, width = prior.image_shape
    row, column = torch.arange(height)[:, None] / height, torch.arange(width) / width
    waves = [0.5 + 0.4 * torch.sin(5 * row + 3 * column + c) for c in range(channels)]
    image = torch.stack(waves)[None].to(prior.dtype)
    with torch.no_grad():
        return float((prior.decode(prior.encode(image)) - image).abs().max())
