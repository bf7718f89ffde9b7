import pytest
import torch
from torch.func import grad, jvp, vjp, vmap

from flowsolve.flows import FrozenGlow


def flat(latents):
    return torch.cat([z.flatten(1) for z in latents], 1)


@pytest.fixture
def frozen(glow):
    return FrozenGlow(glow, dtype=torch.float64)


def test_it_is_the_glow(glow, frozen, images):
    latents, log_det = glow(images)
    frozen_latents, frozen_log_det = frozen.encode(images, log_det=True)
    assert torch.allclose(flat(frozen_latents), flat(latents), atol=1e-10)
    assert torch.allclose(frozen_log_det, log_det, atol=1e-9)
    x, log_det = glow.inverse(latents)
    frozen_x, frozen_log_det = frozen.decode(latents, log_det=True)
    assert torch.allclose(frozen_x, x, atol=1e-10)
    assert torch.allclose(frozen_log_det, log_det, atol=1e-9)


def test_log_det_only_when_asked(frozen, images):
    latents, nothing = frozen.encode(images)
    assert nothing is None
    assert frozen.decode(latents)[1] is None


def test_log_det_of_decode_is_that_of_the_jacobian(frozen, images):
    latents, _ = frozen.encode(images[:1])
    shapes = [z.shape for z in latents]

    def decode(z):
        parts = z.split([s.numel() for s in shapes], 1)
        return frozen.decode([p.reshape(s) for p, s in zip(parts, shapes, strict=True)])[0].flatten(1)

    jacobian = torch.autograd.functional.jacobian(decode, flat(latents)).reshape(128, 128)
    expected = torch.linalg.slogdet(jacobian)[1].item()
    assert frozen.decode(latents, log_det=True)[1].item() == pytest.approx(expected, abs=1e-8)


def test_training_on_does_not_change_it(make_glow, images):
    glow = make_glow()
    frozen = FrozenGlow(glow, dtype=torch.float64)
    before = flat(frozen.encode(images)[0])
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter.add_(1.0)
    assert torch.equal(flat(frozen.encode(images)[0]), before)


def test_no_gradient_is_kept_for_weights(frozen, images):
    assert not flat(frozen.encode(images)[0]).requires_grad


def test_vjp_jvp_and_vmap_agree(frozen, images):
    def encode(x):
        latents, log_det = frozen.encode(x, log_det=True)
        return torch.cat([flat(latents), log_det[:, None]], 1)

    generator = torch.Generator().manual_seed(0)
    v = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    out, pull = vjp(encode, images)
    w = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    pushed = jvp(encode, (images,), (v,))[1]
    assert (pushed * w).sum().item() == pytest.approx((pull(w)[0] * v).sum().item(), rel=1e-10)
    mapped = vmap(lambda x: encode(x[None])[0])(images)
    assert torch.allclose(mapped, out, atol=1e-10)
    per_image = vmap(grad(lambda x: encode(x[None]).square().sum()))(images)
    assert torch.allclose(per_image, pull(2 * out)[0], atol=1e-8)


def test_second_derivatives(frozen, images):
    x = images[:1].clone().requires_grad_()

    def energy(v):
        latents, log_det = frozen.encode(v, log_det=True)
        return flat(latents).square().sum() - 2 * log_det.sum()

    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (first,) = torch.autograd.grad(energy(x), x, create_graph=True)
    (second,) = torch.autograd.grad((first * direction).sum(), x)
    eps = 1e-6
    around = [torch.func.grad(energy)(x.detach() + s * eps * direction) for s in (1, -1)]
    expected = (around[0] - around[1]) / (2 * eps)
    assert torch.linalg.norm(second - expected) < 1e-5 * torch.linalg.norm(expected)


def test_float64_log_det_constant_is_summed_in_float64(faces, faces_double):
    assert faces._flow.log_det_constant(64, 64) == faces_double._flow.log_det_constant(64, 64)


@pytest.fixture(scope="module")
def narrow(faces):
    return faces.to(coupling_dtype=torch.bfloat16)


def test_narrow_couplings_change_the_map_a_little(faces, narrow, photograph):
    x = photograph.float()
    assert narrow.coupling_dtype == torch.bfloat16 and narrow.dtype == torch.float32
    exact, rounded = faces.energy(x), narrow.energy(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().item() < 0.02 * exact.abs().item()
    z = faces.encode(x)
    assert 0 < (narrow.decode(z) - faces.decode(z)).abs().max().item() < 0.02


def test_narrow_couplings_keep_encoder_and_decoder_inverse(glow, images):
    # In float64 around the same bfloat16 networks, whose inputs then are rounded alike on both ways.
    flow = FrozenGlow(glow, dtype=torch.float64, coupling_dtype=torch.bfloat16)
    latents, there = flow.encode(images, log_det=True)
    back, again = flow.decode(latents, log_det=True)
    assert torch.allclose(back, images, atol=1e-10)
    assert torch.allclose(there, -again, atol=1e-9)
    exact = FrozenGlow(glow, dtype=torch.float64).encode(images)[0]
    assert 1e-6 < (flat(latents) - flat(exact)).abs().max() < 0.05 * flat(exact).abs().max()


def test_gradients_through_narrow_couplings(faces, narrow, photograph):
    leaf = photograph.float().requires_grad_()
    (exact,) = torch.autograd.grad(faces.energy(leaf).sum(), leaf)
    gradients = {}
    for mode in ("store", "checkpoint", "invertible"):
        (gradients[mode],) = torch.autograd.grad(narrow.with_memory(mode).energy(leaf).sum(), leaf)
        error = torch.linalg.norm(gradients[mode] - exact) / torch.linalg.norm(exact)
        assert 0 < error < 0.25
    assert torch.equal(gradients["store"], gradients["checkpoint"])
    plain = vmap(grad(narrow.energy))(leaf.detach())
    assert torch.linalg.norm(plain - gradients["store"]) < 0.1 * torch.linalg.norm(exact)


def test_what_narrow_couplings_compute_back_is_exact(narrow, photograph):
    there = narrow.with_memory("invertible")
    leaf = photograph.float().requires_grad_()
    torch.autograd.grad(there.energy(leaf).sum(), leaf)
    assert there.reconstruction.worst < 1e-12 and there.reconstruction.redone == 0
