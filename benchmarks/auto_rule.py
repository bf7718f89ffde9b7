"""What each choice of the rule of ``auto`` is worth: the same problems with the choice made otherwise.

On validation faces, of which ``docs/methods.md`` shows the table. Each row is saved when it is there::

    python -m benchmarks.auto_rule [--images 6] [--row box-0.01]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.baselines import classical_start, registry
from flowsolve.methods import Method, plan_method
from flowsolve.methods.auto import Rule
from flowsolve.methods.survey import survey

from .paper_rows import PAPER_ROWS
from .reporting import environment, faces, made_by, parser, read, save, table
from .restoring import restore

NAME = "auto_rule"

FIRST = 100
"""First of the validation faces that are used; those before it tuned the frozen methods."""

Change = Callable[[Method, Rule], Method | None]


def weighted(factor: float) -> Change:
    """Return the change of the last stage's weight by a factor."""

    def change(method: Method, rule: Rule) -> Method | None:
        last = method.stages[-1]
        return None if last.lam is None else with_last(method, replace(last, lam=factor * last.lam))

    return change


def with_last(method: Method, stage: Any) -> Method:
    """Return a method with another last stage."""
    return replace(method, stages=(*method.stages[:-1], stage))


def other_term(method: Method, rule: Rule) -> Method:
    """Return the method with ``smoothed`` in place of ``nll`` in the last stage, or the other way round."""
    last = method.stages[-1]
    stage = rule._smoothed(last.init) if last.phi == "nll" else rule._density(last.init)
    return with_last(method, stage)


def images_alone(method: Method, rule: Rule) -> Method | None:
    """Return the method without latents, or None if it has none."""
    if len(method.stages) == 1:
        return None
    return replace(method, stages=(rule.images(rule.start),))


def latents_first(method: Method, rule: Rule) -> Method | None:
    """Return the method with latents first, or None if it has them."""
    if len(method.stages) > 1:
        return None
    return replace(method, stages=(*rule.latents(), rule.images("previous")))


CHANGES: dict[str, Change] = {
    "auto": lambda method, rule: method,
    "half the weight": weighted(0.5),
    "twice the weight": weighted(2.0),
    "the other term": other_term,
    "images alone": images_alone,
    "latents first": latents_first,
}
"""What is compared."""

ROWS = (
    "deblur-0.01",
    "deblur-0.03",
    "sr2-0.01",
    "sr4-0.01",
    "denoise-0.1",
    "denoise-0.2",
    "random-0.01",
    "random-0.03",
    "box-0.01",
    "box-0.03",
)
"""Rows of the paper's table that the rule is tried on."""


def measure(problem: fs.InverseProblem, prior: Any) -> dict[str, list[float]]:
    """Return the PSNR of the classical start and of each change, image by image."""
    assert problem.x_true is not None
    start = registry.get(classical_start(problem))(problem)
    found = {"classical start": fs.psnr(start, problem.x_true).tolist()}
    method, rule = plan_method("auto", problem, prior), Rule(problem, prior, survey(problem))
    for name, change in CHANGES.items():
        changed = change(method, rule)
        if changed is not None:
            x = restore(problem, prior, changed).x
            found[name] = fs.psnr(x, problem.x_true).tolist()
    return found


def report(rows: dict[str, dict[str, list[float]]], about: str) -> str:
    """Return the page: a line for each row, a column for each change."""
    columns = ["classical start", *CHANGES]
    lines = []
    for name in filter(rows.__contains__, ROWS):
        means = {column: np.mean(values) for column, values in rows[name].items()}
        cells = [f"{means[c]:.2f}" if c in means else "" for c in columns]
        lines.append([PAPER_ROWS[name].task.title, *cells])
    text = "Mean PSNR in dB on validation faces: the last stage's weight and term, and latents first or not."
    parts = ["# The rule of auto, choice by choice", text, table(["problem", *columns], lines), about]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows and save each when it is there."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=6, help="validation faces")
    made.add_argument("--row", action="append", choices=ROWS, help="default: all")
    made.add_argument("--prior", default="faces64", help="name or file")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x = faces(options.data, "celeba64-val.zip", FIRST + options.images)[FIRST:]
    prior = fs.load_prior(options.prior)
    rows = read(NAME, options).get("rows", {})
    for name in options.row or ROWS:
        rows[name] = measure(PAPER_ROWS[name].task.problem(x), prior)
        about = made_by(environment(options.threads))
        save(NAME, options, {"rows": rows}, report(rows, about))
        print(report({name: rows[name]}, about), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
