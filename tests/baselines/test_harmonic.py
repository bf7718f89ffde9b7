import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import harmonic_fill
from flowsolve.errors import UnsupportedError


def fill(mask, x, shape=(1, 12, 10)):
    operator = ops.Mask(mask, dim_shape=shape)
    return harmonic_fill(fs.InverseProblem(operator, operator.apply(x), sigma=0))


def ramp(shape=(1, 12, 10)):
    return torch.linspace(0, 1, shape[-1], dtype=torch.float64).expand(1, *shape).clone()


def test_a_linear_ramp_is_filled_exactly_inside():
    mask = np.ones((12, 10))
    mask[3:8, 2:7] = 0
    torch.testing.assert_close(fill(mask, ramp()), ramp(), atol=1e-12, rtol=0)


def test_unknown_pixels_are_means_of_their_neighbours_also_at_the_border():
    mask = np.random.default_rng(0).random((12, 10)) > 0.6
    x = torch.rand(2, 1, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    filled = fill(mask, x).numpy()
    np.testing.assert_array_equal(filled[:, :, mask], x.numpy()[:, :, mask])
    padded = np.pad(filled, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    around = (
        padded[:, :, 2:, 1:-1] + padded[:, :, :-2, 1:-1] + padded[:, :, 1:-1, 2:] + padded[:, :, 1:-1, :-2]
    )
    np.testing.assert_allclose((around / 4)[:, :, ~mask], filled[:, :, ~mask], atol=1e-12)


def test_weights_are_divided_out_and_dtype_is_kept():
    mask = np.full((12, 10), 2.0)
    mask[5, 5] = 0
    filled = fill(mask, ramp().float())
    assert filled.dtype == torch.float32
    torch.testing.assert_close(filled, ramp().float(), atol=1e-6, rtol=0)


def test_masks_of_each_image_and_channel():
    mask = np.random.default_rng(1).random((2, 3, 6, 6)) > 0.3
    mask[1, 2] = False
    x = torch.full((2, 3, 6, 6), 0.25, dtype=torch.float64)
    torch.testing.assert_close(fill(mask, x, (3, 6, 6)), x)


def test_only_masks():
    problem = fs.InverseProblem(ops.Identity((3, 8, 8)), torch.zeros(1, 3, 8, 8), sigma=0)
    with pytest.raises(UnsupportedError, match="Mask"):
        harmonic_fill(problem)


@pytest.mark.parametrize("weight", [0.5, -2.0, 20.0])
def test_a_hidden_channel_takes_the_mean_of_the_others_without_their_weights(weight):
    mask = np.full((3, 6, 6), weight)
    mask[1] *= 3
    mask[2] = 0
    x = torch.full((2, 3, 6, 6), 0.8, dtype=torch.float64)
    torch.testing.assert_close(fill(mask, x, (3, 6, 6)), x)


def test_pixels_of_which_only_noise_is_seen_are_filled():
    mask = np.ones((12, 10))
    mask[3:8, 2:7] = 0.01
    operator = ops.Mask(mask, dim_shape=(1, 12, 10))
    problem = fs.InverseProblem(operator, fs.degrade(operator, ramp(), sigma=0.05), sigma=0.05)
    assert (harmonic_fill(problem) - ramp()).abs().max() < 0.3
    # A mask that is faint everywhere is all that there is.
    faint = ops.Mask(0.01 * np.ones((12, 10)), dim_shape=(1, 12, 10))
    problem = fs.InverseProblem(faint, faint.apply(ramp()), sigma=0.05)
    torch.testing.assert_close(harmonic_fill(problem), ramp())
