"""Options that more than one command has, each written down once."""

from __future__ import annotations

from typing import Annotated

import typer

Formulation = Annotated[str | None, typer.Option(help="analysis (over images) or synthesis (over latents).")]
Phi = Annotated[
    str | None,
    typer.Option(
        help="Prior term: nll (negative log-density; for analysis), smoothed (its mean over small "
        "perturbations; for analysis), latent (squared norm; for synthesis) or typical."
    ),
]
Lam = Annotated[
    str | None,
    typer.Option(
        help="Weight of the prior: map (from sigma), 0.3map, a number, or discrepancy (as noise allows)."
    ),
]
SolverOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Option of the solver, such as lr=0.02 or scaling=levels; repeatable.",
    ),
]
SolverName = Annotated[str | None, typer.Option("--solver", help="Solver (see `list solvers`).")]
Prior = Annotated[str, typer.Option(help="Name (see `list priors`) or .safetensors file of the prior.")]
MaxIter = Annotated[int | None, typer.Option(help="Most iterations (the method's, the preset's, or 400).")]
MaxEvaluations = Annotated[int | None, typer.Option(help="Most evaluations of the objective, per image.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Most seconds of solver time.")]
MetricNames = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Also follow this metric, such as ssim (see `list metrics`); repeatable."),
]
MetricEvery = Annotated[
    int, typer.Option(help="Iterations from one row of the trace with new metrics to the next.")
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")]
DataType = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Seed = Annotated[int, typer.Option(help="Seed of masks, noise and random starts.")]
Threads = Annotated[int | None, typer.Option(help="Threads to compute with; default: torch's.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the run that the output folder has in it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, no tables.")]
Layout = Annotated[
    str | None,
    typer.Option(help="Axes of arrays in files: HW, CHW, HWC, NHW, NCHW, NHWC, HWN or HWCN; else by shape."),
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range", metavar="LOW,HIGH", help="Values in the files that are black and white, such as 0,4095."
    ),
]
DataTypeOut = Annotated[
    str, typer.Option("--dtype-out", help="What to write: uint8, uint16 or float32 (not clipped).")
]
Format = Annotated[
    str | None, typer.Option("--format", help="Files to write: png, tiff or npy; else PNG, of floats TIFF.")
]
TileSide = Annotated[
    str, typer.Option("--tile", help="Restore large images by tiles: auto, off or their side in pixels.")
]
