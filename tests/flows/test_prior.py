import pickle

import pytest
import torch
from torch.func import grad, vmap

from flowsolve.errors import ArgumentError
from flowsolve.flows import FlowPrior, GlowConfig, load_prior


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def prior(glow):
    return FlowPrior(glow, dtype=torch.float64)


def test_reference_numbers_of_decode_zero(faces):
    pixels = faces.decode(torch.zeros(1, faces.n))[0, :, 0, 0]
    expected = torch.tensor([0.34461147, 0.33453676, 0.32275292])
    assert (pixels - expected).abs().max() < 2e-6


def test_reference_numbers_of_encode(faces_double, synthetic):
    z, log_det = faces_double.encode(synthetic, log_det=True)
    assert faces_double.log_prob(synthetic).item() == pytest.approx(58038.9672997, abs=1e-4)
    assert log_det.item() == pytest.approx(72011.8792343, abs=1e-4)
    levels = faces_double.split_latent(z)
    norms = [level.square().sum().item() for level in levels]
    assert norms == pytest.approx([1528.4196422, 1133.8823141, 1262.8325537, 1436.8559671], abs=1e-5)
    firsts = [level.flatten()[0].item() for level in levels]
    assert firsts == pytest.approx([0.3336322314, -0.8099364081, -0.0737805338, -0.1046310226], abs=1e-8)


def test_float32_agrees_with_float64(faces, faces_double, synthetic):
    z, exact = faces.encode(synthetic.float()), faces_double.encode(synthetic)
    assert (z - exact).abs().max() < 5e-3
    assert faces.log_prob(synthetic.float()).item() == pytest.approx(58038.967, abs=0.1)


def test_round_trips_of_an_image(faces, faces_double, photograph):
    x = photograph.float()
    assert (faces.decode(faces.encode(x)) - x).abs().max() < 1e-4
    assert (faces_double.decode(faces_double.encode(photograph)) - photograph).abs().max() < 1e-10


def test_round_trips_of_latents(faces, faces_double):
    z = randn(2, faces.n)
    assert (faces.encode(faces.decode(z.float())) - z.float()).abs().max() < 5e-3
    assert (faces_double.encode(faces_double.decode(z)) - z).abs().max() < 1e-9


def test_round_trips_of_samples(faces, faces_double):
    x = faces.sample(3, seed=1)
    assert (faces.decode(faces.encode(x)) - x).abs().max() < 1e-4
    x = faces_double.sample(3, seed=1)
    assert (faces_double.decode(faces_double.encode(x)) - x).abs().max() < 1e-10


def test_log_dets_are_opposite(prior, images):
    z, there = prior.encode(images, log_det=True)
    _, back = prior.decode(z, log_det=True)
    assert torch.allclose(there + back, torch.zeros_like(there), atol=1e-9)


def test_energies(prior, images):
    z, log_det = prior.encode(images, log_det=True)
    assert torch.allclose(prior.energy(images, "latent"), z.square().sum(1))
    assert torch.allclose(prior.energy(images, "nll"), z.square().sum(1) - 2 * log_det)
    constant = prior.n * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64))
    assert torch.allclose(prior.energy(images), -2 * prior.log_prob(images) - constant)


