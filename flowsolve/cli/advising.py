"""What ``flowsolve advise`` does: the problem, the advice on it, and the command that follows."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .. import tasks
from ..errors import ArgumentError
from ..flows import load_prior
from ..studies.advise import Advice
from ..studies.advise import advise as find_advice
from ..studies.candidates import Candidate, MethodCandidate, product_candidates
from ..terminal import console, plain
from ..threads import use_threads
from ..words import number
from .asked_problem import make_problem, read_groups
from .line import Line
from .output import OutputFolder
from .request import DTYPES, Request, check_request
from .task_options import as_words

if TYPE_CHECKING:
    from ..studies.precedents import Precedent


@dataclass(frozen=True)
class Choices:
    """What to choose among; nothing said of anything is the usual combinations."""

    formulations: Sequence[str] = ()
    lams: Sequence[str] = ()
    solvers: Sequence[str] = ()
    starts: Sequence[str] = ()

    def candidates(self, task: tasks.Task, sigma: float) -> list[Candidate]:
        """Return the combinations."""
        return product_candidates(
            task,
            sigma,
            formulations=self.formulations,
            lams=self.lams,
            solver_names=self.solvers,
            starts=self.starts,
        )


class AdviceLine(Line):
    """A line on standard error that says what is being tried."""

    def __init__(self) -> None:
        super().__init__("advise", refresh_per_second=4)

    def update(self, rung: int, rungs: int, label: str, gone: float) -> None:
        """Show whose turn it is and which part of the budget is gone."""
        self._bar.update(self._line, completed=min(gone, 1.0), state=f"rung {rung}/{rungs}  {label}")


def probe(
    request: Request, choices: Choices, budget: float, criterion: str, sample: int, began: float
) -> Advice:
    """Return advice from trying combinations on some of the images of a request.

    Parameters
    ----------
    request : Request
        Images, task and prior; the rest of it is what the advice is about.
    choices : Choices
        What to choose among.
    budget : float
        Seconds, counted from `began`.
    criterion : str
        What ranks.
    sample : int
        Most images to try on; they are taken evenly from all.
    began : float
        By ``time.monotonic()``.

    Raises
    ------
    ArgumentError
        If something that was asked for cannot be done.
    """
    task = check_request(request)
    if sample < 1:
        raise ArgumentError("sample", sample, "an integer >= 1")
    if not (np.isfinite(budget) and budget > 0):
        raise ArgumentError("budget", budget, "a number of seconds > 0")
    sigma = task.sigma if request.sigma is None else request.sigma
    candidates = choices.candidates(task, sigma)
    if request.threads is not None:
        use_threads(request.threads)
    prior = load_prior(request.prior, device=request.device, dtype=DTYPES[request.dtype])
    # One batch has one size: of several, that of the most images is tried.
    groups = read_groups(request, task, prior)
    largest = max(groups, key=lambda group: 0 if group is None else len(group.x))
    problem, _ = make_problem(request, task, prior, largest)
    picked = np.unique(np.linspace(0, len(problem) - 1, min(sample, len(problem))).round().astype(int))
    with AdviceLine() as line:
        return find_advice(
            problem.select(picked.tolist()),
            prior,
            candidates,
            budget,
            criterion=criterion,
            seed=request.seed,
            began=began,
            watch=line.update,
        )


def recall(request: Request, folders: Sequence[Path]) -> Precedent:
    """Return advice from finished studies for the task, noise and operator of a request."""
    from ..studies.index import read_index
    from ..studies.precedents import advise_from

    task = check_request(request)
    known = task.options()
    asked = {name: getattr(task, name) for name in request.task_option if known[name].read is None}
    return advise_from(
        read_index(folders),
        request.task,
        sigma=task.sigma if request.sigma is None else request.sigma,
        prior=request.prior,
        operator=asked,
    )


def command(request: Request, chosen: Candidate | MethodCandidate, max_iter: int | None) -> str:
    """Return the ``flowsolve solve`` line that runs a combination, or a method, on the images of a request.

    Its output folder is one that has no run in it: that of the request, or with a number behind it.
    """
    options = chosen.options()
    full = request.replaced(max_iter=max_iter, out=_free(request.out))
    words = ["flowsolve", "solve", *map(_path, full.images)]
    if isinstance(chosen, Candidate):
        full = full.replaced(**options)
    else:
        words += [word for name, value in options.items() for word in (f"--{name}", value)]
    usual = {f.name: f.default for f in dataclasses.fields(full)}
    # Told even where it is the usual: the choice should not hang on defaults.
    told = {"task", "out", *chosen.options()}
    for name, value in vars(full).items():
        if name == "task_option":
            words += as_words(value)
        if name in ("images", "task_option") or (value == usual[name] and name not in told):
            continue
        option = "--" + name.replace("_", "-")
        for part in value if isinstance(value, tuple) else (value,):
            words += [option] if part is True else [option, str(part)]
    return shlex.join(words)


def print_advice(advice: Advice, request: Request, *, as_json: bool) -> None:
    """Print paragraph, table and command, or one JSON object."""
    line = command(request, advice.chosen, advice.max_iter)
    rows = [
        {**dataclasses.asdict(t.candidate), **{k: v for k, v in vars(t).items() if k != "candidate"}}
        for t in advice.tried
    ]
    if as_json:
        said = {
            "chosen": dataclasses.asdict(advice.chosen),
            "max_iter": advice.max_iter,
            "criterion": advice.criterion.name,
            "images": advice.images,
            "seconds": advice.seconds,
            "budget": advice.budget,
            "tried": rows,
            "paragraph": advice.paragraph,
            "command": line,
        }
        print(json.dumps(_finite(said), allow_nan=False))
        return
    heading = {"psnr": "PSNR (dB)", "held-out": "held-out", "objective": "F"}[advice.criterion.name]
    table = _table("rung", "iter.", "s", "start", heading)
    for t in advice.tried:
        scores = (advice.criterion.text(score, unit=False) for score in (t.start, t.score))
        cells = (str(t.rung), str(t.iterations), f"{t.seconds:.1f}", *scores)
        _add_row(table, t.candidate.label, cells, t.verdict)
    _print(advice.paragraph, table, line, {t.candidate.label: t.verdict for t in advice.tried})


def print_precedent(found: Precedent, request: Request, *, as_json: bool) -> None:
    """Print paragraph, table and command, or one JSON object."""
    line = command(request, found.chosen, found.max_iter)
    rows = found.ranking.to_dict("records")
    if as_json:
        said = {
            "chosen": dataclasses.asdict(found.chosen),
            "max_iter": found.max_iter,
            "criterion": "psnr",
            "tried": rows,
            "paragraph": found.paragraph,
            "command": line,
        }
        print(json.dumps(_finite(said), allow_nan=False))
        return
    table = _table("images", "PSNR (dB)", "start", "evals", "s", "p")
    for row in rows:
        p = "" if np.isnan(row["p"]) else f"{row['p']:.2g}"
        numbers = (number(row["psnr"]), number(row["psnr_start"]), f"{row['evaluations']:.0f}")
        cells = (str(row["images"]), *numbers, f"{row['seconds']:.1f}", p)
        _add_row(table, row["combination"], cells, row["verdict"])
    _print(found.paragraph, table, line, {row["combination"]: row["verdict"] for row in rows})


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("combination", overflow="fold")
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _add_row(table: Table, label: str, cells: Iterable[str], verdict: str) -> None:
    style = "bold" if verdict == "chosen" else None
    table.add_row(label, *cells, verdict.partition(":")[0], style=style)


def _print(paragraph: str, table: Table, line: str, verdicts: Mapping[str, str]) -> None:
    out = console()
    out.print(paragraph + "\n")
    out.print(table)
    for label, verdict in verdicts.items():
        if ":" in verdict:
            out.print(f"{label}: {verdict}", style="dim")
    # Not through the console: a line that is broken cannot be pasted.
    print(f"\n{plain(line)}")


def _path(path: Path) -> str:
    """Return a path as a word that cannot be taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _free(out: Path) -> Path:
    """Return a folder that a run can be written to: this one, or with the first number that is free."""
    number, folder = 1, out
    while True:
        try:
            OutputFolder(folder).check(force=False)
        except ArgumentError:
            number += 1
            folder = out.with_name(f"{out.name}-{number}")
        else:
            return folder


def _finite(value: Any) -> Any:
    """Return a value with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
