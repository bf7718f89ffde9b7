"""What studies cost beyond their runs: two workers against one, and the overhead of a cell.

A study of 16 cells on test faces, through a Dask cluster of this machine whose workers have one thread each,
with one worker and with two in turn; cells that do next to nothing, whose time is all overhead; and the index
and the report of a thousand cells, of which forty are run and the others are copies under their own names::

    python -m benchmarks.studies --data FOLDER [--evaluations 60] [--rounds 3]
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowsolve.report.page import write_report
from flowsolve.studies.cell import Outcome
from flowsolve.studies.cells import Cell
from flowsolve.studies.cluster import Cluster, local_cluster
from flowsolve.studies.folder import StudyFolder
from flowsolve.studies.index import read_index
from flowsolve.studies.planning import Plan, make_plan
from flowsolve.studies.running import run_study

from .reporting import parser, save, table

SIXTEEN = """
images = "celeba64-test50.zip"
limit = {images}
[budget]
max_evaluations = {evaluations}
rtol = 0
[[cells]]
task = ["deblur", "inpaint-random"]
prior = "faces64-additive"
formulation = ["analysis", "synthesis"]
solver = ["lbfgs", "adam"]
start = ["zeros", "random"]
"""

EMPTY = """
images = "celeba64-test50.zip"
limit = 1
[budget]
max_iter = 0
[[cells]]
task = "denoise"
prior = "faces64-additive"
start = "random"
seed = {seeds}
"""

THOUSAND = """
images = "celeba64-test50.zip"
limit = {images}
[budget]
max_evaluations = {evaluations}
rtol = 0
[[cells]]
task = ["deblur", "super-resolution", "inpaint-random", "inpaint-box", "denoise"]
prior = "faces64-additive"
formulation = ["analysis", "synthesis"]
solver = ["lbfgs", "adam", "nonlinear_cg", "forward_backward"]
start = "random"
seed = {seeds}
"""


def main() -> None:
    """Measure the parts asked for and save each."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        for part in options.part or PARTS:
            results, text = PARTS[part](options, Path(folder))
            save(part, options, results, text)


def workers_part(options: argparse.Namespace, place: Path) -> tuple[dict[str, Any], str]:
    """Return results and tables of one worker beside two, and of cells that do nothing."""
    text = SIXTEEN.format(images=options.images, evaluations=options.evaluations)
    sixteen = plan_of(text, place / "sixteen.toml", options.data)
    empty = plan_of(EMPTY.format(seeds=list(range(options.cells))), place / "empty.toml", options.data)
    rounds = [measure(sixteen, place / f"round{i}") for i in range(options.rounds)]
    overhead = measure_overhead(empty, place / "empty")
    return {"sixteen": rounds, "overhead": overhead}, report(rounds, overhead)


def page_part(options: argparse.Namespace, place: Path) -> tuple[dict[str, Any], str]:
    """Return results and words of the index and the report of a thousand cells."""
    first, whole = (
        plan_of(
            THOUSAND.format(images=options.images, evaluations=options.evaluations, seeds=seeds),
            place / f"thousand{len(seeds)}.toml",
            options.data,
        )
        for seeds in ([0], list(range(options.seeds)))
    )
    page = measure_report(first, whole, place / "thousand")
    text = (
        f"The index of {page['cells']:.0f} cells ({page['images']:.0f} restored images) is read in "
        f"{page['index_s']:.1f} s; their report is written in {page['report_s']:.1f} s, index and answers "
        f"included, and has {page['page_MB']:.1f} MB."
    )
    return {"report": page}, text


PARTS: dict[str, Callable[[argparse.Namespace, Path], tuple[dict[str, Any], str]]] = {
    "studies": workers_part,
    "studies-report": page_part,
}
"""Parts, by the names of the files they write."""


def arguments() -> argparse.Namespace:
    """Return the options."""
    made = parser(__doc__)
    made.set_defaults(threads=1)
    made.add_argument("--part", action="append", choices=PARTS, help="default: both")
    made.add_argument("--images", type=int, default=8, help="images of a cell")
    made.add_argument("--evaluations", type=int, default=60, help="evaluations of a cell")
    made.add_argument("--rounds", type=int, default=3, help="times that one worker and two are compared")
    made.add_argument("--cells", type=int, default=100, help="cells that do nothing")
    made.add_argument("--seeds", type=int, default=25, help="of 40 combinations each: cells of the report")
    return made.parse_args()


def plan_of(text: str, path: Path, data: Path) -> Plan:
    """Return the plan of a study file with this text."""
    path.write_text(text, encoding="utf-8")
    return make_plan(path, data)