@pytest.mark.parametrize("phi", ["latent", "nll"])
def test_energy_of_decode_is_latent_energy(prior, phi):
    z = randn(3, prior.n)
    x, psi = prior.latent_energy(z, phi)
    assert torch.equal(x, prior.decode(z))
    assert torch.allclose(psi, prior.energy(x, phi), rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("phi", ["latent", "nll"])
def test_energy_gradient_against_finite_differences(faces_double, photograph, phi):
    # The couplings' ReLUs make the energy piecewise smooth: a step this short crosses no kink.
    x, direction, eps = photograph, randn(1, 3, 64, 64, seed=2), 1e-10
    slope = (grad(lambda v: faces_double.energy(v, phi).sum())(x) * direction).sum().item()
    around = [faces_double.energy(x + s * eps * direction, phi).item() for s in (1, -1)]
    assert slope == pytest.approx((around[0] - around[1]) / (2 * eps), rel=1e-5)


@pytest.mark.parametrize("phi", ["latent", "nll"])
def test_latent_energy_gradient_against_finite_differences(faces_double, photograph, phi):
    z, direction, eps = 0.7 * randn(1, 12288), randn(1, 12288, seed=3), 3e-8

    def value(v):
        x, psi = faces_double.latent_energy(v, phi)
        return (psi + 100 * (x - photograph).square().sum(dim=(1, 2, 3))).sum()

    slope = (grad(value)(z) * direction).sum().item()
    around = [value(z + s * eps * direction).item() for s in (1, -1)]
    assert slope == pytest.approx((around[0] - around[1]) / (2 * eps), rel=1e-6)


def test_images_of_a_batch_do_not_meet(faces_double, synthetic, photograph):
    batch = torch.cat([synthetic, photograph])
    z, log_det = faces_double.encode(batch, log_det=True)
    for i, one in enumerate((synthetic, photograph)):
        alone, alone_log_det = faces_double.encode(one, log_det=True)
        assert (z[i] - alone[0]).abs().max() < 1e-9
        assert log_det[i].item() == pytest.approx(alone_log_det.item(), abs=1e-7)
    jacobian = torch.autograd.functional.jacobian(faces_double.energy, batch)
    assert jacobian[0, 1].abs().max() == 0 and jacobian[1, 0].abs().max() == 0


def test_any_leading_dimensions(prior, images):
    z, log_det = prior.encode(images, log_det=True)
    one, one_log_det = prior.encode(images[0], log_det=True)
    assert one.shape == (prior.n,) and one_log_det.shape == ()
    assert torch.allclose(one, z[0]) and torch.allclose(one_log_det, log_det[0])
    assert torch.allclose(prior.decode(one), images[0], atol=1e-9)
    stacked = torch.stack([images, images.flip(0)])
    assert prior.encode(stacked).shape == (2, 3, prior.n)
    assert torch.allclose(prior.decode(prior.encode(stacked)), stacked, atol=1e-9)
    assert prior.energy(stacked).shape == (2, 3)
    assert prior.decode(z[:0]).shape == (0, 2, 8, 8)


def test_vmap_of_gradients(prior, images):
    per_image = vmap(grad(prior.energy))(images)
    together = grad(lambda x: prior.energy(x).sum())(images)
    assert torch.allclose(per_image, together, atol=1e-8)


def test_samples_are_seeded_and_scaled(faces, faces_double):
    one, two = faces.sample(2, seed=4), faces.sample(2, seed=4)
    assert torch.equal(one, two) and not torch.equal(one, faces.sample(2, seed=5))
    assert one.shape == (2, 3, 64, 64) and not one.requires_grad
    assert (faces_double.sample(2, seed=4) - one).abs().max() < 1e-4
    cold = faces.sample(1, seed=4, temperature=0.0)
    assert torch.equal(cold, faces.decode(torch.zeros(1, faces.n)))


@pytest.mark.parametrize("arguments", [{"n": 0}, {"temperature": -1.0}, {"temperature": float("nan")}])
def test_bad_samples_are_refused(faces, arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        faces.sample(**{"n": 1, "seed": 0, **arguments})


def test_properties(faces):
    assert faces.image_shape == (3, 64, 64) and faces.n == 12288
    assert faces.latent_shapes == [(6, 32, 32), (12, 16, 16), (24, 8, 8), (96, 4, 4)]
    assert faces.latent_sizes == [6144, 3072, 1536, 1536]
    assert faces.dtype == torch.float32 and faces.device == torch.device("cpu")
    assert isinstance(faces.config, GlowConfig) and faces.name == "faces64-additive"
    assert "faces64-additive" in repr(faces) and "64x64" in repr(faces)


def test_to_returns_a_new_prior_folded_from_the_weights(faces, faces_double, synthetic):
    other = faces.to(dtype=torch.float64)
    assert faces.dtype == torch.float32 and other.dtype == torch.float64
    assert torch.equal(other.encode(synthetic), faces_double.encode(synthetic))
    again = faces.to(dtype=torch.float64).to(dtype=torch.float32)
    assert torch.equal(again.encode(synthetic.float()), faces.encode(synthetic.float()))


def test_the_couplings_dtype_stays_until_the_dtype_changes(prior):
    narrow = prior.to(coupling_dtype=torch.bfloat16)
    assert prior.coupling_dtype == torch.float64 and narrow.coupling_dtype == torch.bfloat16
    assert narrow.to(device="cpu").coupling_dtype == torch.bfloat16
    assert narrow.to(dtype=torch.float32).coupling_dtype == torch.float32
    assert narrow.to(coupling_dtype=torch.float64).coupling_dtype == torch.float64
    assert load_prior("faces64", coupling_dtype=torch.bfloat16).coupling_dtype == torch.bfloat16


def test_wrong_dtype_device_and_type_are_refused(faces, synthetic):
    with pytest.raises(ArgumentError, match=r"x: got torch.float64; accepted: torch.float32"):
        faces.encode(synthetic)
    with pytest.raises(ArgumentError, match=r"x: got ndarray; accepted: a torch.Tensor"):
        faces.encode(synthetic.numpy())
    with pytest.raises(ArgumentError, match=r"z: got list"):
        faces.decode([0.0])
    with pytest.raises(ArgumentError, match=r"x: got device meta"):
        faces.encode(synthetic.float().to("meta"))
    with pytest.raises(ArgumentError, match=r"dtype: got torch.float16"):
        faces.to(dtype=torch.float16)
    with pytest.raises(
        ArgumentError, match=r"coupling_dtype: got torch.float16; accepted: None, torch.float32"
    ):
        faces.to(coupling_dtype=torch.float16)
    with pytest.raises(ArgumentError, match=r"device: got 'abacus'"):
        faces.to("abacus")
    with pytest.raises(ArgumentError, match=r"phi: got 'tv'; accepted: 'latent' or 'nll'"):
        faces.energy(synthetic.float(), "tv")


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 1, 64, 64), (64, 64), (1, 3, 32, 32), (1, 64, 64, 3)])
def test_wrong_shapes_say_which_sizes_are_taken(faces, shape):
    with pytest.raises(ArgumentError, match="height 64 and width 64"):
        faces.check_image(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 12287), (12288, 1), ()])
