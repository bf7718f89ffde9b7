"""What a run came to, in a line or two: beside the best classical restoration, beside the measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..baselines import ORACLES
from ..infinite import difference
from ..methods.guard import residual_ratio
from ..restoration import AUTO
from ..words import number

if TYPE_CHECKING:
    from .pipeline import Outcome

MISFIT = 1.5
"""‖Ax − y‖² in units of what the noise explains, from which something is wrong: the noise level or the
operator."""

OVERFIT = 0.5
"""The same below which noise was fitted; said where there is noise to speak of."""

NOISY = 0.05


def verdict(outcome: Outcome) -> list[str]:
    """Return what to say at the end of a run, one line each."""
    lines = list(outcome.notes)
    if outcome.result.method is not None and outcome.result.method.reason:
        lines.insert(0, f"{outcome.result.method.name}: {outcome.result.method.reason}")
    if outcome.problem.sigma_estimated:
        lines.append(f"sigma estimated from the measurements: {outcome.problem.sigma:.4g}")
    if outcome.problem.x_true is None:
        return lines + _beside_measurements(outcome)
    return lines + _beside_classical(outcome)


def best_classical(outcome: Outcome) -> tuple[str, np.ndarray] | None:
    """Return the classical restoration of highest mean PSNR and the PSNR of each image; no oracle counts."""
    from .files import metrics

    honest = {name: x for name, x in outcome.baselines.items() if name not in ORACLES}
    scores = {name: metrics(outcome, x)["psnr"] for name, x in honest.items()}
    if not scores:
        return None
    name = max(scores, key=lambda n: float(np.mean(scores[n])))
    return name, scores[name]


def _beside_classical(outcome: Outcome) -> list[str]:
    from .files import metrics

    best = best_classical(outcome)
    if best is None:
        return []
    name, scores = best
    ours = metrics(outcome, outcome.restored)["psnr"]
    gain, n = float(difference(np.mean(ours), np.mean(scores))), len(scores)
    if np.isnan(gain):
        return []
    above = f", above it for {int(np.sum(ours > scores))} of {n} images" if n > 1 else ""
    if gain >= 0:
        return [f"{number(gain, '+.2f')} dB over the best classical restoration ({name}){above}"]
    tried = outcome.result.method is not None and outcome.result.method.name == AUTO
    hint = (
        "flowsolve advise" if tried else "the plain command without options that say how, or flowsolve advise"
    )
    return [f"{number(-gain)} dB below the best classical restoration ({name}){above}; try {hint}"]


def _beside_measurements(outcome: Outcome) -> list[str]:
    problem = outcome.problem
    if problem.sigma == 0:
        return []
    x = outcome.result.x.to(problem.y)
    ratio = float(np.mean(residual_ratio(problem, x)))
    line = f"‖Ax − y‖² is {ratio:.2f} of what noise of sigma {problem.sigma:g} explains"
    if ratio > MISFIT:
        line += ": more noise than that, or another operator; check --sigma, the kernel or the mask"
    elif ratio < OVERFIT and problem.sigma >= NOISY:
        line += ": noise was fitted; sigma may be too large"
    return [line]
