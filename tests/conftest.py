"""Fixtures of all tests; what they are made of stands in ``helpers.py``."""

import pytest
import torch
from helpers import Quadratic, make_problem, make_tiny_prior
from hypothesis import settings

from flowsolve.flows import zoo

torch.set_num_threads(1)

# The same examples every time: a run of the tests that fails, fails again.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def quadratic():
    """Three ill-conditioned quadratics in 20 dimensions."""
    generator = torch.Generator().manual_seed(5)
    exponents = torch.linspace(0, 3, 20, dtype=torch.float64)
    curvature = torch.stack([10.0 ** (exponents * s) for s in (0.5, 1.0, 1.3)])
    return Quadratic(curvature, torch.randn(3, 20, generator=generator, dtype=torch.float64))


@pytest.fixture(scope="session")
def tiny_prior():
    return make_tiny_prior()


@pytest.fixture
def problem():
    return make_problem()


@pytest.fixture(autouse=True)
def no_remembered_priors(monkeypatch):
    """A prior that another test loaded from a file is not one of this test's process."""
    monkeypatch.setattr(zoo, "_given", {})
