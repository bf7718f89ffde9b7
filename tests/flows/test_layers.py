import pytest
import torch
import torch.nn.functional as F

from flowsolve.flows.coupling import CouplingRule
from flowsolve.flows.layers import (
    ActNorm,
    Coupling,
    FlowStep,
    InvertibleConv1x1,
    conv_bordered,
    squeeze,
    unsqueeze,
)


@pytest.fixture(params=["additive", "affine"])
def step(request, make_glow):
    return make_glow(request.param).levels[0].steps[1]


def test_squeeze_puts_each_block_into_channels():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert squeeze(x)[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    assert torch.equal(unsqueeze(squeeze(x)), x)


def test_actnorm_initialises_to_mean_zero_and_deviation_one():
    x = 3 + 0.2 * torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    norm = ActNorm(4)
    norm.initialise(x)
    y = (x + norm.bias[:, None, None]) * norm.log_scale.exp()[:, None, None]
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (y.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


def test_conv1x1_starts_as_a_rotation():
    weight = InvertibleConv1x1(6).weight()
    assert torch.allclose(weight @ weight.T, torch.eye(6), atol=1e-5)


def test_conv1x1_is_what_its_factors_say(step):
    conv = step.conv1x1
    lower = conv.lower.tril(-1) + torch.eye(8)
    upper = conv.upper.triu(1) + torch.diag(conv.sign * conv.log_diagonal.exp())
    assert torch.allclose(conv.weight(), conv.permutation @ lower @ upper)
    assert torch.allclose(conv.weight() @ conv.inverse_weight(), torch.eye(8).double(), atol=1e-12)
    assert torch.linalg.slogdet(conv.weight())[1].item() == pytest.approx(conv.log_diagonal.sum().item())


def test_step_is_actnorm_then_conv_then_coupling(step):
    h = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normed = step.actnorm.log_scale.exp()[:, None, None] * (h + step.actnorm.bias[:, None, None])
    mixed = torch.einsum("ij,njhw->nihw", step.conv1x1.weight(), normed)
    a, b = mixed.chunk(2, 1)
    net = step.coupling
    hidden = F.conv2d(a, net.conv1.weight, net.conv1.bias, padding=1).relu()
    hidden = F.conv2d(hidden, net.conv2.weight, net.conv2.bias).relu()
    out = F.conv2d(hidden, net.conv3.weight, net.conv3.bias, padding=1)
    out = out * torch.exp(3 * net.log_gain)[:, None, None]
    if net.affine:
        s, t = out.chunk(2, 1)
        b = (b + t) * torch.sigmoid(s + 2)
    else:
        b = b + out
    assert torch.allclose(step(h)[0], torch.cat([a, b], 1), atol=1e-12)


def test_step_inverts(step):
    h = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, there = step(h)
    back, again = step.inverse(y)
    assert torch.allclose(back, h, atol=1e-11)
    assert torch.allclose(there + again, torch.zeros_like(there), atol=1e-10)


@pytest.mark.parametrize("affine", [False, True])
def test_new_coupling_adds_nothing(affine):
    h = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    y, _ = Coupling(6, 5, CouplingRule(affine))(h)
    a, b = h.chunk(2, 1)
    scale = torch.sigmoid(torch.tensor(2.0)) if affine else 1.0
    assert torch.allclose(y, torch.cat([a, scale * b], 1))


@pytest.mark.parametrize("border", [0, 1])
def test_border_stands_around_the_image(border):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 4, 5, generator=generator), torch.randn(6, 3, 3, 3, generator=generator)
    padded = torch.full((2, 3, 6, 7), float(border))
    padded[:, :, 1:-1, 1:-1] = x
    expected = F.conv2d(padded, weight, torch.ones(6))
    assert torch.allclose(conv_bordered(x, weight, torch.ones(6), border), expected, atol=1e-5)


def test_log_det_counts_every_position():
    step = FlowStep(4, 3, CouplingRule(affine=False))
    with torch.no_grad():
        step.actnorm.log_scale.fill_(0.5)
    _, log_det = step(torch.zeros(1, 4, 3, 5))
    assert log_det.item() == pytest.approx(4 * 0.5 * 15, rel=1e-4)
