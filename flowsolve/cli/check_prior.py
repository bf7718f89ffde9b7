"""``flowsolve check-prior``: whether a prior is in order, and suits the images it is to be used on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ..errors import ArgumentError
from .options import DataType, Device, Seed, Threads

if TYPE_CHECKING:
    import torch

    from ..priors.base import FlowPrior, Prior

TEMPERATURES = (0.7, 1.0)
"""Of the samples that are looked at where no images are given."""

SIDE = 64
"""About the height and width of those samples, where the prior takes any size."""


def check_prior(
    prior: Annotated[
        str, typer.Argument(help="Name (see `list priors`), .safetensors file, or MODULE:NAME of one's own.")
    ],
    image: Annotated[
        list[Path] | None,
        typer.Option(help="Image, folder or zip to look at instead of samples; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Look at no more images of each --image.")] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="Deviation of Gaussian noise added to --image; default: as the prior was trained with."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Samples at each temperature, without images.")] = 4,
    device: Device = "cpu",
    dtype: DataType = "float32",
    seed: Seed = 0,
    threads: Threads = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print every check of the conformance kit.")
    ] = False,
) -> None:
    """Check a prior: conformance, and of a flow typical set, density and precision on samples or images.

    Exit code 0 if all is well, 1 if a problem is found, 2 for a bad argument.
    """
    from ..flows import health
    from ..priors.base import FlowPrior
    from ..terminal import plain
    from ..threads import use_threads
    from .named_prior import named_prior
    from .request import DTYPES

    if dtype not in DTYPES:
        raise ArgumentError("dtype", repr(dtype), " or ".join(DTYPES))
    if threads is not None:
        use_threads(threads)
    flow = named_prior(prior, device, DTYPES[dtype])
    print(plain(f"{flow!r}, {_in_words(flow)}, sha256 {flow.sha256[:12]}"))
    if noise is None:
        noise = trained_with(flow)
    elif not image:
        raise ArgumentError("noise", noise, "a deviation for the images of --image, of which there are none")
    check_noise(noise)
    found = _check_conformance(flow, seed, verbose)
    batches: Iterable[tuple[str, torch.Tensor, float]] = []
    if isinstance(flow, FlowPrior):
        batches = _images(flow, image, limit, noise, seed) if image else _samples(flow, samples, seed)
    for title, x, temperature in batches:
        assert isinstance(flow, FlowPrior)
        report = health(flow, x, temperature)
        problems = report.problems()
        found += len(problems)
        print(f"\n{plain(title)}\n{report}")
        for problem in problems:
            print(f"PROBLEM: {problem}")
    print(f"\n{found or 'no'} problem{'' if found == 1 else 's'} found")
    if found:
        raise typer.Exit(1)


def _in_words(prior: Prior) -> str:
    """Return what kind of prior it is."""
    coupling = getattr(getattr(prior, "config", None), "coupling", None)
    return prior.kind if coupling is None else f"{coupling} couplings"


def _check_conformance(prior: Prior, seed: int, verbose: bool) -> int:
    """Print how the conformance kit finds the prior, and return the number of failures."""
    from ..priors.conformance import check_prior as check

    reports = check(prior, seed=seed)
    failed = [report for report in reports if not report.passed]
    for report in reports if verbose else failed:
        print(report)
    skipped = sum(report.skipped for report in reports)
    print(
        f"conformance: {len(reports) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped"
    )
    return len(failed)


def trained_with(prior: Prior) -> float:
    """Return the deviation of the noise that the prior's card says it was trained with, 0 if it says none."""
    gaussian = getattr(prior.card, "noise_sigma", None) or 0.0
    width = getattr(prior.card, "noise_width", None) or 0.0
    return math.hypot(gaussian, width / math.sqrt(12))


def check_noise(noise: float) -> None:
    """Raise `ArgumentError` if the deviation is not a finite number >= 0."""
    if not (math.isfinite(noise) and noise >= 0):
        raise ArgumentError("noise", noise, "a finite number >= 0")


def _samples(prior: FlowPrior, count: int, seed: int) -> Iterator[tuple[str, torch.Tensor, float]]:
    if prior.any_size:
        side = -(-SIDE // prior.multiple) * prior.multiple
        prior = prior.at_size(side, side)
    if count < 1:
        raise ArgumentError("samples", count, "an integer >= 1")
    for temperature in TEMPERATURES:
        yield f"samples at temperature {temperature:g}", prior.sample(count, seed, temperature), temperature


def _images(
    prior: FlowPrior, paths: list[Path], limit: int | None, noise: float, seed: int
) -> Iterator[tuple[str, torch.Tensor, float]]:
    """Yield the images of each path whole; a prior of any size reflects what it needs.

    A prior that was trained on noisy images finds clean ones untypical: they are judged with its noise.
    """
    import torch

    from ..images import read_images

    if prior.channels != 3:
        raise ArgumentError("prior", f"{prior.name}, of {prior.channels} channels", "a prior of RGB images")
    for path in paths:
        found = read_images([path], limit=limit, size=prior.size, argument="image").x
        draws = np.random.default_rng(seed).standard_normal(found.shape)
        x = torch.as_tensor(found + noise * draws).to(device=prior.device, dtype=prior.dtype)
        yield f"{path}, with noise {noise:.3g}" if noise else str(path), x, 1.0
