"""What can be registered can be recorded and repeated; what cannot be described is refused at the start."""

import numpy as np
import pytest

import flowsolve as fs
from flowsolve import functionals, objectives, stopping
from flowsolve.errors import UnsupportedError


@pytest.fixture
def registries(monkeypatch):
    for registry in (functionals.registry, objectives.registry, stopping.registry):
        monkeypatch.setattr(registry, "_items", dict(registry._items))


class Cap(functionals.Box):
    """Nothing above a number."""

    def __init__(self, top=1.0):
        super().__init__(-1e9, top)

    def config(self):
        return {"name": "cap", "top": self.upper}


class Often(stopping.Criterion):
    """Stop after so many iterations."""

    def __init__(self, limit):
        self.limit = limit

    def check(self, progress):
        enough = progress.iteration >= self.limit
        return np.full(progress.value.shape, "enough" if enough else "", dtype=object)

    def config(self):
        return {"Often": self.limit}


class Twice(objectives.Analysis):
    """Analysis under another name."""

    name = "twice"


def make_run(problem, prior):
    objective = Twice(problem, prior, extra=Cap(0.9), lam=0.01)
    return objective, "forward_backward", {"max_iter": 9, "stopping": Often(3)}


def test_registered_ones_are_recorded_and_repeated(registries, problem, tiny_prior, tmp_path):
    functionals.register_functional("cap")(Cap)
    stopping.register_criterion("Often")(Often)
    objectives.register_objective("twice")(Twice)
    objective, solver, options = make_run(problem, tiny_prior)
    result = fs.solve(objective, solver, record=tmp_path / "run.h5", **options)
    assert set(result.status) == {"enough"}
    config = fs.open_run(tmp_path / "run.h5").config
    assert config["objective"]["formulation"] == "twice" and config["objective"]["extra"]["name"] == "cap"
    assert fs.rerun(tmp_path / "run.h5", prior=tiny_prior).identical


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ((), r"Twice .*register_objective"),
        (("objective",), r"Cap .*register_functional\(\"cap\"\)"),
        (("objective", "functional"), r"Often .*register_criterion\(\"Often\"\)"),
    ],
)
def test_others_are_refused_before_anything_is_written(
    registries, problem, tiny_prior, tmp_path, known, message
):
    if "objective" in known:
        objectives.register_objective("twice")(Twice)
    if "functional" in known:
        functionals.register_functional("cap")(Cap)
    objective, solver, options = make_run(problem, tiny_prior)
    with pytest.raises(UnsupportedError, match=message):
        fs.solve(objective, solver, record=tmp_path / "run.h5", **options)
    assert not list(tmp_path.iterdir())
    assert fs.solve(objective, solver, **options).record is None


def test_terms_of_pyxu_are_made_again_from_their_shape(problem, tiny_prior, tmp_path):
    pyxu = pytest.importorskip("pyxu.operator")
    term = functionals.PyxuFunctional(pyxu.L1Norm(dim_shape=(3, 8, 8)), 1e-4)
    objective = fs.Analysis(problem, tiny_prior, extra=term)
    fs.solve(objective, "forward_backward", max_iter=2, record=tmp_path / "run.h5")
    assert fs.rerun(tmp_path / "run.h5", prior=tiny_prior).identical
    huge = functionals.PyxuFunctional(2 * pyxu.L1Norm(dim_shape=(3, 8, 8)), 1e-4)
    with pytest.raises(UnsupportedError, match="register_functional"):
        fs.solve(
            fs.Analysis(problem, tiny_prior, extra=huge), "forward_backward", record=tmp_path / "other.h5"
        )
