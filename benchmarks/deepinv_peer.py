"""The worker of :mod:`.peers` for deepinv: its own solvers on our objective, in an environment that has it.

Started as ``python deepinv_peer.py REQUEST.pt ANSWER.pt``. flowsolve is imported from the checkout that this
file is in unless the environment has it, so that flow, gradient and operator are the same code.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

STEPSIZES = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
"""Steps tried where deepinv keeps one fixed."""

FIRST_STEPS = (1.0, 0.1, 0.01, 1e-3)
"""Steps tried at which its backtracking starts."""


class Spent(Exception):
    """The budget is used up; `x` is where the method stood."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__("budget")
        self.x = x


def import_checkout() -> None:
    """Make flowsolve importable from the checkout; its operators lie beside the package, not in it."""
    root = Path(__file__).resolve().parent.parent
    sys.path.insert(0, str(root))
    name, folder = "flowsolve.operators", root / "operators"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def wrapped(objective: Any, calls: dict[str, int], budget: int) -> tuple[Any, Any]:
    """Return the flow as deepinv's prior and the operator as its physics; `calls` counts uses of the flow.

    When the budget of uses is spent, the next one raises `Spent` with the last iterate: it can be a trial of
    a backtracking, of which one iteration takes up to 20.
    """
    from deepinv.optim import Prior
    from deepinv.physics import LinearPhysics

    flow, operator, phi = objective.prior, objective.problem.operator, objective.phi

    class Flow(Prior):
        def __init__(self) -> None:
            super().__init__()
            self.explicit_prior = True
            self.iterate = torch.empty(0)

        def _count(self, what: str) -> None:
            if sum(calls.values()) >= budget:
                raise Spent(self.iterate)
            calls[what] += 1

        def fn(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            self._count("values")
            with torch.no_grad():
                return flow.energy(x, phi)

        def grad(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            # Gradients are taken where the method stands.
            self.iterate = x.detach()
            self._count("gradients")
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                (slope,) = torch.autograd.grad(flow.energy(leaf, phi).sum(), leaf)
            return slope

    class Physics(LinearPhysics):
        def __init__(self) -> None:
            super().__init__(A=lambda x, **_: operator.apply(x), A_adjoint=lambda y, **_: operator.adjoint(y))

        def prox_l2(self, z: torch.Tensor, y: torch.Tensor, gamma: float, **kwargs: Any) -> torch.Tensor:
            return operator.prox_l2(z, y, float(gamma))

    return Flow(), Physics()


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and options: both methods, with fixed steps and with backtracking."""
    for method in ("GD", "PGD"):
        for step in STEPSIZES:
            yield f"{method}, step {step:g}", {"method": method, "stepsize": step}
        for step in FIRST_STEPS:
            options = {"method": method, "stepsize": step, "backtracking": True}
            yield f"{method}, backtracking from {step:g}", options


def solve(objective: Any, start: torch.Tensor, options: dict[str, Any], budget: int) -> dict[str, Any]:
    """Return what a run of deepinv's gives: images, F of each, uses of the flow, seconds."""
    from deepinv import optim

    calls = {"values": 0, "gradients": 0}
    prior, physics = wrapped(objective, calls, budget)
    settings = dict(options)
    backtracking = settings.pop("backtracking", False)
    # Without backtracking the cost is of no use to it: it is spared the values.
    prior.explicit_prior = backtracking
    method = getattr(optim, settings.pop("method"))
    settings |= {"g_first": True} if method is optim.PGD else {}
    model = method(
        data_fidelity=optim.L2(),
        prior=prior,
        lambda_reg=float(objective.lam),
        backtracking=backtracking,
        early_stop=False,
        max_iter=budget,
        **settings,
    )
    began = time.perf_counter()
    try:
        with torch.no_grad():
            x = model(objective.problem.y, physics, init=start.clone())
    except Spent as spent:
        x = spent.x
    seconds = time.perf_counter() - began
    value = objective.value(x) if torch.isfinite(x).all() else torch.full((len(x),), torch.inf)
    return {"x": x, "value": value, "evaluations": sum(calls.values()), "seconds": seconds}


def main() -> None:
    """Answer a request: problem, prior, start and budget come as a file of tensors and plain values."""
    request = torch.load(sys.argv[1], weights_only=True)
    torch.set_num_threads(request["threads"])
    if importlib.util.find_spec("flowsolve") is None:
        import_checkout()
    import flowsolve as fs
    from flowsolve.operators.config import from_config

    operator = from_config(request["operator"])
    problem = fs.InverseProblem(operator, request["y"], sigma=request["sigma"])
    objective = fs.Analysis(problem, fs.load_prior(request["prior"]), phi="nll", lam=request["lam"])
    objective.value_and_grad(request["start"])
    runs = {
        name: solve(objective, request["start"], options, request["budget"]) for name, options in variants()
    }
    torch.save(runs, sys.argv[2])


if __name__ == "__main__":
    main()
