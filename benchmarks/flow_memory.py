"""Peak memory of one gradient of the energy, in a process that does nothing else.

``python -m benchmarks.flow_memory SIZE MODE STEPS DEVICE`` prints two numbers of bytes as JSON:

allocated
    What torch had allocated at most, beyond what it had before. Exact, and the same at every run.
resident
    What the process had of the machine's memory at most, beyond what it had before: with the
    C library's slack, which varies (CPU only).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

MODES = ("store", "checkpoint", "invertible", "autograd")
"""The modes of a prior, and what autograd keeps when it records every operation."""

STEPS = (8, 16, 32)


def measure_memory(size: str, mode: str, steps: int, device: str) -> dict[str, int]:
    """Return both peaks in bytes, measured in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.flow_memory", size, mode, str(steps), device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def allocated(function: Callable[[], None]) -> int:
    """Return how many bytes torch had allocated at most on the CPU while `function` ran."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    events = recorded.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in changes))


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key)))


def start_peak() -> int:
    """Return the memory in use, and let the peak start from it where the system allows that."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # What was freed but not returned must not hide what is taken next.
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak() -> int:
    """Return the most memory that has been in use since."""
    try:
        return _status("VmHWM")
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure one case."""
    from flowsolve.flows import FlowPrior, Glow, load_prior
    from flowsolve.flows.memory import recording

    from .flow_contenders import BATCHES

    size, mode, steps, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    config = load_prior("faces64-additive").config
    changed = {"steps": steps} | ({"hidden": 512, "levels": 4} if size == "seed" else {})
    glow = Glow(type(config)(**{**config.model_dump(), **changed}))
    prior = FlowPrior(glow, device=device, memory="store" if mode == "autograd" else mode)
    del glow
    height, width = config.size or (64, 64)
    x = torch.rand(BATCHES[size], config.channels, height, width).to(device)

    def gradient(images: torch.Tensor) -> None:
        leaf = images.clone().requires_grad_()
        with recording() if mode == "autograd" else contextlib.nullcontext():
            torch.autograd.grad(prior.energy(leaf).sum(), leaf)

    gradient(x[:1])
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        gradient(x)
        print(json.dumps({"allocated": torch.cuda.max_memory_allocated() - before}))
        return
    before = start_peak()
    gradient(x)
    resident = peak() - before
    # A pool would hand out again what the gradient above has left in it.
    prior = prior.to()
    print(json.dumps({"allocated": allocated(lambda: gradient(x)), "resident": resident}))


if __name__ == "__main__":
    main()
