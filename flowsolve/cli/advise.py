"""``flowsolve advise``: which solver, formulation, weight and start for these images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .options import DataType, Device, Json, Prior, Seed, Threads
from .task_options import (
    Boundary,
    Box,
    Factor,
    KernelFile,
    KernelScale,
    KernelSize,
    MaskFile,
    Missing,
    Noise,
    Task,
    TaskOptions,
    task_options,
)

Listed = list[str] | None


def advise(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Images or measurements, as for `flowsolve solve`."),
    ],
    task: Task,
    budget: Annotated[float, typer.Option(help="Seconds to spend on trying.")] = 60.0,
    studies: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Advise from finished studies instead of trying."),
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="psnr, held-out or objective; auto: psnr of clean images, else held-out.")
    ] = "auto",
    formulation: Annotated[
        Listed, typer.Option(help="Formulation to try; can be given more than once, as all that follow.")
    ] = None,
    solver: Annotated[Listed, typer.Option(help="Solver to try.")] = None,
    init: Annotated[Listed, typer.Option(help="Start to try.")] = None,
    lam: Annotated[Listed, typer.Option(help="Weight to try: map, 0.3map or a number.")] = None,
    sample: Annotated[int, typer.Option(help="Try on so many of the images at most.")] = 4,
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the noise (images in [0, 1]); else the task's."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the command that is advised.")] = Path("advised"),
    prior: Prior = "faces64",
    limit: Annotated[int | None, typer.Option(help="Read no more than so many images.")] = None,
    noise: Noise = None,
    task_option: TaskOptions = None,
    factor: Factor = None,
    kernel_size: KernelSize = None,
    missing: Missing = None,
    box: Box = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="The images are measurements: do not degrade them.")
    ] = False,
    mask: MaskFile = None,
    kernel: KernelFile = None,
    kernel_scale: KernelScale = None,
    boundary: Boundary = None,
    device: Device = "cpu",
    dtype: DataType = "float32",
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Try combinations on the images for a while, and say which to run and why.

    Successive halving: each rung continues the better half of the combinations for twice the time. Prints a
    paragraph, a table and the command.
    """
    began = time.monotonic()
    from .advising import Choices, print_advice, print_precedent, probe, recall
    from .request import Request

    request = Request(
        images=tuple(images),
        task=task,
        sigma=sigma,
        out=out,
        prior=prior,
        limit=limit,
        noise=noise,
        task_option=task_options(
            task_option,
            factor=factor,
            kernel_size=kernel_size,
            missing=missing,
            box=box,
            mask=mask,
            kernel=kernel,
            kernel_scale=kernel_scale,
            boundary=boundary,
        ),
        measured=measured,
        device=device,
        dtype=dtype,
        seed=seed,
        threads=threads,
    )
    if studies:
        print_precedent(recall(request, studies), request, as_json=json)
        return
    choices = Choices(formulation or [], lam or [], solver or [], init or [])
    print_advice(probe(request, choices, budget, criterion, sample, began), request, as_json=json)
