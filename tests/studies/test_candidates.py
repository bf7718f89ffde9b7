import pytest

from flowsolve import tasks
from flowsolve.errors import ArgumentError
from flowsolve.studies.candidates import product_candidates, usual_candidates, weight

DEBLUR = tasks.registry.get("deblur")


def test_usual_combinations_differ_and_have_both_formulations():
    found = usual_candidates(DEBLUR, 0.01)
    assert len(set(found)) == len(found) == 9
    assert {c.formulation for c in found} == {"analysis", "synthesis"}
    assert {c.init for c in found} == {"total-variation", "zeros", "encoded:total-variation"}
    # Without noise weights are not apart.
    assert len(usual_candidates(tasks.registry.get("inpaint-box"), 0.0)) == 6


def test_products_of_what_was_asked_for():
    found = product_candidates(DEBLUR, 0.01, lams=["map", "0.5map"], solver_names=["adam", "lbfgs"])
    assert len(found) == 8 and {c.lam for c in found} == {"map", "2.5e-05"}
    assert {(c.formulation, c.phi, c.init) for c in found} == {
        ("analysis", "nll", "total-variation"),
        ("synthesis", "latent", "zeros"),
    }
    assert product_candidates(DEBLUR, 0.01) == usual_candidates(DEBLUR, 0.01)


@pytest.mark.parametrize(
    ("text", "sigma", "expected"),
    [("map", 0.1, "map"), ("0.3map", 0.1, "0.0015"), ("0.3 map", 0.0, "map"), ("1e-3", 0.1, "0.001")],
)
def test_weights(text, sigma, expected):
    assert weight(text, sigma) == expected


@pytest.mark.parametrize("text", ["", "much", "-1", "inf", "-2map", "nan"])
def test_bad_weights_are_refused(text):
    with pytest.raises(ArgumentError, match="lam"):
        weight(text, 0.1)


def test_unknown_names_are_refused():
    for asked in ({"solver_names": ["sgd"]}, {"starts": ["nowhere"]}, {"formulations": ["both"]}):
        with pytest.raises(ArgumentError):
            product_candidates(DEBLUR, 0.01, **asked)
