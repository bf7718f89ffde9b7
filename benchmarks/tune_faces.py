"""Which method restores each row of the table best, on validation faces; the best is frozen.

One long run of each candidate gives PSNR at every iteration, so the number of iterations costs nothing to
choose: it is where the mean over the images peaks. Candidates, row by row:

1. over latents from z = 0, each weight, in units of the levels;
2. over latents with the best of these, the measured pixels put back (masks with noise);
3. over images from the best classical restoration, each weight, and the hard constraint where σ = 0, φ
   ``nll`` with L-BFGS and φ ``smoothed`` with Adam, whose step falls to nothing over the run;
4. over images from the images at which the best of 1 and 2 peaked, where those are better than the best
   classical restoration;
5. where the best is over images from a start that is iterated, fewer iterations of the start.

Candidates that were tried before are not tried again (``results/tune_faces.json``)::

    python -m benchmarks.tune_faces --row deblur-0.01 --images 8
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import baselines
from flowsolve.initialise import Start
from flowsolve.methods import Method, Stage
from flowsolve.methods.stage import PREVIOUS, PriorShelf
from flowsolve.operators import Mask

from .frozen import FROZEN, freeze, frozen, in_a_line
from .paper_rows import MEAN, PAPER_ROWS, classical, mean_face
from .reporting import faces, parser, read, save, table

NAME = "tune_faces"
SYNTHESIS_FACTORS, SYNTHESIS_LAMS = (0.5, 1.0), (1e-4, 3e-4)
ANALYSIS_FACTORS, ANALYSIS_LAMS = (0.1, 0.2, 0.35, 0.5), (1e-7, 1e-6, 1e-5)
SMOOTHED_FACTORS = (0.2, 0.35)
SMOOTHED_ITERATIONS = 50
ADAM = {
    "lr": 0.02,
    "beta2": 0.99,
    "schedule": "cosine",
    "horizon": SMOOTHED_ITERATIONS,
}
SCALINGS = ("levels",)
PHIS = ("nll", "smoothed")
START_ITERATIONS = (10, 20, 40)


@dataclass
class Trial:
    """A candidate and how it did: mean PSNR at every iteration, and the images where that peaked."""

    stages: tuple[Stage, ...]
    curve: list[float]
    x: torch.Tensor | None = None

    @property
    def peak(self) -> int:
        """Iteration with the highest mean PSNR, at least 1."""
        return 1 + int(np.argmax(self.curve[1:]))

    @property
    def best(self) -> float:
        """Highest mean PSNR in dB."""
        return self.curve[self.peak]

    @property
    def method(self) -> Method:
        """The candidate, stopped where it peaks."""
        return made_of((*self.stages[:-1], dataclasses.replace(self.stages[-1], max_iter=self.peak)))


def made_of(stages: Sequence[Stage]) -> Method:
    """Return the method of some stages; a candidate has no name."""
    return Method("candidate", tuple(stages))


class Tuner:
    """Tries candidates on the problem of a row.

    Parameters
    ----------
    problem : InverseProblem
        Validation problem.
    prior : FlowPrior
        The flow.
    patience : int
        A run ends when the mean PSNR has not risen for so many iterations.
    known : dict
        Curves of candidates tried before, added to.
    """

    def __init__(
        self,
        problem: fs.InverseProblem,
        prior: Any,
        patience: int,
        known: dict[str, Any],
    ) -> None:
        self.problem, self.prior, self.patience, self.known = problem, prior, patience, known
        self.shelf = PriorShelf(prior)

    def try_out(self, *stages: Stage, before: Trial | None = None) -> Trial:
        """Return the trial of the last stage, from where `before` peaked if it is its continuation."""
        key = self._key(stages)
        if key in self.known:
            return Trial(stages, self.known[key]["curve"])
        previous = None if before is None else self._images(before)
        trial = self._run(stages, previous)
        self.known[key] = {
            "label": in_a_line(made_of(stages)),
            "curve": [round(v, 4) for v in trial.curve],
        }
        label = trial.method.stages[-1].in_words()
        print(f"  {trial.best:6.2f} dB  {label}{' (second stage)' if before else ''}", flush=True)
        return trial

    def _run(self, stages: tuple[Stage, ...], previous: torch.Tensor | None) -> Trial:
        stage = stages[-1]
        if previous is None:
            start = stage.start(self.problem, stage.own_prior(self.prior, self.shelf), seed=0)
        else:
            start = Start(x=previous, name=PREVIOUS)
        objective = stage.objective(self.problem, self.prior, self.shelf)
        steps = fs.iterate(
            objective, stage.solver, start, max_iter=stage.max_iter, rtol=None, **stage.options
        )
        curve: list[float] = []
        best_u: torch.Tensor | None = None
        for step in steps:
            if not curve:
                curve.append(float(step.trace["psnr"][0].mean()))
            curve.append(float(step.trace["psnr"][-1].mean()))
            if best_u is None or curve[-1] >= max(curve[1:]):
                best_u = step.u
            if len(curve) - 1 - int(np.argmax(curve)) >= self.patience:
                break
        assert best_u is not None
        with torch.no_grad():
            return Trial(stages, curve, objective.image(best_u).detach())

    def _images(self, trial: Trial) -> torch.Tensor:
        if trial.x is None:
            # Known from an earlier run of the program: computed again as far as it peaked.
            trial.x = fs.restore(self.problem, self.prior, trial.method).x
        return trial.x

    def _key(self, stages: tuple[Stage, ...]) -> str:
        about = [[stage.as_json() for stage in stages], len(self.problem), self.prior.name, self.patience]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def latents(problem: fs.InverseProblem, max_iter: int, prior: str | None = None) -> Iterator[Stage]:
    """Yield the candidates over latents from z = 0."""
    noisy = problem.sigma > 0
    # Without noise the measured values are exact, and putting them back costs nothing.
    exact = not noisy and problem.operator.has_closed_form
    for scaling in SCALINGS:
        for weight in SYNTHESIS_FACTORS if noisy else SYNTHESIS_LAMS:
            yield Stage(
                "synthesis",
                "latent",
                lam=None if noisy else weight,
                map_factor=weight if noisy else None,
                options={"scaling": scaling},
                init="zeros",
                max_iter=max_iter,
                prior=prior,
                put_back=exact,
            )


def over_images(
    problem: fs.InverseProblem, start: str, max_iter: int, phis: Sequence[str] = PHIS
) -> Iterator[Stage]:
    """Yield the candidates over images from a start."""
    # A mask weighs pixels, the other operators frequencies.
    adam = {**ADAM, "basis": "pixels" if isinstance(problem.operator, Mask) else "cosines"}
    for phi in phis:
        smoothed = phi == "smoothed"
        made = functools.partial(
            Stage,
            "analysis",
            phi,
            init=start,
            solver="adam" if smoothed else "lbfgs",
            options=adam if smoothed else {},
            max_iter=SMOOTHED_ITERATIONS if smoothed else max_iter,
        )
        if problem.sigma > 0:
            yield from (made(map_factor=f) for f in (SMOOTHED_FACTORS if smoothed else ANALYSIS_FACTORS))
        elif problem.operator.has_closed_form:
            yield made()
        else:
            yield from (made(lam=lam) for lam in ANALYSIS_LAMS)


def iterations_of_start(stage: Stage) -> int | None:
    """Return how many iterations the start of a stage takes, or ``None`` where it is not iterated."""
    if stage.init not in baselines.registry:
        return None
    known = inspect.signature(baselines.registry.get(stage.init)).parameters.get("iterations")
    return None if known is None else stage.init_options.get("iterations", known.default)


def tune(
    start: str,
    tuner: Tuner,
    max_iter: int,
    second: int,
    latent_prior: str | None = None,
    phis: Sequence[str] = PHIS,
) -> list[Trial]:
    """Return all trials of a row; over images from `start`, and at most `second` iterations."""
    problem = tuner.problem
    trials = [tuner.try_out(stage) for stage in latents(problem, max_iter, latent_prior)]
    if isinstance(problem.operator, Mask) and problem.sigma > 0:
        best = max(trials, key=lambda t: t.best)
        trials.append(tuner.try_out(dataclasses.replace(best.stages[0], put_back=True)))
    first = max(trials, key=lambda t: t.best)
    direct = [tuner.try_out(stage) for stage in over_images(problem, start, second, phis)]
    if first.best > max(trial.curve[0] for trial in direct):
        for stage in over_images(problem, PREVIOUS, second, phis):
            trials.append(tuner.try_out(*first.method.stages, stage, before=first))
    best = max([*trials, *direct], key=lambda t: t.best)
    if len(best.stages) == 1 and iterations_of_start(best.stages[0]):
        for n in START_ITERATIONS:
            stage = dataclasses.replace(best.stages[0], init_options={"iterations": n})
            direct.append(tuner.try_out(stage))
    return [*trials, *direct]


def entry_of(trials: list[Trial], best_baseline: tuple[str, float], prior: Any, n: int) -> dict[str, Any]:
    """Return what is frozen of a row."""
    best = max(trials, key=lambda t: t.best)
    validation = {
        "psnr": round(best.best, 3),
        "images": n,
        "prior": prior.name,
        "best_classical": best_baseline[0],
        "best_classical_psnr": round(best_baseline[1], 3),
    }
    return {"stages": [stage.as_json() for stage in best.method.stages], "validation": validation}


def main(arguments: list[str] | None = None) -> int:
    """Tune the rows that are asked for, freeze the best of each, print what was tried."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=8, help="validation images")
    made.add_argument("--row", action="append", choices=list(PAPER_ROWS), help="default: all")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument(
        "--latent-prior",
        default="faces64-additive",
        help="prior over latents: trained without noise, it is better there, and faster",
    )
    made.add_argument("--max-iter", type=int, default=200, help="iterations over latents")
    made.add_argument("--image-iter", type=int, default=80, help="iterations over images")
    made.add_argument("--phi", action="append", choices=PHIS, help="over images; default: all")
    made.add_argument("--patience", type=int, default=30)
    made.add_argument("--configs", type=Path, default=FROZEN, help="file to freeze the best in")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x, mean = faces(options.data, "celeba64-val.zip", options.images), mean_face(options.data)
    prior = fs.load_prior(options.prior)
    rows = read(NAME, options).get("rows", {})
    for name in options.row or PAPER_ROWS:
        tune_row(name, x, mean, prior, rows, options)
    return 0


