"""What every benchmark needs around its figures: where images are, what machine this is, results on disk."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import images, sources
from flowsolve.files import write_atomically

RESULTS = Path(__file__).parent / "results"
"""Where results are kept: one JSON file and one Markdown file a benchmark."""

DATA = Path(os.environ.get("FLOWSOLVE_DATA", "../shared/data"))
"""Where the images are, unless --data says otherwise."""

PATHS = ("--data", "--out", "--configs", "--gallery", "--tune", "--test", "--peer-python", "--bm3d-python")
"""Options whose values are paths of one machine: left out of the commands that results show."""

LIBRARIES = ("torch", "numpy", "scipy", "pyxu", "scikit-image")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help="folder of the images (default: $FLOWSOLVE_DATA or ../shared/data)",
    )
    made.add_argument("--threads", type=int, default=2, help="torch threads")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder to write results to")
    return made


def faces(folder: Path, archive: str, limit: int | None = None) -> torch.Tensor:
    """Return the first `limit` images of an archive, (N, 3, 64, 64) in [0, 1].

    Raises
    ------
    SystemExit
        If the archive is not there.
    """
    path = folder / archive
    if not path.exists():
        raise SystemExit(f"{path} is not there: give the folder of {archive} by --data or $FLOWSOLVE_DATA")
    return torch.from_numpy(np.concatenate([images.decode(s) for s in sources.find_images([path])[:limit]]))


def environment(threads: int) -> dict[str, Any]:
    """Return what the figures depend on besides the code: command, machine, versions, date."""
    module = Path(sys.argv[0]).stem
    return {
        "command": " ".join(["python -m benchmarks." + module, *_portable(sys.argv[1:])]),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {"flowsolve": fs.__version__} | {name: metadata.version(name) for name in LIBRARIES},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def made_by(about: dict[str, Any]) -> str:
    """Return command, machine and date of an `environment`, in a line of Markdown."""
    return f"`{about['command']}`, {about['processor']}, {about['date']}"


def _portable(arguments: Sequence[str]) -> list[str]:
    """Return arguments without the paths, which mean nothing on another machine."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [a for before, a in pairs if before not in PATHS and a.split("=")[0] not in PATHS]


def processor() -> str:
    """Return the name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; floats are shown as they are given, so format them before."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return "mean ± population standard deviation"."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def quality(x: torch.Tensor, truth: torch.Tensor) -> dict[str, list[float]]:
    """Return PSNR in dB and SSIM of each image."""
    return {"psnr": fs.psnr(x, truth).tolist(), "ssim": fs.ssim(x, truth).tolist()}


def read(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what ``NAME.json`` in the folder of --out holds, or nothing where it is not there."""
    path = options.out / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def save(
    name: str, options: argparse.Namespace, results: dict[str, Any], text: str, *, quiet: bool = False
) -> None:
    """Write ``NAME.json`` and ``NAME.md`` (tables and command) into the folder of --out, and print."""
    options.out.mkdir(parents=True, exist_ok=True)
    about = environment(options.threads)
    document = {"environment": about, **results}
    line = f"`{about['command']}`, {about['processor']}, {about['threads']} threads, {about['date']}."
    text = text.strip()
    for suffix, content in (
        ("json", json.dumps(document, indent=1, default=_plain)),
        ("md", f"{text}\n\n{line}"),
    ):
        # In one step: a benchmark that is killed while it saves must not lose what it had.
        write_atomically(options.out / f"{name}.{suffix}", f"{content}\n".encode())
    if not quiet:
        print(text, flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value.astype(float), 5).tolist()
    if isinstance(value, np.generic):
        return round(float(value), 5)
    if isinstance(value, torch.Tensor):
        return _plain(value.detach().cpu().numpy())
    raise TypeError(f"{type(value).__name__} does not go into JSON")
