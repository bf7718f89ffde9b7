"""What every benchmark of whole methods does: restore as a user would, who does not have the truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.methods import Method


@dataclass(frozen=True)
class Restored:
    """What a method made of a problem.

    Attributes
    ----------
    x : torch.Tensor, shape (N, C, H, W)
        Images.
    seconds, cpu_seconds : float
        An image's share of the time of all, starts included; of the process on all its cores together.
    evaluations : numpy.ndarray, shape (N,)
        Evaluations of each image.
    fallbacks : int
        How many images are the classical start, because what the prior led to was found worse.
    method : Method or None
        What was run and why; None of a classical restoration.
    """

    x: torch.Tensor
    seconds: float
    cpu_seconds: float
    evaluations: np.ndarray
    fallbacks: int = 0
    method: Method | None = None


def without_truth(problem: fs.InverseProblem) -> fs.InverseProblem:
    """Return a problem as a user has it; what is measured with the truth is no part of the time either."""
    return fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)


def restore(
    problem: fs.InverseProblem,
    prior: Any,
    method: str | Path | Method = "auto",
    max_iter: int | None = None,
) -> Restored:
    """Return what `flowsolve.restore` gives without the truth; by the plain call unless told otherwise."""
    result, seconds, cpu = timed(
        lambda: fs.restore(without_truth(problem), prior, method, max_iter=max_iter), len(problem)
    )
    fallbacks = 0 if result.fallback is None else int(result.fallback.sum())
    return Restored(result.x, seconds, cpu, result.counts["evaluations"], fallbacks, result.method)


def timed(work: Callable[[], Any], images: int) -> tuple[Any, float, float]:
    """Return what some work returns, and its time and processor time, in seconds an image."""
    began, began_cpu = time.perf_counter(), time.process_time()
    found = work()
    cpu, seconds = time.process_time() - began_cpu, time.perf_counter() - began
    return found, seconds / images, cpu / images


def best_of(psnr: dict[str, Any]) -> str:
    """Return the name of the highest mean PSNR."""
    return max(psnr, key=lambda name: np.mean(psnr[name]))
