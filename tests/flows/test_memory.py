import itertools

import pytest
import torch
from torch.func import grad, jvp, vjp, vmap

from flowsolve.errors import ArgumentError
from flowsolve.flows import FlowPrior, FrozenGlow, Glow, GlowConfig, load_prior
from flowsolve.flows.memory import AUTO_BYTES, chosen_mode, kept_bytes, needs_recording, recording

MODES = ("store", "checkpoint", "invertible")
VARIANTS = [
    dict(coupling="additive"),
    dict(coupling="affine"),
    dict(coupling="additive", split_prior="standard", border=1, changed="first", last_steps=1),
    dict(coupling="affine", shift="after", border=1, scale_offset=0.1, last_scale_offset=1.0),
    dict(coupling="affine", changed="first", split_prior="standard", scale_offset=0.2),
]


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_glow(size=(8, 12), steps=3, hidden=16, **options):
    config = GlowConfig(channels=2, image_size=size, levels=2, steps=steps, hidden=hidden, **options)
    glow = Glow(config, seed=1).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.07 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return glow


@pytest.fixture(params=VARIANTS, ids=lambda fields: "-".join(str(value) for value in fields.values()))
def glow(request):
    return small_glow(**request.param)


def flat(tensors):
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def encode_gradient(flow, x, log_det=True):
    """Return the gradient of a function of all latents, weighted, and the log-determinant."""
    leaf = x.clone().requires_grad_()
    latents, total = flow.encode(leaf, log_det)
    weights = [randn(*z.shape, seed=i).to(x) for i, z in enumerate(latents)]
    value = sum((w * z + 0.5 * z.square()).sum() for w, z in zip(weights, latents, strict=True))
    if log_det:
        value = value - (total * torch.arange(1.0, len(x) + 1).to(x)).sum()
    return torch.autograd.grad(value, leaf)[0]


def decode_gradient(flow, latents, log_det=True):
    leaves = [z.detach().clone().requires_grad_() for z in latents]
    x, total = flow.decode(leaves, log_det)
    value = (randn(*x.shape, seed=9).to(x) * x).sum()
    if log_det:
        value = value + (total * torch.arange(1.0, len(x) + 1).to(x)).sum()
    return flat(torch.autograd.grad(value, leaves, materialize_grads=True))


@pytest.mark.parametrize("mode, log_det", list(itertools.product(MODES, (False, True))))
def test_gradients_are_those_of_autograd(glow, mode, log_det):
    x = torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flow = FrozenGlow(glow, dtype=torch.float64, memory=mode)
    with recording():
        latents, expected_log_det = flow.encode(x, True)
        expected = encode_gradient(flow, x, log_det)
        expected_back = decode_gradient(flow, latents, log_det)
    found, found_log_det = flow.encode(x.clone().requires_grad_(), True)
    assert torch.allclose(flat(found), flat(latents), atol=1e-11)
    assert torch.allclose(found_log_det, expected_log_det, atol=1e-9)
    assert torch.allclose(flat(glow(x)[0]), flat(latents), atol=1e-10)
    assert torch.allclose(glow(x)[1], expected_log_det, atol=1e-9)
    assert torch.allclose(encode_gradient(flow, x, log_det), expected, rtol=1e-9, atol=1e-9)
    assert torch.allclose(decode_gradient(flow, latents, log_det), expected_back, rtol=1e-9, atol=1e-9)
    assert flow.reconstruction.redone == 0
    assert flow.reconstruction.gradients == (2 if mode == "invertible" else 0)


@pytest.mark.parametrize("mode", MODES)
def test_float32_gradients_of_a_trained_flow_are_those_of_autograd(synthetic, mode):
    flow = load_prior("faces64-additive", memory=mode)._flow
    x = torch.cat([synthetic, synthetic.flip(3)]).float()
    with recording():
        latents, _ = flow.encode(x)
        expected, expected_back = encode_gradient(flow, x), decode_gradient(flow, latents)
    for found, true in (
        (encode_gradient(flow, x), expected),
        (decode_gradient(flow, latents), expected_back),
    ):
        assert torch.linalg.norm(found - true) < 1e-5 * torch.linalg.norm(true)
    assert flow.reconstruction.redone == 0


def test_what_invertible_keeps_does_not_grow_with_the_steps():
    x = torch.rand(1, 2, 8, 12, dtype=torch.float64)
    kept = {}
    for mode, steps in itertools.product(MODES, (4, 16)):
        passes = FrozenGlow(small_glow(steps=steps), dtype=torch.float64)._passes
        latents, _, tape = passes.encode(x, mode, True)
        back = passes.decode(latents, mode, True)[2]
        kept[mode, steps] = [sum(tensor.nbytes for tensor in one) for one in (tape, back)]
    assert kept["invertible", 4] == kept["invertible", 16]
    for i in range(2):
        assert kept["checkpoint", 16][i] < 0.5 * kept["store", 16][i]
        assert kept["invertible", 16][i] < 0.5 * kept["checkpoint", 16][i]


