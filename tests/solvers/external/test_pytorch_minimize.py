import numpy as np
import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.solvers import make_solver, registry
from flowsolve.tally import Tally

torchmin = pytest.importorskip("torchmin")
NAMES = [name for name in registry if name.startswith("torchmin:")]


def test_they_are_registered_where_the_library_is():
    assert NAMES == ["torchmin:cg", "torchmin:l-bfgs", "torchmin:newton-cg", "torchmin:trust-ncg"]


@pytest.mark.parametrize("name", NAMES)
def test_iterates_are_those_of_the_library_called_directly(name, quadratic):
    ours, solver = [], make_solver(name)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    for _ in range(6):
        state = solver.step(quadratic, state)
        ours.append(state.u.clone())
    solver.close(state)
    for i in range(3):
        one, theirs = quadratic.select(torch.tensor([i])), []
        one.indices, one.tally = np.arange(1), Tally(1)
        torchmin.minimize(
            lambda u, c=one.curvature[0], m=one.centre[0]: 0.5 * (c * (u - m) ** 2).sum(),
            torch.ones(20, dtype=torch.float64),
            method=name.removeprefix("torchmin:"),
            max_iter=6,
            callback=lambda u, kept=theirs: kept.append(u.clone()),
        )
        for mine, other in zip(ours, theirs, strict=False):
            # Products with the Hessian are differences of gradients for this objective.
            torch.testing.assert_close(mine[i], other, rtol=1e-4, atol=1e-4)


def test_bad_options_are_named():
    with pytest.raises(ArgumentError, match="line_search: got 'armijo'"):
        make_solver("torchmin:l-bfgs", line_search="armijo")
    with pytest.raises(ArgumentError, match="accepted: gtol"):
        make_solver("torchmin:cg", history=3)
