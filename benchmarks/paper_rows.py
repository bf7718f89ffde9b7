"""The rows of the table: tasks of Oberlin & Verm without noise as in their code, and with noise; GlowIP's.

Published figures are PSNR in dB: T. Oberlin and M. Verm, ICIP 2021, table 1 (CelebA, one prior of 61 M
parameters); M. Asim et al., ICML 2020 (CelebA-HQ, 12 images, another prior).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

import flowsolve as fs
from flowsolve import baselines
from flowsolve.operators import Identity, LinearOperator, Mask, RandomProjection

from .face_tasks import FACE_TASKS, SHAPE, FaceTask
from .reporting import faces

SEED = "oberlin-verm-2021"
GLOWIP = "asim-2020"

MEAN = "mean"
"""The mean training image, shown where a mask measures nothing."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    task : FaceTask
        Operator and noise.
    classical : tuple of str
        Baselines that apply; `MEAN` is the mean training image where nothing is known.
    protocols : tuple
        Published protocols run beside ours: preset, its task, formulation.
    published : mapping of str to float
        Printed PSNR in dB.
    """

    task: FaceTask
    classical: tuple[str, ...]
    protocols: tuple[tuple[str, str, str], ...] = ()
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kind:
    """What the rows of a task have in common: baselines, title, printed synthesis and analysis."""

    classical: tuple[str, ...]
    title: str
    printed: tuple[float, float]


_KINDS = {
    "deblur": _Kind(("tikhonov", "tikhonov-best", "total-variation"), "deblurring 7x7", (23.38, 32.16)),
    "sr2": _Kind(("bicubic", "back-projection", "total-variation"), "SR×2", (22.26, 31.19)),
    "sr4": _Kind(("bicubic", "back-projection", "total-variation"), "SR×4", (18.94, 24.12)),
    "random": _Kind(("harmonic", "total-variation", MEAN), "random inpainting 60 %", (21.84, 27.89)),
    "box": _Kind(("harmonic", "total-variation", MEAN), "centre inpainting 21x21", (30.40, 27.50)),
}


def _protocols(preset_task: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((SEED, preset_task, formulation) for formulation in ("synthesis", "analysis"))


def _as_published(preset_task: str) -> Callable[[int, int], LinearOperator]:
    return lambda n, seed: fs.presets.registry.get(SEED).operators[preset_task](SHAPE, n, seed)


def _noiseless(name: str) -> Row:
    kind, preset = _KINDS[name], str(FACE_TASKS[name].preset)
    task = FaceTask(f"{kind.title}, σ = 0", _as_published(preset), 0.0, preset)
    printed = {"synthesis": kind.printed[0], "analysis": kind.printed[1]}
    return Row(task, kind.classical, _protocols(preset), printed)


def _noisy(name: str, sigma: float) -> Row:
    kind, preset = _KINDS[name], str(FACE_TASKS[name].preset)
    task = FaceTask(f"{kind.title}, σ = {sigma:g}", FACE_TASKS[name].operator, sigma, preset)
    circular = ("tikhonov-gradient", "tikhonov-gradient-best") if name == "deblur" else ()
    return Row(task, (*kind.classical, *circular), _protocols(preset))


def _denoise(sigma: float) -> Row:
    task = FaceTask(f"denoising, σ = {sigma:g}", lambda n, seed: Identity(SHAPE), sigma)
    printed = {"GlowIP": 30.48, "GlowIP's BM3D": 29.93} if sigma == 0.1 else {}
    protocols = ((GLOWIP, "denoise", "synthesis"),) if sigma == 0.1 else ()
    return Row(task, ("total-variation", "non-local-means"), protocols, printed)


@cache
def _projection(m: int, seed: int) -> RandomProjection:
    # Made once: its blocks and the decomposition of A Aᵀ are used by every method.
    return RandomProjection(m, SHAPE, seed=seed, keep=True, decompose=True)


def _sensing(m: int, printed: float) -> Row:
    task = FaceTask(f"compressive sensing, m = {m}", lambda n, seed: _projection(m, seed), 0.1 / math.sqrt(m))
    protocols = ((GLOWIP, "compressive-sensing", "synthesis"),)
    return Row(task, ("tikhonov", "total-variation"), protocols, {"GlowIP": printed})


PAPER_ROWS: dict[str, Row] = {
    **{f"{name}-0": _noiseless(name) for name in _KINDS},
    **{f"{name}-{sigma:g}": _noisy(name, sigma) for name in _KINDS for sigma in (0.01, 0.03)},
    **{f"denoise-{sigma:g}": _denoise(sigma) for sigma in (0.05, 0.1, 0.2)},
    **{
        f"cs-{m}": _sensing(m, printed)
        for m, printed in ((500, 27.00), (1000, 30.09), (2500, 34.56), (5000, 36.95))
    },
}
"""All rows, by the names that ``--row`` takes: the task and its noise."""


def mean_face(folder: Path) -> torch.Tensor:
    """Return the mean of the validation faces, (3, 64, 64)."""
    return faces(folder, "celeba64-val.zip").mean(0)


def classical(name: str, problem: fs.InverseProblem, mean: torch.Tensor) -> torch.Tensor:
    """Return a classical restoration by name; `MEAN` shows the mean training image in the holes of a mask."""
    if name != MEAN:
        return baselines.registry.get(name)(problem)
    if not isinstance(problem.operator, Mask):
        raise ValueError(f"{MEAN}: for masks, not for {problem.operator}")
    x = mean.to(problem.y).expand(len(problem), *mean.shape)
    return x + problem.operator.pinv(problem.y - problem.operator.apply(x))
