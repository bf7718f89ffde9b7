"""Time and memory of a gradient through the flow, beside bare convolutions and other programs.

All contenders are timed in turn, round after round, on the same weights, and ratios are taken
within a round. Peer libraries run in processes of their own, in their own environment if need
be. Memory is measured in a fresh process for each case::

    python -m benchmarks.flow_speed --threads 2 [--peer-python normflows=/envs/nf/bin/python]

Cases
-----
seed
    4 levels of 32 steps, 512 channels inside the couplings, batch 8.
bundled
    The prior ``faces64-additive``, batch 16.

Contenders
----------
bare convolutions
    The couplings' convolutions and their transposes, nothing between them and nothing kept.
plain
    The trainable network layer by layer: LU factors multiplied at every call, ActNorm apart, the
    log-determinant always computed, in the layout NCHW. No gradients of weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from . import flow_contenders
from .flow_contenders import BATCHES, DIRECTIONS, PEERS, Gradient, contenders, make_glow
from .flow_memory import MODES, STEPS, measure_memory
from .operators import importable
from .reporting import processor

BARE, OURS, PLAIN = "bare convolutions", "flowsolve float32", "plain"


class Peer:
    """A process that times one library.

    Parameters
    ----------
    python : str
        Interpreter that has the library.
    library, size, config, threads
        What :mod:`.flow_contenders` is started with.
    """

    def __init__(self, python: str, library: str, size: str, config: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [python, "-W", "ignore", flow_contenders.__file__, library, size, config, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError(f"{library}: its process ended")

    def seconds(self, direction: str) -> float:
        """Return the seconds of one gradient."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(direction, file=self.process.stdin, flush=True)
        return float(json.loads(self.process.stdout.readline())["seconds"])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def timed(gradient: Gradient, device: str) -> float:
    """Return the seconds of one gradient, to its end on the device."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    gradient()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_speed(
    size: str, rounds: int, device: str, pythons: dict[str, str], threads: int
) -> dict[str, dict[str, Any]]:
    """Return for each direction and contender its median seconds and median ratios."""
    glow = make_glow(size)
    cases = contenders(glow, BATCHES[size], device)
    config = json.dumps(glow.config.model_dump(mode="json"))
    peers = {}
    for library, python in pythons.items():
        try:
            peers[library] = Peer(python, library, size, config, threads)
        except RuntimeError as error:
            print(f"{error}; skipped", file=sys.stderr)
    results = {}
    for direction in DIRECTIONS:
        functions = {name: lambda g=gradient: timed(g, device) for name, gradient in cases[direction].items()}
        functions |= {name: lambda p=process, d=direction: p.seconds(d) for name, process in peers.items()}
        results[direction] = _interleave(functions, rounds)
    for process in peers.values():
        process.close()
    return results


def _interleave(functions: dict[str, Any], rounds: int) -> dict[str, Any]:
    names = list(functions)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        functions[name]()
    for number in range(rounds):
        # The order turns, so that nobody always follows the same neighbour.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(functions[name]())
    rows = {}
    for name, found in seconds.items():
        rows[name] = {"seconds": statistics.median(found), "all_seconds": found}
        for against in (BARE, OURS, PLAIN):
            ratios = [a / b for a, b in zip(found, seconds[against], strict=True)]
            rows[name][f"ratio_to_{against}"] = statistics.median(ratios)
    return rows


def measure_accuracy(device: str) -> dict[str, float]:
    """Return how far bfloat16 couplings move the bundled prior, on photographs, per image."""
    import flowsolve as fs

    from .record_overhead import photographs

    exact = fs.load_prior("faces64-additive", device=device)
    narrow = exact.to(coupling_dtype=torch.bfloat16)
    x = photographs(16).to(device).requires_grad_()

    def gradient(prior: Any) -> Any:
        energy = prior.energy(x)
        return energy.detach(), torch.autograd.grad(energy.sum(), x)[0].flatten(1)

    (energy, slope), (narrow_energy, narrow_slope) = gradient(exact), gradient(narrow)
    with torch.no_grad():
        distance = (narrow_slope - slope).norm(dim=1) / slope.norm(dim=1)
        back, narrow_back = exact.decode(exact.encode(x)) - x, narrow.decode(narrow.encode(x)) - x
        z = torch.randn(16, exact.n, generator=torch.Generator().manual_seed(0)).to(device)
        decoded = narrow.decode(z) - exact.decode(z)
    return {
        "energy_relative_max": float(((narrow_energy - energy) / energy).abs().max()),
        "gradient_relative_median": float(distance.median()),
        "gradient_relative_max": float(distance.max()),
        "round_trip_max": float(narrow_back.abs().max()),
        "round_trip_max_float32": float(back.abs().max()),
        "decoded_max": float(decoded.abs().max()),
        "decoded_rms": float(decoded.square().mean().sqrt()),
    }


def speed_table(results: dict[str, Any]) -> str:
    """Return the times as Markdown."""
    lines = ["| size | map | contender | ms | to bare | plain / it |", "|" + " --- |" * 6]
    for size, directions in results["speed"].items():
        for direction, rows in directions.items():
            for name, row in rows.items():
                to_bare, to_plain = row[f"ratio_to_{BARE}"], 1 / row[f"ratio_to_{PLAIN}"]
                cells = [size, direction, name, f"{1e3 * row['seconds']:.1f}", f"{to_bare:.2f}"]
                lines.append("| " + " | ".join([*cells, f"{to_plain:.2f}"]) + " |")
    return "\n".join(lines)


def memory_table(results: dict[str, Any]) -> str:
    """Return the peaks as Markdown: allocated, and resident in parentheses."""
    head = ["size", "memory", *(f"{steps} steps, MB" for steps in STEPS)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for size, modes in results["memory"].items():
        for mode, peaks in modes.items():
            found = [peaks[str(steps)] for steps in STEPS]
            cells = [f"{p['allocated'] / 1e6:.1f} ({p.get('resident', 0) / 1e6:.0f})" for p in found]
            lines.append("| " + " | ".join([size, mode, *cells]) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, print tables and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each contender")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", action="append", choices=list(BATCHES), help="default: all")
    parser.add_argument("--peer-python", action="append", default=[], metavar="LIBRARY=PYTHON")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/flow_speed.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    given = dict(pair.split("=", 1) for pair in options.peer_python)
    pythons, versions = {}, {"torch": torch.__version__}
    for library in PEERS if options.device == "cpu" else ():
        python = given.get(library, sys.executable)
        version = importable(python, library)
        if version is None:
            print(f"{library}: skipped, as {python} cannot import it", file=sys.stderr)
        else:
            pythons[library], versions[library] = python, version
    sizes = options.size or list(BATCHES)
    results: dict[str, Any] = {
        "versions": versions,
        "threads": options.threads,
        "device": options.device,
        "rounds": options.rounds,
        "machine": {"processor": processor(), "python": platform.python_version()},
        "batch": BATCHES,
        "speed": {
            size: measure_speed(size, options.rounds, options.device, pythons, options.threads)
            for size in sizes
        },
        "accuracy_bfloat16": measure_accuracy(options.device),
        "memory": {},
    }
    print(speed_table(results))
    if not options.no_memory:
        results["memory"] = {
            size: {
                mode: {str(steps): measure_memory(size, mode, steps, options.device) for steps in STEPS}
                for mode in MODES
            }
            for size in sizes
        }
        print("\n" + memory_table(results))
    print("\nbfloat16: " + ", ".join(f"{k} {v:.2g}" for k, v in results["accuracy_bfloat16"].items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