class Watched:
    """A cluster that keeps how its cells ended.

    Parameters
    ----------
    cluster : Cluster
        The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.outcomes = cluster, list[Outcome]()

    @property
    def workers(self) -> int:
        """As `Cluster.workers`."""
        return self.cluster.workers

    def carry_out(self, *given: Any) -> Iterator[Outcome]:
        """As `Cluster.carry_out`."""
        for outcome in self.cluster.carry_out(*given):
            self.outcomes.append(outcome)
            yield outcome


@contextmanager
def warm_cluster(workers: int, plan: Plan) -> Iterator[Cluster]:
    """Start a cluster and let every worker load what the cells need: that is once, not for each cell."""
    with local_cluster(workers) as cluster:
        cluster.client.run(warm_up, plan.priors[plan.cells[0].prior])
        yield cluster


def warm_up(source: str) -> None:
    """Import what a cell needs and load the prior."""
    from flowsolve.studies.inputs import kept_prior

    kept_prior(source, "cpu", "float32")


def timed(plan: Plan, workers: int, folder: Path) -> tuple[float, list[float]]:
    """Return the seconds that a study takes and those of its cells."""
    with warm_cluster(workers, plan) as cluster:
        watched = Watched(cluster)
        began = time.perf_counter()
        summary = run_study(plan, folder, executor=watched)
        seconds = time.perf_counter() - began
    if summary.failures:
        raise SystemExit(f"a cell failed: {summary.failures[0]}")
    return seconds, [outcome.seconds for outcome in watched.outcomes]


def measure(plan: Plan, folder: Path) -> dict[str, float]:
    """Return the seconds of one study with one worker and with two, and their ratio."""
    one, cells_of_one = timed(plan, 1, folder / "one")
    two, cells_of_two = timed(plan, 2, folder / "two")
    return {
        "one": one,
        "two": two,
        "ratio": one / two,
        "cell_with_one": statistics.mean(cells_of_one),
        "cell_with_two": statistics.mean(cells_of_two),
    }


def measure_overhead(plan: Plan, folder: Path) -> dict[str, float]:
    """Return milliseconds of a cell that does nothing: all of it, its run and record, and the rest."""
    seconds, cells = timed(plan, 1, folder)
    n = len(cells)
    return {
        "cells": n,
        "all_ms": 1e3 * seconds / n,
        "run_ms": 1e3 * sum(cells) / n,
        "overhead_ms": 1e3 * (seconds - sum(cells)) / n,
    }


def measure_report(first: Plan, whole: Plan, folder: Path) -> dict[str, float]:
    """Return seconds of the index and of the report of a study, and the megabytes of its page.

    Parameters
    ----------
    first : Plan
        The cells of the first seed, which are run.
    whole : Plan
        The cells of all seeds.
    folder : pathlib.Path
        Where the study is put.
    """
    small, large = StudyFolder(folder / "small"), StudyFolder(folder / "large")
    timed(first, 2, small.path)
    large.begin(whole)
    runs = {same_but_seed(cell): small.record(cell.id) for cell in first.cells}
    for cell in whole.cells:
        shutil.copy(runs[same_but_seed(cell)], large.record(cell.id))
    began = time.perf_counter()
    index = read_index([large.path])
    read = time.perf_counter() - began
    page = write_report([large.path], folder / "report.html")
    return {
        "cells": len(index.runs),
        "images": len(index.table),
        "index_s": read,
        "report_s": time.perf_counter() - began - read,
        "page_MB": page.stat().st_size / 1e6,
    }


def same_but_seed(cell: Cell) -> str:
    """Return what distinguishes a cell from all but those of other seeds."""
    return repr(dataclasses.replace(cell, id="", seed=0))


def report(rounds: list[dict[str, float]], overhead: dict[str, float]) -> str:
    """Return the tables."""
    rows = [
        [
            f"{r['one']:.1f}",
            f"{r['two']:.1f}",
            f"{r['ratio']:.2f}",
            f"{r['cell_with_two'] / r['cell_with_one']:.2f}",
        ]
        for r in rounds
    ]
    ratio = statistics.median(r["ratio"] for r in rounds)
    header = ["1 worker, s", "2 workers, s", "ratio", "a cell beside another / alone"]
    empty = (
        f"A cell costs {overhead['overhead_ms']:.1f} ms beyond its run: {overhead['cells']:.0f} cells that "
        f"do nothing take {overhead['all_ms']:.1f} ms each, of which {overhead['run_ms']:.1f} ms are the "
        "set-up of the run and its record."
    )
    title = f"A study of 16 cells, one thread a worker: two workers are {ratio:.2f} times as fast as one."
    return f"{title}\n\n{table(header, rows)}\n\n{empty}"


if __name__ == "__main__":
    main()
