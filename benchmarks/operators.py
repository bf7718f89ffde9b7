"""Times of operators beside those of other libraries, on one machine in one run.

Each library runs in a process of its own, in its own environment if need be, and all are
asked in turn, round after round, so that what else the machine does falls on all alike.
Ratios are taken within a round. Where a process's memory happens to lie makes a copy or a
product faster or slower for as long as it lives, so that each library gets several, one after
the other, and their rounds count alike.

Examples
--------
``python benchmarks/operators.py --peer-python scico=/envs/scico/bin/python --out build/bench``
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from operator_contenders import CONTENDERS, MAPS, ON_TORCH, OPERATORS, SIZES, data
from reporting import environment, made_by

OURS, BARE = "flowsolve", "torch (bare)"
SECONDS = 0.02
"""What one measurement should take at least: short calls are repeated, and the middle one counts."""


class Worker:
    """A process that times one contender.

    Parameters
    ----------
    name : str
        Name of the contender.
    python : str
        Interpreter of the environment that has the library.
    threads : int
        Threads, and cores, that it may use.
    device : str
        Where libraries that run on torch compute.
    """

    def __init__(self, name: str, python: str, threads: int, device: str) -> None:
        self.name = name
        environment = dict(os.environ, JAX_PLATFORMS="cpu")
        for key in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
            environment[f"{key}_NUM_THREADS"] = str(threads)
        # Or else the C library now and then gives the memory of results back to the system and takes it anew,
        # page by page, at every call: a toss of a coin that can double the time of any of them.
        environment |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31)}
        script = Path(__file__).with_name("operator_contenders.py")
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(script), name, str(threads), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request; a process that has ended answers with an error."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            return {"error": "the process ended"}

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def importable(python: str, library: str) -> str | None:
    """Return the version of a library in an environment, or ``None`` where it is not."""
    code = f"import {library}; import importlib.metadata as m; print(m.version('{library}'))"
    done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 and done.stdout.strip() else None


def measure(
    workers: list[Worker], operator: str, size: str, name: str, rounds: int
) -> dict[str, dict[str, Any]]:
    """Return times, memory and agreement of one map for each contender that has it."""
    case = {"operator": operator, "size": size, "map": name}
    rows: dict[str, dict[str, Any]] = {}
    taking_part: list[tuple[Worker, int]] = []
    for worker in workers:
        checked = worker.ask(**case, check=True)
        if "missing" in checked:
            continue
        if "error" in checked:
            rows[worker.name] = checked
            continue
        once = worker.ask(**case, loops=1)["seconds"]
        taking_part.append((worker, max(1, min(1000, math.ceil(SECONDS / max(once, 1e-7))))))
        rows[worker.name] = {
            "peak_bytes": checked["peak"],
            "fingerprint": checked["fingerprint"],
            "seconds": [],
        }
    for number in range(rounds):
        # The order turns, so that nobody always follows the same neighbour.
        for worker, loops in (
            taking_part[number % len(taking_part) :] + taking_part[: number % len(taking_part)]
        ):
            rows[worker.name]["seconds"].append(worker.ask(**case, loops=loops)["seconds"])
    return rows


def pooled(runs: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the rows of several processes as one: all rounds, the highest memory, an error of any."""
    rows: dict[str, dict[str, Any]] = {}
    for name in runs[0]:
        parts = [run.get(name, {"error": "the process ended"}) for run in runs]
        failed = next((part for part in parts if "error" in part), None)
        rows[name] = failed or {
            "peak_bytes": max(part["peak_bytes"] for part in parts),
            "fingerprint": parts[0]["fingerprint"],
            "seconds": [second for part in parts for second in part["seconds"]],
        }
    _compare(rows)
    return rows


