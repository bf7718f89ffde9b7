import pytest
import torch
import torch.nn.functional as F

from flowsolve.flows.pairs import conv_pairs, pair, transposed_weight, worth_pairing


def make(out, channels=20, size=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(out, channels, size, size, generator=generator)
    return weight.to(dtype), torch.randn(out, generator=generator).to(dtype)


@pytest.mark.parametrize("out, height, width", [(6, 4, 8), (1, 1, 2), (8, 5, 2)])
def test_it_is_the_convolution(out, height, width):
    weight, bias = make(out)
    x = torch.randn(3, 20, height, width, generator=torch.Generator().manual_seed(1))
    found = conv_pairs(x.contiguous(memory_format=torch.channels_last), pair(weight), torch.cat([bias, bias]))
    assert torch.allclose(found, F.conv2d(x, weight, bias, padding=1), atol=1e-4)


def test_the_transposed_weight_gives_the_transpose():
    weight, _ = make(20, 6)
    g = torch.randn(2, 20, 4, 6, generator=torch.Generator().manual_seed(1))
    found = conv_pairs(g.contiguous(memory_format=torch.channels_last), pair(transposed_weight(weight)), None)
    assert torch.allclose(found, F.conv_transpose2d(g, weight, padding=1), atol=1e-4)


def test_when_it_is_worth_it():
    assert worth_pairing(make(6)[0]) and worth_pairing(make(8, 512, dtype=torch.bfloat16)[0])
    for weight in (make(9)[0], make(6, 512)[0], make(6, size=1)[0], make(6, dtype=torch.float64)[0]):
        assert not worth_pairing(weight)
