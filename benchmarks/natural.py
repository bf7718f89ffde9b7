"""What a prior for images of any size restores of whole photographs, beside classical restorations.

Weights of total variation and of the prior, its term (``nll`` with L-BFGS, or ``smoothed`` with Adam, whose
step falls to nothing), the start and the number of iterations are chosen on crops of photographs of --tune
(every twentieth, held out of the prior's training) and used as they are on those of --test. Beside total
variation stand non-local means and, where the package ``bm3d`` is installed, BM3D for denoising, and
interpolation with back-projection for super-resolution; and ``auto``, the plain call of
`flowsolve.restore`, which nothing is chosen for::

    python -m benchmarks.natural --every 4 [--task denoise-0.1] [--limit 10] [--auto-only]
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import baselines, images, sources
from flowsolve.operators import Blur, Downsample, Identity, LinearOperator, Mask

from .reporting import environment, made_by, parser, quality, read, save, spread, table
from .restoring import restore as restore_plainly

NAME, TV, BM3D, AUTO = "natural", "total-variation", "bm3d", "auto"


@dataclass(frozen=True)
class Task:
    """A task on photographs: title, operator by shape and seed, noise, other baselines, iterations."""

    title: str
    operator: Callable[[tuple[int, int, int], int, int], LinearOperator]
    sigma: float
    others: tuple[str, ...] = ()
    iterations: int = 40


TASKS = {
    "denoise-0.1": Task(
        "denoising, σ = 0.1", lambda s, n, seed: Identity(s), 0.1, ("non-local-means", "bm3d"), 20
    ),
    "denoise-0.05": Task(
        "denoising, σ = 0.05", lambda s, n, seed: Identity(s), 0.05, ("non-local-means", "bm3d"), 20
    ),
    "deblur-0.01": Task("deblurring 7x7, σ = 0.01", lambda s, n, seed: Blur.uniform(7, s), 0.01),
    "sr2-0.01": Task("SR×2, σ = 0.01", lambda s, n, seed: Downsample(2, s), 0.01, ("back-projection",)),
    "inpaint-random": Task(
        "random inpainting 60 %, σ = 0",
        lambda s, n, seed: Mask.random(0.6, dim_shape=s, seed=seed, n_images=n),
        0.0,
        ("harmonic",),
    ),
}

TV_WEIGHTS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.8, 1.0, 1.25)
"""Weights of total variation in units of the noise's deviation (sigma > 0)."""

LAM_FACTORS = {"nll": (0.1, 0.2, 0.35, 0.5, 1.0), "smoothed": (0.2, 0.35, 0.6)}
"""Weights of the prior in units of the MAP weight (sigma > 0), by its term."""

ADAM = {"lr": 0.02, "beta2": 0.99, "schedule": "cosine", "basis": "cosines"}
"""How Adam is used for ``smoothed``."""

CROP = 128
"""Side in pixels of the middle of each photograph that options are chosen on."""

BM3D_WORKER = """
import sys, numpy, bm3d
with numpy.load(sys.argv[1]) as given:
    numpy.save(sys.argv[2], numpy.stack([bm3d.bm3d_rgb(x, float(given["sigma"])) for x in given["y"]]))
"""


@dataclass(frozen=True)
class Chosen:
    """What was chosen on crops: TV's weight, start, prior term, factor of the MAP weight, iterations."""

    tv_weight: float
    start: str
    phi: str
    lam_factor: float
    iterations: int