def test_wrong_latents_are_refused(faces, shape):
    with pytest.raises(ArgumentError, match=r"latents \(\.\.\., 12288\)"):
        faces.decode(torch.zeros(shape))


def test_a_prior_of_any_size(make_glow):
    prior = FlowPrior(make_glow(size=None), name="patches", dtype=torch.float64)
    assert prior.any_size and "any size" in repr(prior)
    x = torch.rand(2, 2, 12, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z, there = prior.encode(x, log_det=True)
    for use in (lambda: prior.decode(z), lambda: prior.n, lambda: prior.sample(1, seed=0)):
        with pytest.raises(ArgumentError, match="at_size"):
            use()
    sized = prior.at_size(12, 20)
    assert sized.image_shape == (2, 12, 20) and prior.any_size
    back, again = sized.decode(z, log_det=True)
    assert torch.allclose(back, x, atol=1e-10) and torch.allclose(there, -again, atol=1e-9)
    with pytest.raises(ArgumentError, match="height 12 and width 20"):
        sized.encode(x[..., :16])
    with pytest.raises(ArgumentError, match="at least 1"):
        prior.at_size(12, 0)
    with pytest.raises(ArgumentError, match="at least 1"):
        prior.encode(x[..., :0])


def test_at_size_of_a_prior_that_has_one(faces):
    assert faces.at_size(64, 64).image_shape == (3, 64, 64)
    with pytest.raises(ArgumentError, match="height 64 and width 64"):
        faces.at_size(128, 128)


def test_it_pickles(prior, images):
    again = pickle.loads(pickle.dumps(prior))
    assert torch.equal(again.encode(images), prior.encode(images))


def test_gradient_of_the_weights_is_not_taken(faces, synthetic):
    x = synthetic.float().requires_grad_()
    faces.energy(x).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in faces.glow.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_the_cpu(faces_double, synthetic):
    there = faces_double.to("cuda")
    z, log_det = there.encode(synthetic.cuda(), log_det=True)
    expected, expected_log_det = faces_double.encode(synthetic, log_det=True)
    assert (z.cpu() - expected).abs().max() < 1e-9
    assert log_det.item() == pytest.approx(expected_log_det.item(), abs=1e-6)
    assert (there.decode(z).cpu() - synthetic).abs().max() < 1e-10