def _compare(rows: dict[str, dict[str, Any]]) -> None:
    """Add to each row the least and the middle ratio of our time to its own, and whether it agrees."""
    ours = rows[OURS]
    for row in rows.values():
        if "error" in row:
            continue
        ratios = [a / b for a, b in zip(ours["seconds"], row["seconds"], strict=True)]
        row["ratio_min"], row["ratio_median"] = min(ratios), statistics.median(ratios)
        row["seconds_min"], row["seconds_median"] = min(row["seconds"]), statistics.median(row["seconds"])
        pairs = zip(ours["fingerprint"], row["fingerprint"], strict=True)
        row["agrees"] = all(abs(a - b) <= 2e-3 * max(abs(a), 1.0) for a, b in pairs)


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: per row our time, the fastest other, the ratio, and memory."""
    names = [n for n in CONTENDERS if n != OURS and n in results["versions"]]
    head = ["operator", "batch", "map", "flowsolve ms", *(f"{n} ms" for n in names), "fastest other"]
    head += ["ratio median (min)", "ratio to bare", "peak / output"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in results["rows"]:
        timed = {n: r for n, r in row["contenders"].items() if "error" not in r}
        ours = timed[OURS]
        others = {n: r for n, r in timed.items() if n not in (OURS, BARE) and r["agrees"]}
        fastest = min(others, key=lambda n: others[n]["seconds_median"], default=None)
        cells = [row["operator"], row["size"], row["map"], f"{1e3 * ours['seconds_median']:.3f}"]
        cells += [_cell(row["contenders"].get(n)) for n in names]
        cells.append(fastest or "none")
        best = others.get(fastest or "")
        cells.append(f"{best['ratio_median']:.2f} ({best['ratio_min']:.2f})" if best else "")
        cells.append(f"{timed[BARE]['ratio_median']:.2f}" if BARE in timed else "")
        cells.append(f"{ours['peak_bytes'] / row['output_bytes']:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    if "error" in row:
        return "error"
    return f"{1e3 * row['seconds_median']:.3f}" + ("" if row["agrees"] else " (another map)")


def output_bytes(operator: str, size: str, name: str) -> int:
    """Return the size of a map's result in float32."""
    x, y = data(operator, size)
    return y.nbytes if name == "apply" else x.nbytes


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and write ``operators.json`` and ``operators.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"), help="folder to write to")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each map by a process")
    parser.add_argument("--processes", type=int, default=3, help="processes of each library, in turn")
    parser.add_argument("--threads", type=int, default=1, help="threads and cores for each library")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the libraries that run on torch")
    parser.add_argument("--peer-python", action="append", default=[], metavar="LIBRARY=PYTHON")
    parser.add_argument("--operator", action="append", choices=OPERATORS, help="default: all")
    parser.add_argument("--size", action="append", choices=SIZES, help="default: all")
    parser.add_argument("--map", action="append", choices=MAPS, help="default: all")
    options = parser.parse_args(arguments)
    pythons = dict(pair.split("=", 1) for pair in options.peer_python)
    versions: dict[str, str] = {}
    for name, (library, _) in CONTENDERS.items():
        if options.device != "cpu" and library not in ON_TORCH:
            continue
        python = pythons.get(library, sys.executable)
        version = importable(python, library)
        if version is None:
            print(f"{name}: skipped, as {library} cannot be imported by {python}", file=sys.stderr)
            continue
        versions[name] = version
    results: dict[str, Any] = {
        "versions": versions,
        "threads": options.threads,
        "device": options.device,
        "rounds": options.rounds,
        "processes": options.processes,
        "environment": environment(options.threads),
        "rows": [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    runs: dict[tuple[str, str, str], list[dict[str, dict[str, Any]]]] = {}
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for _ in range(options.processes):
        workers = [
            Worker(name, pythons.get(CONTENDERS[name][0], sys.executable), options.threads, options.device)
            for name in versions
        ]
        for case in product(options.operator or OPERATORS, options.size or SIZES, options.map or MAPS):
            runs.setdefault(case, []).append(measure(workers, *case, options.rounds))
            rows[case] = _row(*case, runs[case])
            results["rows"] = list(rows.values())
            line = table({**results, "rows": [rows[case]]}).splitlines()[-1]
            print(line, file=sys.stderr, flush=True)
            write(results, options.out)
        for worker in workers:
            worker.close()
    print(table(results))
    return 0


def _row(operator: str, size: str, name: str, runs: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    row = {"operator": operator, "size": size, "map": name, "contenders": pooled(runs)}
    return row | {"output_bytes": output_bytes(operator, size, name)}


def write(results: dict[str, Any], folder: Path) -> None:
    """Write what there is so far, so that a run that is stopped leaves its rows."""
    (folder / "operators.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "operators.md").write_text(page(results), encoding="utf-8")


def page(results: dict[str, Any]) -> str:
    """Return the table with what its figures are and where they come from."""
    device = results["device"]
    return f"""# Operators beside other libraries

Median milliseconds of {results["rounds"]} rounds, in each of which all libraries are asked in turn, by each
of {results["processes"]} processes one after the other.
Ratios of our time to that of the fastest other library and to bare torch, within a round (the least in
brackets). Memory that a call takes at its highest, over the size of its result. Float32, {device},
threads: {results["threads"]}.

{table(results)}

{made_by(results["environment"])}
"""


if __name__ == "__main__":
    raise SystemExit(main())
