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
    MetricEvery,
    MetricNames,
    Phi,
    Prior,
    Range,
    Seed,
    SolverName,
    SolverOptions,
    Threads,
    TileSide,
)
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
    Operator,
    OperatorOptions,
    TaskOptions,
    TaskOrNone,
    task_options,
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
    task: TaskOrNone = None,
    operator: Operator = None,
    operator_option: OperatorOptions = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Deviation of the noise (images in [0, 1]), or auto to estimate it; else the task's."
        ),
    ] = None,
    noise: Noise = None,
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
    layout: Layout = None,
    value_range: Range = None,
    dtype_out: DataTypeOut = "uint8",
    format: Format = None,
    tile: TileSide = "auto",
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Compare with classical restorations.")
    ] = True,
    metric: MetricNames = None,
    metric_every: MetricEvery = 1,
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
    from .key_values import parse_options
    from .pipeline import run
    from .request import Request
    from .tables import print_outcome

    request = Request(
        images=tuple(images),
        task=one_of(task, operator, operator_option),
        operator=None if operator is None else (operator, parse_options(operator_option or ())),
        sigma=parse_sigma(sigma),
        noise=noise,
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
        baselines=baselines,
        metrics=with_psnr(metric),
        metric_every=metric_every,
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


def one_of(task: str | None, operator: str | None, options: list[str] | None) -> str:
    """Return the name of the task, or that of the operator without a file's suffix.

    Raises
    ------
    ArgumentError
        If not exactly one of the two is given, or options of no operator are.
    """
    if (task is None) == (operator is None):
        given = "neither --task nor --operator" if task is None else f"{task} beside --operator"
        raise ArgumentError("task", given, "one of the two; `flowsolve list tasks` has the names of tasks")
    if operator is None and options:
        raise ArgumentError("operator-option", options[0], "none without --operator")
    return task or Path(str(operator)).stem


def with_psnr(names: list[str] | None) -> tuple[str, ...]:
    """Return the metrics of a run: PSNR, which tables are sorted by, and what was asked for."""
    return tuple(dict.fromkeys(("psnr", *(names or ()))))


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