def test_estimates_of_what_is_kept():
    glow = small_glow(steps=8)
    x = torch.rand(2, 2, 8, 12, dtype=torch.float64)
    passes = FrozenGlow(glow, dtype=torch.float64)._passes
    for mode in MODES:
        kept = sum(tensor.nbytes for tensor in passes.encode(x, mode, True)[2])
        assert kept == pytest.approx(kept_bytes(glow.config, mode, 2 * 8 * 12, 8), rel=0.3)


def test_auto_keeps_as_much_as_it_may():
    config = GlowConfig(image_size=64, levels=4, steps=32, hidden=512)
    modes = [chosen_mode("auto", config, torch.Size((n, 3, 64, 64)), 4) for n in (1, 8, 10000)]
    assert modes == ["store", "checkpoint", "invertible"]
    assert kept_bytes(config, "store", 64 * 64, 4) <= AUTO_BYTES < kept_bytes(config, "store", 8 * 64 * 64, 4)
    assert chosen_mode("store", config, torch.Size((10000, 3, 64, 64)), 4) == "store"


def exploding(coupling):
    """Return a flow whose levels end by shrinking half of the directions, which drown in the others."""
    glow = small_glow(coupling=coupling, split_prior="standard", steps=8)
    with torch.no_grad():
        for level in glow.levels:
            for k, step in enumerate(level.steps):
                n = len(step.actnorm.bias)
                rotation = torch.linalg.qr(randn(n, n, seed=k // 2))[0]
                sizes = torch.where(torch.arange(n) < n // 2, 1e-5, 1.0).double()
                matrix = rotation * sizes if k == 7 else rotation.T
                permutation, lower, upper = torch.linalg.lu(matrix)
                step.conv1x1.permutation.copy_(permutation)
                step.conv1x1.lower.copy_(lower)
                step.conv1x1.upper.copy_(upper)
                step.conv1x1.sign.copy_(upper.diagonal().sign())
                step.conv1x1.log_diagonal.copy_(upper.diagonal().abs().log())
    return glow


@pytest.mark.parametrize("coupling", ["additive", "affine"])
def test_exploding_inverses_are_noticed_and_their_gradients_computed_anew(coupling):
    flow = FrozenGlow(exploding(coupling), memory="invertible")
    x = torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0))
    found = encode_gradient(flow, x)
    expected = encode_gradient(flow.with_memory("store"), x)
    health = flow.reconstruction
    assert expected.isfinite().all() and torch.equal(found, expected)
    assert (health.gradients, health.redone) == (1, 3)
    assert health.last.shape == (3,) and health.last.min() > 1e-5 and health.worst == health.last.max()


def test_without_the_check_those_gradients_would_be_wrong():
    flow = FrozenGlow(exploding("affine"), memory="invertible")
    x = torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0))
    expected = encode_gradient(flow.with_memory("store"), x)
    flow.reconstruction.refused = lambda error: None
    found = encode_gradient(flow, x)
    assert torch.linalg.norm(found - expected) > 1e-4 * torch.linalg.norm(expected)


