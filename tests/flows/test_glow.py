import pytest
import torch
import torch.nn.functional as F

from flowsolve.errors import ArgumentError
from flowsolve.flows import Glow, GlowConfig


def flat_encode(glow, x):
    return torch.cat([z.flatten(1) for z in glow(x)[0]], 1)


def test_round_trip(glow, images):
    latents, there = glow(images)
    back, again = glow.inverse(latents)
    assert torch.allclose(back, images, atol=1e-10)
    assert torch.allclose(there + again, torch.zeros_like(there), atol=1e-9)


def test_log_det_is_that_of_the_jacobian(glow, images):
    x = images[:1]
    jacobian = torch.autograd.functional.jacobian(lambda v: flat_encode(glow, v), x).reshape(128, 128)
    assert glow(x)[1].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-8)


FOREIGN = [
    dict(border=1),
    dict(last_steps=1, changed="first"),
    dict(coupling="affine", shift="after", scale_offset=0.1, last_scale_offset=1.0),
    dict(coupling="affine", shift="after", changed="first", border=1, split_prior="standard"),
]


@pytest.fixture(params=FOREIGN, ids=lambda fields: "-".join(fields))
def foreign(request):
    """Return a flow of the variants that other programs have, with random weights everywhere."""
    config = GlowConfig(channels=2, image_size=8, levels=2, steps=2, hidden=5, **request.param)
    glow = Glow(config, seed=1).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.07 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return glow


def test_variants_of_other_programs_invert(foreign, images):
    latents, there = foreign(images)
    back, again = foreign.inverse(latents)
    assert torch.allclose(back, images, atol=1e-10)
    assert torch.allclose(there + again, torch.zeros_like(there), atol=1e-9)


def test_variants_of_other_programs_have_the_log_det_of_the_jacobian(foreign, images):
    x = images[:1]
    jacobian = torch.autograd.functional.jacobian(lambda v: flat_encode(foreign, v), x).reshape(128, 128)
    assert foreign(x)[1].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-8)


def test_ones_around_make_the_top_moments_depend_on_the_position():
    glow = Glow(GlowConfig(channels=1, levels=1, steps=1, hidden=3, border=1))
    top = glow.levels[0].split_prior
    torch.nn.init.normal_(top.weight, generator=torch.Generator().manual_seed(0))
    moments = torch.cat(glow.levels[0].moments(None, (4, 5)), 1)
    padded = F.pad(torch.zeros(1, 4, 4, 5), (1, 1, 1, 1), value=1.0)
    assert torch.equal(moments, F.conv2d(padded, top.weight, top.bias))
    assert torch.allclose(moments[:, :, 1:-1, 1:-1], top.bias[:, None, None].expand(1, 8, 2, 3))
    assert (moments[:, :, 0] - top.bias[:, None]).abs().min() > 1e-3


def test_the_last_level_may_have_other_steps():
    glow = Glow(GlowConfig(levels=3, steps=3, last_steps=1, hidden=2))
    assert [len(level.steps) for level in glow.levels] == [3, 3, 1]


def test_log_prob_is_normal_density_and_log_det(glow, images):
    z, log_det = flat_encode(glow, images), glow(images)[1]
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    assert torch.allclose(glow.log_prob(images), normal + log_det)


def test_non_square_images_and_other_level_counts(make_glow):
    glow = make_glow(size=(24, 8), channels=1, levels=3)
    x = torch.rand(2, 1, 24, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    latents, _ = glow(x)
    assert [tuple(z.shape[1:]) for z in latents] == glow.config.latent_shapes()
    assert torch.allclose(glow.inverse(latents)[0], x, atol=1e-10)


def test_same_seed_same_weights_and_global_state_untouched():
    config = GlowConfig(levels=1, steps=1, hidden=4)
    before = torch.random.get_rng_state()
    one, two, other = Glow(config, seed=5), Glow(config, seed=5), Glow(config, seed=6)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_initialise_standardises_what_the_actnorms_put_out():
    glow = Glow(GlowConfig(levels=2, steps=2, hidden=4, split_prior="standard"))
    batch = 0.3 + 0.1 * torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    glow.initialise(batch)
    latents, _ = glow(batch)
    assert all(abs(z.mean()) < 0.05 and abs(z.square().mean() - 1) < 0.1 for z in latents)


@pytest.mark.parametrize("coupling", ["additive", "affine"])
def test_it_trains(coupling):
    glow = Glow(GlowConfig(levels=2, steps=2, hidden=8, coupling=coupling))
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(32, 3, 1, 1, generator=generator)
    batch = (base + 0.05 * torch.rand(32, 3, 8, 8, generator=generator)).clamp(0, 1)
    glow.initialise(batch)
    optimiser = torch.optim.Adam(glow.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = -glow.log_prob(batch).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 10


def test_every_parameter_but_the_top_weight_gets_a_gradient(glow, images):
    glow.log_prob(images).sum().backward()
    without = [name for name, p in glow.named_parameters() if p.grad is None]
    assert without in ([], ["levels.1.split_prior.weight"])


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 2, 6, 8), (2, 8, 8)])
def test_bad_shapes_are_refused(make_glow, shape):
    with pytest.raises(ArgumentError, match=r"x: got shape .*multiples of 4"):
        make_glow()(torch.zeros(shape))


def test_wrong_number_of_latents_is_refused(make_glow):
    with pytest.raises(ArgumentError, match="latents: got 1 tensors"):
        make_glow().inverse([torch.zeros(1, 4, 4, 4)])
