import pytest
import torch

from flowsolve.errors import UnsupportedError
from flowsolve.flows import FlowPrior, FrozenGlow
from flowsolve.flows.graphs import GraphedGlow


def test_it_needs_a_gpu(make_glow):
    with pytest.raises(UnsupportedError, match="CUDA graphs: the flow is on cpu"):
        FlowPrior(make_glow()).with_cuda_graphs()


class Overwriting:
    """Stands for ``make_graphed_callables`` on the CPU: results and gradients always in the same memory."""

    def __init__(self):
        self.recorded = 0

    def __call__(self, function, samples):
        self.recorded += 1
        outputs, gradients = {}, {}

        class Replay(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                with torch.enable_grad():
                    ctx.inputs = [tensor.detach().requires_grad_() for tensor in inputs]
                    ctx.outputs = function(*ctx.inputs)
                for i, output in enumerate(ctx.outputs):
                    outputs.setdefault(i, torch.empty_like(output)).detach().copy_(output.detach())
                return tuple(outputs[i].detach() for i in range(len(outputs)))

            @staticmethod
            def backward(ctx, *cotangents):
                found = torch.autograd.grad(ctx.outputs, ctx.inputs, cotangents)
                for i, gradient in enumerate(found):
                    gradients.setdefault(i, torch.empty_like(gradient)).copy_(gradient)
                return tuple(gradients[i].detach() for i in range(len(gradients)))

        return Replay.apply


@pytest.fixture
def graphed(make_glow, monkeypatch):
    recorder = Overwriting()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorder)
    flow = FrozenGlow(make_glow(), dtype=torch.float64)
    flow.device = torch.device("cuda")
    there = GraphedGlow(flow)
    return flow, there, recorder


def gradient(flow, x):
    leaf = x.clone().requires_grad_()
    latents, log_det = flow.encode(leaf, True)
    value = sum(z.square().sum() for z in latents) - log_det.sum()
    return torch.autograd.grad(value, leaf)[0]


def test_results_and_gradients_have_memory_of_their_own(graphed, images):
    flow, there, recorder = graphed
    expected = [gradient(flow, x) for x in (images, 1 - images)]
    found = [gradient(there, x) for x in (images, 1 - images)]
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    assert recorder.recorded == 1
    gradient(there, images[:2])
    assert recorder.recorded == 2
    leaf = images.clone().requires_grad_()
    one = [z.clone() for z in there.encode(leaf)[0]]
    kept = there.encode(leaf)[0]
    there.encode(leaf + 1)
    assert all(torch.allclose(a, b) for a, b in zip(one, kept, strict=True))


def test_a_gradient_that_comes_too_late_is_refused(graphed, images):
    _, there, _ = graphed
    leaf = images.clone().requires_grad_()
    first = there.encode(leaf)[0][0].sum()
    there.encode(leaf)
    with pytest.raises(UnsupportedError, match="before the next pass"):
        torch.autograd.grad(first, leaf)


def test_without_a_gradient_nothing_is_recorded(graphed, images):
    flow, there, recorder = graphed
    latents = there.encode(images)[0]
    assert torch.allclose(there.decode(latents)[0], flow.decode(latents)[0])
    torch.func.vmap(lambda x: there.encode(x[None])[0][0])(images)
    assert recorder.recorded == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("mode", ["store", "checkpoint", "invertible"])
def test_graphs_agree_with_the_flow(faces, synthetic, mode):
    there = faces.to("cuda").with_memory(mode)
    fast = there.with_cuda_graphs()
    x = synthetic.float().cuda().repeat(4, 1, 1, 1)
    for images in (x, 1 - x, x.flip(3)):
        found, expected = gradient(fast._flow, images), gradient(there._flow, images)
        assert torch.linalg.norm(found - expected) < 1e-4 * torch.linalg.norm(expected)
    z = there.encode(x)
    leaf = z.clone().requires_grad_()
    (found,) = torch.autograd.grad(fast.decode(leaf).square().sum(), leaf)
    (expected,) = torch.autograd.grad(there.decode(leaf).square().sum(), leaf)
    assert torch.linalg.norm(found - expected) < 1e-3 * torch.linalg.norm(expected)