def test_only_the_images_concerned_are_computed_anew():
    flow = FrozenGlow(small_glow(), memory="invertible", dtype=torch.float64)
    x = torch.rand(4, 2, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = encode_gradient(flow, x)
    ran = []
    run = flow._passes.encode

    def counted(images, mode, log_det):
        ran.append((len(images), mode))
        return run(images, mode, log_det)

    flow._passes.encode = counted
    refused = flow.reconstruction.refused

    def distrust(error):
        refused(error)
        return torch.tensor([False, True, False, True])

    flow.reconstruction.refused = distrust
    assert torch.allclose(encode_gradient(flow, x), expected, rtol=1e-9)
    assert ran == [(4, "invertible"), (2, "checkpoint")]


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_can_be_taken_twice_and_differentiated(mode):
    flow = FrozenGlow(small_glow(coupling="affine"), dtype=torch.float64, memory=mode)
    x = torch.rand(2, 2, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def energy(v):
        latents, log_det = flow.encode(v, True)
        return flat(latents).square().sum() - 2 * log_det.sum()

    leaf = x.clone().requires_grad_()
    value = energy(leaf)
    (one,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (two,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (three,) = torch.autograd.grad(value, leaf, create_graph=True)
    assert torch.equal(one, two) and torch.allclose(one, three, rtol=1e-9)
    v = randn(*x.shape, seed=4)
    (product,) = torch.autograd.grad((three * v).sum(), leaf)
    with recording():
        (first,) = torch.autograd.grad(energy(leaf), leaf, create_graph=True)
        (expected,) = torch.autograd.grad((first * v).sum(), leaf)
    assert torch.allclose(product, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_transforms_pass_through(mode):
    prior = FlowPrior(small_glow(coupling="affine"), dtype=torch.float64, memory=mode)
    plain = prior.with_memory("store")
    x = torch.rand(2, 2, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v, z = randn(*x.shape, seed=4), plain.encode(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(plain.energy(leaf).sum(), leaf)
    assert torch.allclose(vmap(grad(prior.energy))(x), expected, rtol=1e-8, atol=1e-8)
    assert torch.allclose(grad(lambda u: prior.energy(u).sum())(x), expected, rtol=1e-8, atol=1e-8)
    pushed = jvp(prior.encode, (x,), (v,))[1]
    w = randn(*pushed.shape, seed=5)
    assert (pushed * w).sum().item() == pytest.approx((vjp(prior.encode, x)[1](w)[0] * v).sum().item())
    back = jvp(prior.decode, (z,), (pushed,))[1]
    assert torch.allclose(back, v, atol=1e-8)
    # Forward over the hand-written reverse, and a batch of cotangents at once.
    hessian_vector = jvp(grad(lambda u: prior.energy(u).sum()), (x,), (v,))[1]
    (first,) = torch.autograd.grad(plain.energy(leaf).sum(), leaf, create_graph=True)
    (expected,) = torch.autograd.grad((first * v).sum(), leaf)
    assert torch.allclose(hessian_vector, expected, rtol=1e-7, atol=1e-7)
    cotangents = torch.stack([w, 2 * w])
    (batched,) = torch.autograd.grad(prior.encode(leaf), leaf, cotangents, is_grads_batched=True)
    (single,) = torch.autograd.grad(plain.encode(leaf), leaf, w)
    assert torch.allclose(batched, torch.stack([single, 2 * single]), atol=1e-8)


def test_forward_mode_of_autograd():
    flow = FrozenGlow(small_glow(), dtype=torch.float64)
    x, v = torch.rand(1, 2, 8, 12, dtype=torch.float64), randn(1, 2, 8, 12)
    with torch.autograd.forward_ad.dual_level():
        assert not needs_recording(x)
        dual = torch.autograd.forward_ad.make_dual(x, v)
        out = flat(flow.encode(dual)[0])
        tangent = torch.autograd.forward_ad.unpack_dual(out).tangent
    w, leaf = randn(*tangent.shape, seed=1), x.requires_grad_()
    (gradient,) = torch.autograd.grad(flat(flow.encode(leaf)[0]), leaf, w)
    assert (tangent * w).sum().item() == pytest.approx((gradient * v).sum().item())


def test_recording_ends_with_its_block():
    assert not needs_recording()
    with recording():
        assert needs_recording()
    assert not needs_recording()


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_some_latents_only(mode):
    flow = FrozenGlow(small_glow(), dtype=torch.float64, memory=mode)
    x = torch.rand(2, 2, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(flow.encode(leaf)[0][1].sum(), leaf)
    with recording():
        (expected,) = torch.autograd.grad(flow.encode(leaf)[0][1].sum(), leaf)
    assert torch.allclose(found, expected, atol=1e-10)
    latents = [z.detach() for z in flow.encode(x)[0]]
    top = latents[1].clone().requires_grad_()
    (found,) = torch.autograd.grad(flow.decode([latents[0], top])[0].sum(), top)
    with recording():
        (expected,) = torch.autograd.grad(flow.decode([latents[0], top])[0].sum(), top)
    assert torch.allclose(found, expected, atol=1e-10)


def test_inputs_are_left_alone():
    for mode, steps in itertools.product((None, *MODES), (1, 2)):
        passes = FrozenGlow(small_glow(steps=steps, split_prior="standard"), dtype=torch.float64)._passes
        x = torch.rand(2, 2, 8, 12, dtype=torch.float64)
        before = x.clone()
        latents, _, tape = passes.encode(x, mode, True)
        copies = [z.clone() for z in latents]
        if mode is not None:
            passes.encode_vjp(tape, latents, None, mode)
        tape = passes.decode(latents, mode, True)[2]
        if mode is not None:
            passes.decode_vjp(tape, x, None, mode)
        assert torch.equal(x, before)
        assert all(torch.equal(z, copy) for z, copy in zip(latents, copies, strict=True))


def test_modes_of_a_prior():
    prior = FlowPrior(small_glow(), memory="checkpoint")
    assert prior.memory == "checkpoint" and prior.to(dtype=torch.float64).memory == "checkpoint"
    other = prior.with_memory("auto")
    assert other.memory == "auto" and prior.memory == "checkpoint"
    assert other._flow.levels is prior._flow.levels
    assert load_prior("faces64", memory="invertible").memory == "invertible"
    with pytest.raises(ArgumentError, match="memory: got 'less'; accepted: 'store' or 'checkpoint'"):
        prior.with_memory("less")
    with pytest.raises(ArgumentError, match="memory"):
        FlowPrior(small_glow(), memory="all")


def test_health_is_each_copys_own():
    prior = FlowPrior(small_glow(), memory="invertible")
    x = torch.rand(1, 2, 8, 12).requires_grad_()
    torch.autograd.grad(prior.energy(x).sum(), x)
    assert prior.reconstruction.gradients == 1 and 0 < prior.reconstruction.worst < 1e-5
    assert prior.with_memory("invertible").reconstruction.gradients == 0
    assert prior.with_memory("invertible").reconstruction.worst == 0.0
