"""What advice chooses among: formulation, weight, solver and start, as a command can name them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from .. import initialise, solvers, tasks
from ..errors import ArgumentError
from ..objectives import FORMULATIONS
from ..restoration import AUTO

#: Weight below the MAP weight that restores well over images with a prior trained on noisy ones.
LESS = 0.3


@dataclass(frozen=True)
class Candidate:
    """One combination.

    Attributes
    ----------
    formulation, phi : str
        Formulation and prior term.
    lam : str
        As ``flowsolve solve --lam`` takes it: ``map`` or a number.
    solver, init : str
        Names of solver and start.
    """

    formulation: str
    phi: str
    lam: str
    solver: str
    init: str

    @property
    def label(self) -> str:
        """All of it on one line."""
        weight = self.lam if self.lam == "map" else f"{float(self.lam):.3g}"
        return f"{self.formulation} {self.phi}, lam {weight}, {self.solver} from {self.init}"

    def options(self) -> dict[str, str]:
        """Return the options of ``flowsolve solve`` that stand for it, without their dashes."""
        return {
            "formulation": self.formulation,
            "phi": self.phi,
            "lam": self.lam,
            "solver": self.solver,
            "init": self.init,
        }


@dataclass(frozen=True)
class MethodCandidate:
    """A method, which decides all of that by itself.

    Attributes
    ----------
    method : str
        Its name.
    """

    method: str

    @property
    def label(self) -> str:
        """Its name."""
        return self.method

    @property
    def formulation(self) -> str:
        """None: stages have their own."""
        return ""

    def options(self) -> dict[str, str]:
        """Return the options of ``flowsolve solve`` that stand for it; `AUTO` needs none."""
        return {} if self.method == AUTO else {"method": self.method}


def usual_candidates(task: tasks.Task, sigma: float) -> list[Candidate]:
    """Return nine combinations that differ in what mattered most on validation faces (without noise six).

    Over images: the MAP weight and a smaller one, a quasi-Newton method, forward-backward, the hybrid, and
    Adam on the smoothed prior term, from the task's classical restoration. Over latents: from z = 0 with both
    weights, by the hybrid, and from the encoded restoration.
    """
    start = task.starts["analysis"]
    less = weight(f"{LESS}map", sigma)
    wanted = [
        ("analysis", "nll", "map", "lbfgs", start),
        ("analysis", "nll", less, "lbfgs", start),
        ("analysis", "nll", less, "forward_backward", start),
        ("analysis", "smoothed", less, "adam", start),
        ("analysis", "nll", less, "hybrid", start),
        ("synthesis", "latent", "map", "lbfgs", "zeros"),
        ("synthesis", "latent", less, "lbfgs", "zeros"),
        ("synthesis", "latent", "map", "hybrid", "zeros"),
        ("synthesis", "latent", "map", "lbfgs", initialise.ENCODED + start),
    ]
    found = dict.fromkeys(Candidate(*choice) for choice in wanted)
    # A hard constraint holds over images alone; the hybrid would leave it over latents.
    return [c for c in found if sigma > 0 or (c.formulation, c.solver) != ("analysis", "hybrid")]


def product_candidates(
    task: tasks.Task,
    sigma: float,
    *,
    formulations: Sequence[str] = (),
    lams: Sequence[str] = (),
    solver_names: Sequence[str] = (),
    starts: Sequence[str] = (),
) -> list[Candidate]:
    """Return all combinations of what was asked for; `usual_candidates` if nothing was.

    Parameters
    ----------
    task : Task
        The task, whose starts are taken where none is asked for.
    sigma : float
        Noise level.
    formulations, lams, solver_names, starts : sequence of str
        Choices of each. A weight is a number, ``map``, or a multiple such as ``0.3map``.

    Raises
    ------
    ArgumentError
        If a name is unknown or a weight is not one.
    """
    if not (formulations or lams or solver_names or starts):
        return usual_candidates(task, sigma)
    for name in formulations:
        if name not in FORMULATIONS:
            raise ArgumentError("formulation", repr(name), " or ".join(FORMULATIONS))
    for name in solver_names:
        solvers.registry.get(name)
    for name in starts:
        initialise.registry.get(name.removeprefix(initialise.ENCODED), "init")
    found = []
    for formulation in formulations or FORMULATIONS:
        own = starts or [task.starts[formulation]]
        phi = FORMULATIONS[formulation].default_phi
        weights = [weight(text, sigma) for text in lams or ["map"]]
        for lam, solver, start in itertools.product(weights, solver_names or ["lbfgs"], own):
            found.append(Candidate(formulation, phi, lam, solver, start))
    return list(dict.fromkeys(found))


def weight(text: str, sigma: float) -> str:
    """Return a weight as ``flowsolve solve --lam`` takes it; without noise ``map`` has no multiples.

    Raises
    ------
    ArgumentError
        If it is not a number >= 0, ``map`` or a multiple of it.
    """
    plain = text.strip()
    factor = plain.removesuffix("map").strip()
    try:
        number = float(factor) if factor else 1.0
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or not plain:
        raise ArgumentError(
            "lam", repr(text), "map, a multiple of it such as 0.3map, or a finite number >= 0"
        )
    if not plain.endswith("map"):
        return repr(number)
    if number == 1 or sigma == 0:
        return "map"
    # Nobody wants to read, or to type, the last digits of a product.
    return f"{number * sigma**2 / 2:.6g}"
