"""``flowsolve solve``: degrade clean images, or take measurements, and restore them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ArgumentError
from .options import (
    DataType,
    DataTypeOut,
    Device,
    Force,
    Format,
    Formulation,
    Json,
    Lam,
    Layout,
    MaxEvaluations,
    MaxIter,
    MaxSeconds,
    Phi,
    Prior,
    Range,
    Seed,
    SolverName,
    SolverOptions,
    Threads,
    TileSide,
)


def solve(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Images (PNG, JPEG, WebP, TIFF, BMP), folders or zips of them, or arrays (.npy, .npz, .mat, "
            "HDF5 as FILE.h5:/DATASET); of any sizes, grey or RGB.",
        ),
    ],
    task: Annotated[
        str, typer.Option(help="deblur, super-resolution, inpaint-random, inpaint-box or denoise.")
    ],
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Deviation of the noise (images in [0, 1]), or auto to estimate it; else the task's."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("flowsolve-out"),
    method: Annotated[
        str | None,
        typer.Option(help="Method (see `list methods`) or a JSON file of one; auto unless told otherwise."),
    ] = None,
    formulation: Formulation = None,
    phi: Phi = None,
    lam: Lam = None,
    solver: SolverName = None,
    option: SolverOptions = None,
    init: Annotated[
        str | None, typer.Option(help="Start (see `list initialisers`), or a record or images to start from.")
    ] = None,
    prior: Prior = "faces64",
    limit: Annotated[int | None, typer.Option(help="Read no more than so many images.")] = None,
    max_iter: MaxIter = None,
    max_evaluations: MaxEvaluations = None,
    max_seconds: MaxSeconds = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Published protocol (see `list presets`): solver, loss, start, weights."),
    ] = None,
    restarts: Annotated[
        int, typer.Option(help="Starts of each image: --init, the others random; the best is kept.")
    ] = 1,
    continuation: Annotated[
        str | None, typer.Option(help="Multiples of the weight to solve with first, for example 100,10.")
    ] = None,
    factor: Annotated[int | None, typer.Option(help="Factor of super-resolution (2).")] = None,
    kernel_size: Annotated[int | None, typer.Option(help="Side of the uniform blur (7).")] = None,
    missing: Annotated[float | None, typer.Option(help="Fraction of missing pixels (0.6).")] = None,
    box: Annotated[int | None, typer.Option(help="Side of the hole (21).")] = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="The images are measurements: do not degrade them.")
    ] = False,
    mask: Annotated[
        Path | None, typer.Option(help="Mask: an image, bright where measured, or a .npy file.")
    ] = None,
    kernel: Annotated[Path | None, typer.Option(help="Blur kernel: an image or a .npy file.")] = None,
    kernel_scale: Annotated[
        str | None,
        typer.Option(help="For a .npy kernel whose sum is not 1: normalise (divide by it) or as-is."),
    ] = None,
    layout: Layout = None,
    value_range: Range = None,
    dtype_out: DataTypeOut = "uint8",
    format: Format = None,
    tile: TileSide = "auto",
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Compare with classical restorations.")
    ] = True,
    device: Device = "cpu",
    dtype: DataType = "float32",
    seed: Seed = 0,
    threads: Threads = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Restore images and write the record, the restored images and a figure.

    How, is decided from the problem (the method auto) unless one of --method, --preset, --solver, --option,
    --formulation, --phi, --lam, --init, --continuation, --restarts or --max-evaluations is given.

    Clean images are degraded first, so that the result can be compared with the truth and with
    classical restorations; with --measured they are restored as they are.
    """
    from .pipeline import run
    from .request import Request
    from .tables import print_outcome

    request = Request(
        images=tuple(images),
        task=task,
        sigma=parse_sigma(sigma),
        out=out,
        method=method,
        formulation=formulation,
        phi=phi,
        lam=lam,
        solver=solver,
        option=tuple(option or ()),
        init=init,
        prior=prior,
        limit=limit,
        max_iter=max_iter,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        preset=preset,
        restarts=restarts,
        continuation=continuation,
        factor=factor,
        kernel_size=kernel_size,
        missing=missing,
        box=box,
        measured=measured,
        mask=mask,
        kernel=kernel,
        kernel_scale=kernel_scale,
        baselines=baselines,
        device=device,
        dtype=dtype,
        seed=seed,
        threads=threads,
        force=force,
        layout=layout,
        value_range=value_range,
        dtype_out=dtype_out,
        format=format,
        tile=tile,
    )
    print_outcome(run(request), as_json=json)


def parse_sigma(text: str | None) -> float | str | None:
    """Return the number of ``--sigma``, or ``auto``.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ArgumentError("sigma", repr(text), "a finite number >= 0, or auto") from None
