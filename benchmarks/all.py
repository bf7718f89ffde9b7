"""All benchmarks, at sizes that together take under three quarters of an hour on two cores.

Each runs in a process of its own with its output in ``LOGS/NAME.log``. One that fails does not keep the
others from running; the failures are listed at the end, and the exit code says so. What is measured here goes
to ``results/bench``: runs of the same benchmarks at a larger size are in ``results`` and are not overwritten.
``RESULTS.md`` is made of the Markdown files in both, the larger size where there is one, and says which
commands they are from::

    python -m benchmarks.all [--only natural] [--minutes 10]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .paper_rows import PAPER_ROWS
from .reporting import DATA, RESULTS

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
BENCH = RESULTS / "bench"

ORDER = (
    "paper_table",
    "analysis_or_synthesis",
    "solvers",
    "initialisation",
    "peers",
    "natural",
    "flow_speed",
    "operators",
    "record_overhead",
    "tune_faces",
)
"""Order of the sections of the page; others follow."""


@dataclass(frozen=True)
class Size:
    """How a benchmark is run here.

    Attributes
    ----------
    arguments : str
        Its options.
    minutes : int
        About what it takes on two cores; it is stopped after three times that.
    faces : bool
        Whether it takes ``--data``.
    out : str or None
        What ``--out`` is: the folder of results, or a file in it; None where there is no such option.
    prints : bool
        Whether its table is only printed: then it is made the Markdown file.
    """

    arguments: str
    minutes: int
    faces: bool = True
    out: str | None = "."
    prints: bool = False


ROWS = " ".join(f"--row {name}" for name in PAPER_ROWS if not name.startswith("cs-"))
"""Rows of the paper table here: compressive sensing, whose total variation takes minutes, is left out."""

SIZES: dict[str, Size] = {
    "paper_table": Size(f"--images 4 --seed-images 0 {ROWS}", 12),
    "analysis_or_synthesis": Size(
        "--images 2 --evaluations 50 --max-evaluations 120 --task deblur --task random", 7
    ),
    "solvers": Size("--images 2 --part hybrid --part starts --task deblur --budget 100", 8),
    "initialisation": Size("--images 2 --max-iter 40 --task deblur --solver lbfgs --solver adam", 5),
    "peers": Size("--images 2 --evaluations 80 --task deblur", 3),
    "natural": Size("--every 68 --tune-limit 2 --task denoise-0.1 --task sr2-0.01", 4),
    "flow_speed": Size(
        "--rounds 3 --size bundled --no-memory", 2, faces=False, out="flow_speed.json", prints=True
    ),
    "record_overhead": Size("--iterations 40", 2, faces=False, out=None, prints=True),
    "operators": Size("--size 64x3x64x64 --rounds 3 --processes 2", 2, faces=False),
}
"""What is run; `operators` and `peers` beside those of the other libraries that this environment has."""


def command(name: str, options: argparse.Namespace) -> list[str]:
    """Return the command of a benchmark."""
    size = SIZES[name]
    made = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *size.arguments.split()]
    if size.faces:
        made += ["--data", str(options.data)]
    if size.out is not None:
        made += ["--out", str(options.out / size.out)]
    return [*made, "--threads", str(options.threads)]


def run(name: str, options: argparse.Namespace) -> str | None:
    """Run a benchmark and return what went wrong, or nothing."""
    log = options.logs / f"{name}.log"
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    limit = 60 * (options.minutes or 3 * SIZES[name].minutes)
    with log.open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                command(name, options),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=HERE.parent,
                env=environment,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return f"stopped after {limit // 60} minutes, see {log}"
    if done.returncode:
        return f"exit code {done.returncode}, see {log}"
    if SIZES[name].prints:
        tables = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        text = "\n".join(
            [f"# {name}", "", *tables, "", f"`python -m benchmarks.{name} {SIZES[name].arguments}`"]
        )
        (options.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    return None


def build(folders: Sequence[Path], page: Path) -> None:
    """Make the page of all Markdown files of folders, of which a later one wins; headings one level down."""
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.md"))}
    names = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    parts = [
        "# Results",
        "Made by `python -m benchmarks.all` (`make bench`) from the files in `results/` and, where "
        "there is none of a larger size, `results/bench/`; each says its command, machine and date, and "
        "versions stand in the JSON file beside it.",
    ]
    for name in names:
        text = found[name].read_text(encoding="utf-8").strip()
        # A figure lies beside its results.
        lines = [f"#{line}" if line.startswith("#") else line for line in text.splitlines()]
        where = os.path.relpath(found[name].parent, page.parent)
        section = "\n".join(lines).replace("](", f"]({where}/") if "![" in text else "\n".join(lines)
        parts.append(section if section.startswith("#") else f"## {name}\n\n{section}")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run what there is, build the page, list the failures."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, default=DATA, help="folder of the images")
    made.add_argument("--out", type=Path, default=BENCH, help="folder of results")
    made.add_argument("--logs", type=Path, default=Path("build/bench"), help="folder of the logs")
    made.add_argument("--page", type=Path, default=PAGE, help="where to write the page")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--minutes", type=int, help="stop each after so many minutes")
    made.add_argument("--only", action="append", choices=list(SIZES), help="default: all")
    made.add_argument("--page-only", action="store_true", help="run nothing, build the page")
    options = made.parse_args(arguments)
    for name in ("data", "out", "logs", "page"):
        setattr(options, name, getattr(options, name).resolve())
    options.logs.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    for name in () if options.page_only else options.only or SIZES:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True)
        missing = not (HERE / f"{name}.py").exists() and not (HERE / name / "__main__.py").exists()
        error = "there is no such benchmark" if missing else run(name, options)
        print(error or "done", f"({(time.perf_counter() - began) / 60:.1f} min)", flush=True)
        if error:
            failures[name] = error
    build([options.out, RESULTS], options.page)
    print(f"{options.page} written")
    for name, error in failures.items():
        print(f"FAILED {name}: {error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