def photographs(path: Path, limit: int | None, every: int = 1, crop: int | None = None) -> list[torch.Tensor]:
    """Return batches (N, 3, H, W) in [0, 1], one for each size there is, the sides even.

    Raises
    ------
    SystemExit
        If the archive is not there.
    """
    if not path.exists():
        raise SystemExit(f"{path} is not there: give its folder by --data or $FLOWSOLVE_DATA, or the file")
    sizes: dict[tuple[int, ...], list[np.ndarray]] = {}
    for source in sources.find_images([path])[every // 2 :: every][:limit]:
        x = images.decode(source)[0]
        # Super-resolution by 2 wants sides that it divides; all tasks get the same images.
        x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
        if crop is not None:
            top, left = (x.shape[1] - crop) // 2, (x.shape[2] - crop) // 2
            x = x[:, top : top + crop, left : left + crop]
        sizes.setdefault(x.shape[1:], []).append(x)
    return [torch.from_numpy(np.stack(group)) for group in sizes.values()]


def problem_of(task: Task, x: torch.Tensor, seed: int = 0) -> fs.InverseProblem:
    """Return the measurements of a batch of photographs."""
    shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
    operator = task.operator(shape, len(x), seed)
    y = fs.degrade(operator, x, sigma=task.sigma, seed=seed)
    return fs.InverseProblem(operator, y, sigma=task.sigma, x_true=x)


def total_variation(problem: fs.InverseProblem, factor: float) -> torch.Tensor:
    """Return the total-variation restoration; its weight is a factor of the noise's deviation."""
    return baselines.total_variation(problem, weight=factor * problem.sigma if problem.sigma else None)


def start_of(name: str, problem: fs.InverseProblem, tv_weight: float) -> torch.Tensor:
    """Return the classical restoration that a descent starts from."""
    if name == TV:
        return total_variation(problem, tv_weight)
    return baselines.registry.get(name)(problem)


def restore(problem: fs.InverseProblem, prior: Any, chosen: Chosen, start: torch.Tensor) -> Any:
    """Return the result of our solver over images, from a start."""
    lam = chosen.lam_factor * problem.sigma**2 / 2 if problem.sigma else "map"
    objective = fs.Analysis(problem, prior, phi=chosen.phi, lam=lam)
    how: dict[str, Any] = {"solver": "lbfgs"}
    if chosen.phi == "smoothed":
        how = {"solver": "adam", **ADAM, "horizon": chosen.iterations}
    return fs.solve(objective, init=start, max_iter=chosen.iterations, rtol=None, **how)


def mean_psnr(restored: list[torch.Tensor], problems: list[fs.InverseProblem]) -> float:
    """Return the mean PSNR over all images of some batches."""
    pairs = zip(restored, problems, strict=True)
    return float(np.mean(np.concatenate([fs.psnr(x, p.x_true) for x, p in pairs])))


def choose_tv(problems: list[fs.InverseProblem]) -> tuple[float, dict[float, float]]:
    """Return the best weight of total variation on the images to choose on, and all that was tried."""
    tried = TV_WEIGHTS if problems[0].sigma > 0 else (1.0,)
    weights = {w: mean_psnr([total_variation(p, w) for p in problems], problems) for w in tried}
    return max(weights, key=weights.__getitem__), weights


def choose(
    task: Task, batches: list[torch.Tensor], prior: Any, max_iter: int | None = None
) -> tuple[Chosen, dict[str, Any]]:
    """Return the best weights and iterations on the images to choose on, and all that was tried."""
    problems = [problem_of(task, x) for x in batches]
    noisy, iterations = bool(task.sigma), min(task.iterations, max_iter or task.iterations)
    weight, weights = choose_tv(problems)
    names = [TV, *(name for name in task.others if name != BM3D)]
    starts = {name: [start_of(name, p, weight) for p in problems] for name in names}
    scores = {name: mean_psnr(restored, problems) for name, restored in starts.items()}
    start = max(scores, key=scores.__getitem__)
    tried: dict[Chosen, float] = {}
    for phi, factors in LAM_FACTORS.items():
        for factor in factors if noisy else (1.0,):
            chosen = Chosen(weight, start, phi, factor, iterations)
            runs = [restore(p, prior, chosen, s) for p, s in zip(problems, starts[start], strict=True)]
            curve = np.concatenate([run.trace["psnr"] for run in runs], axis=1).mean(1)
            # L-BFGS stops where the mean of the curves peaks; Adam's step is nothing at the end of its run.
            last = 1 + int(np.argmax(curve[1:])) if phi == "nll" else iterations
            tried[dataclasses.replace(chosen, iterations=last)] = float(curve[last])
    best = max(tried, key=tried.__getitem__)
    curves = [[c.phi, c.lam_factor, c.iterations, value] for c, value in tried.items()]
    return best, {"tv": weights, "starts": scores, "prior": curves}


def bm3d(problem: fs.InverseProblem, python: str) -> torch.Tensor:
    """Return BM3D of colour images, computed by the interpreter that has it."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npy"
        y = problem.y.movedim(1, -1).numpy().astype(np.float64)
        np.savez(given, y=y, sigma=problem.sigma)
        subprocess.run([python, "-W", "ignore", "-c", BM3D_WORKER, str(given), str(found)], check=True)
        return torch.from_numpy(np.load(found)).movedim(-1, 1).to(problem.y)


def has_bm3d(python: str) -> bool:
    """Return whether an interpreter can import bm3d."""
    return subprocess.run([python, "-c", "import bm3d"], capture_output=True).returncode == 0


def measure(
    task: Task,
    batches: list[torch.Tensor],
    prior: Any,
    chosen: Chosen | float,
    bm3d_python: str | None,
    max_iter: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Return PSNR and SSIM by image, and seconds an image, of every method.

    Where only the weight of total variation was chosen, there are `auto` and the classical ones.
    """
    tv_weight = chosen.tv_weight if isinstance(chosen, Chosen) else chosen
    methods: dict[str, dict[str, Any]] = {}

    def note(name: str, x: torch.Tensor, truth: torch.Tensor, seconds: float) -> None:
        entry = methods.setdefault(name, {"psnr": [], "ssim": [], "seconds": []})
        for key, values in {**quality(x, truth), "seconds": [seconds]}.items():
            entry[key] += values

    for image in (image for x in batches for image in x.split(1)):
        problem = problem_of(task, image)
        spent: dict[str, float] = {}
        found: dict[str, torch.Tensor] = {}
        for name in (TV, *task.others):
            if name == BM3D and bm3d_python is None:
                continue
            began = time.perf_counter()
            if name == BM3D:
                found[name] = bm3d(problem, str(bm3d_python))
            else:
                found[name] = start_of(name, problem, tv_weight)
            spent[name] = time.perf_counter() - began
            note(name, found[name], image, spent[name])
        plain = restore_plainly(problem, prior, max_iter=max_iter)
        note(AUTO, plain.x, image, plain.seconds)
        methods[AUTO].setdefault("cpu_seconds", []).append(plain.cpu_seconds)
        methods[AUTO]["reason"] = plain.method.reason
        if isinstance(chosen, Chosen):
            result = restore(problem, prior, chosen, found[chosen.start])
            note(f"flow ({prior.name})", result.final.x, image, spent[chosen.start] + result.seconds)
    return methods


def report(rows: dict[str, Any]) -> str:
    """Return the table of all methods as Markdown."""
    lines = []
    for name, row in rows.items():
        base = np.mean(row["methods"][TV]["psnr"])
        for method, entry in row["methods"].items():
            gain = np.mean(entry["psnr"]) - base
            cells = [len(entry["psnr"]), spread(entry["psnr"]), f"{gain:+.2f}", spread(entry["ssim"], 3)]
            lines.append([TASKS[name].title, method, *cells, f"{np.mean(entry['seconds']):.1f}"])
    head = ["task", "method", "images", "PSNR", "over TV", "SSIM", "s/image"]
    chosen = [f"- {TASKS[name].title}: {row['chosen']}; {row['by']}" for name, row in rows.items()]
    decided = [
        f"- {TASKS[name].title}: {row['methods'][AUTO]['reason']}"
        for name, row in rows.items()
        if AUTO in row["methods"]
    ]
    title = "# Photographs of any size"
    parts = [title, table(head, lines), "Chosen on crops of other photographs:", "\n".join(chosen)]
    return "\n\n".join([*parts, "What auto chose:", "\n".join(decided)] if decided else parts)


def main(arguments: list[str] | None = None) -> int:
    """Choose, measure, save after each task, print."""
    made = parser(__doc__)
    made.add_argument("--tune", type=Path, help="archive to choose on (default: bsds-train400.zip of --data)")
    made.add_argument("--test", type=Path, help="archive to report on (default: bsds-test68.zip of --data)")
    made.add_argument("--prior", default="natural")
    made.add_argument("--limit", type=int, help="use no more test photographs than this")
    made.add_argument("--every", type=int, default=1, help="use every so many-th test photograph")
    made.add_argument("--tune-limit", type=int, default=8)
    made.add_argument("--crop", type=int, help="take only the middle of each test photograph (pixels)")
    made.add_argument("--task", choices=list(TASKS), action="append", help="default: all")
    made.add_argument("--max-iter", type=int, help="at most so many iterations, for quick trials")
    made.add_argument(
        "--auto-only", action="store_true", help="of ours, only auto: of all, only TV's weight is chosen"
    )
    made.add_argument("--bm3d-python", default=sys.executable, help="interpreter that can import bm3d")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    prior = fs.load_prior(options.prior)
    tune = photographs(options.tune or options.data / "bsds-train400.zip", options.tune_limit, 20, CROP)
    test = photographs(
        options.test or options.data / "bsds-test68.zip", options.limit, options.every, options.crop
    )
    python = options.bm3d_python if has_bm3d(options.bm3d_python) else None
    if python is None:
        print(f"bm3d: left out, as {options.bm3d_python} cannot import it", file=sys.stderr)
    rows = read(NAME, options).get("rows", {}) if options.task else {}
    for name in options.task or TASKS:
        task = TASKS[name]
        if options.auto_only:
            chosen, weights = choose_tv([problem_of(task, x) for x in tune])
            tried, kept = {"tv": weights}, {"tv_weight": chosen}
        else:
            chosen, tried = choose(task, tune, prior, options.max_iter)
            kept = vars(chosen)
        print(f"{name}: {kept}", flush=True)
        methods = measure(task, test, prior, chosen, python, options.max_iter)
        by = made_by(environment(options.threads))
        rows[name] = {"chosen": kept, "tried": tried, "methods": methods, "by": by}
        save(NAME, options, {"rows": rows, "bm3d": python is not None}, report(rows), quiet=True)
    print(report(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
