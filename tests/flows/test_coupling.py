import itertools

import pytest
import torch

from flowsolve.flows import GlowConfig
from flowsolve.flows.coupling import CouplingRule

RULES = [
    CouplingRule(affine, first, after, offset)
    for affine, first, after, offset in itertools.product(
        (False, True), (False, True), (False, True), (0.0, 0.4)
    )
]


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64)
    return b, torch.randn(2, 6, 2, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_undo_and_log_det(rule, tensors):
    b, out = tensors
    out = out if rule.affine else out[:, :3]
    assert torch.allclose(rule.undo(rule.apply(b, out), out), b, atol=1e-12)
    slope = torch.autograd.functional.jvp(lambda v: rule.apply(v, out), b, torch.ones_like(b))[1]
    log_det = rule.log_det(out)
    expected = slope.log().sum((1, 2, 3))
    assert torch.allclose(torch.zeros(2).double() if log_det is None else log_det, expected)


def test_formulas(tensors):
    b, out = tensors
    s, t = out.chunk(2, 1)
    assert torch.allclose(CouplingRule(True).apply(b, out), (b + t) * torch.sigmoid(s + 2))
    late = CouplingRule(True, shift_after=True, offset=0.5)
    assert torch.allclose(late.apply(b, out), b * (torch.sigmoid(s + 2) + 0.5) + t)


def test_log_scale_of_very_negative_outputs_is_finite():
    s = torch.tensor([-200.0])
    assert CouplingRule(True).log_scale(s).item() == pytest.approx(-198)
    assert CouplingRule(True, offset=0.5).log_scale(s).exp().item() == pytest.approx(0.5)


@pytest.mark.parametrize("first", [False, True])
def test_halves(first):
    rule = CouplingRule(False, changes_first=first)
    h = torch.arange(4.0).reshape(1, 4, 1, 1)
    a, b = rule.halves(h)
    assert b.flatten().tolist() == ([0, 1] if first else [2, 3])
    assert torch.equal(rule.join(a, b), h)


def test_rules_of_a_configuration():
    config = GlowConfig(levels=2, coupling="affine", changed="first", shift="after", last_scale_offset=1.0)
    assert CouplingRule.of(config, 0) == CouplingRule(True, True, True, 0.0)
    assert CouplingRule.of(config, 1) == CouplingRule(True, True, True, 1.0)
    assert CouplingRule.of(GlowConfig(), 0) == CouplingRule(False)