def tune_row(
    name: str,
    x: torch.Tensor,
    mean: torch.Tensor,
    prior: Any,
    rows: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Tune a row, freeze its best candidate and save the curves of all."""
    row = PAPER_ROWS[name]
    problem = row.task.problem(x)
    scores = {which: float(fs.psnr(classical(which, problem, mean), x).mean()) for which in row.classical}
    print(f"{name}: {', '.join(f'{which} {value:.2f}' for which, value in scores.items())}", flush=True)
    known = _Saved(
        rows.setdefault(name, {}), lambda: save(NAME, options, {"rows": rows}, page(rows), quiet=True)
    )
    # What looks at the truth is no start, nor is the mean face, which no method knows.
    honest = {which: value for which, value in scores.items() if which not in (*baselines.ORACLES, MEAN)}
    start = max(honest, key=honest.__getitem__)
    tuner = Tuner(problem, prior, options.patience, known)
    trials = tune(
        start, tuner, options.max_iter, options.image_iter, options.latent_prior, options.phi or PHIS
    )
    baseline = max(scores.items(), key=lambda pair: pair[1])
    entry = entry_of(trials, baseline, prior, len(x))
    before = frozen(options.configs).get(name, {}).get("validation", {})
    # What was frozen may be better than all that is tried now, on the same images.
    if before.get("images") != len(x) or entry["validation"]["psnr"] > before["psnr"]:
        freeze(name, entry, options.configs)
    lines = [[in_a_line(t.method), f"{t.best:.2f}", t.peak] for t in sorted(trials, key=lambda t: -t.best)]
    print(table(["candidate", "PSNR", "iterations of the last stage"], lines), flush=True)


class _Saved(dict):
    """A dictionary that calls a function when something is put in, and shares its items with another one."""

    def __init__(self, items: dict[str, Any], changed: Any) -> None:
        super().__init__(items)
        self.items_kept, self.changed = items, changed

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.items_kept[key] = value
        self.changed()


def page(rows: dict[str, Any]) -> str:
    """Return the candidates of every row, the best first, as Markdown."""
    lines = []
    for name in filter(rows.__contains__, PAPER_ROWS):
        tried = sorted(rows[name].values(), key=lambda found: -max(found["curve"][1:]))
        lines += [
            [name, found["label"], f"{max(found['curve'][1:]):.2f}", 1 + int(np.argmax(found["curve"][1:]))]
            for found in tried
        ]
    about = "Mean PSNR in dB on validation faces at the best iteration of the last stage."
    return "\n\n".join(
        ["# Candidates tried", about, table(["row", "candidate", "PSNR", "at iteration"], lines)]
    )


if __name__ == "__main__":
    raise SystemExit(main())
