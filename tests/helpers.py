"""Small problems shared by the tests: a tiny random flow, smooth images, a quadratic with a known minimum."""

import sys
import threading
import time

import numpy as np
import torch

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.flows import FlowPrior, Glow, GlowConfig
from flowsolve.objectives import Evaluation
from flowsolve.tally import Tally


def make_tiny_prior(dtype=torch.float64, seed=3):
    """Return a prior of 3x8x8 images with random weights, quick enough for hundreds of iterations."""
    glow = Glow(GlowConfig(channels=3, image_size=8, levels=2, steps=2, hidden=6), seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return FlowPrior(glow, name="tiny", dtype=dtype)


def make_images(n=3, size=8, channels=3):
    """Return smooth images in [0, 1], (n, channels, size, size), float64."""
    row, column = np.meshgrid(np.linspace(0, 3, size), np.linspace(0, 3, size), indexing="ij")
    stack = [
        [0.5 + 0.3 * np.sin(row * (1 + 0.3 * i) + c) * np.cos(column + 0.5 * i) for c in range(channels)]
        for i in range(n)
    ]
    return torch.as_tensor(np.array(stack))


def make_problem(operator=None, sigma=0.05, n=3, seed=0):
    """Return a problem of tiny images; a random mask with 40 % missing unless an operator is given."""
    x = make_images(n)
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1) if operator is None else operator
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=sigma, seed=seed), sigma=sigma, x_true=x)


#: Seconds after which something counts as hung: far more than it takes on a machine that is busy.
PATIENCE = 600


class Ticks:
    """A clock that goes on by a fixed step whenever it is read, however busy the machine is."""

    def __init__(self, step=0.001):
        self.step, self.now = step, 0.0

    def __call__(self):
        self.now += self.step
        return self.now


def wait_until(holds):
    """Wait until ``holds()``, and fail when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def foreign_threads():
    """Return the threads of solvers of other libraries."""
    return [thread for thread in threading.enumerate() if thread.name == "flowsolve-external"]


def in_threads(work, n=3):
    """Return what `work` returns in each of n threads at once, which change far more often than usual."""
    found = [None] * n

    def keep(i):
        try:
            found[i] = work()
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=keep, args=(i,)) for i in range(n)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


class Quadratic:
    """½⟨u − c, H(u − c)⟩ with diagonal H, one for each image: what solvers see of an objective, no more."""

    name = "analysis"

    def __init__(self, curvature, centre):
        self.curvature, self.centre = curvature, centre
        self.indices = np.arange(len(centre))
        self.tally = Tally(len(centre))

    def __len__(self):
        return len(self.centre)

    def require_smooth(self, who):
        pass

    def count(self, *names):
        self.tally.add(self.indices, *names)

    def select(self, index):
        other = Quadratic(self.curvature[index], self.centre[index])
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def evaluate(self, u, *, gradient=True):
        self.count("evaluations")
        away = u - self.centre
        value = 0.5 * (self.curvature * away.square()).sum(1)
        grad = self.curvature * away if gradient else None
        return Evaluation(value, value.clone(), torch.zeros_like(value), u, grad)
