import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from flowsolve.errors import ArgumentError
from flowsolve.metrics import psnr, ssim


@pytest.fixture
def pair():
    truth = (data.astronaut()[:64, 100:148] / 255.0).transpose(2, 0, 1)[None]
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, *truth.shape[1:]))
    return truth + noise, np.repeat(truth, 2, axis=0)


def test_psnr_is_scikit_images_on_clipped_images(pair):
    x, truth = pair
    expected = [
        peak_signal_noise_ratio(t, np.clip(a, 0, 1), data_range=1) for a, t in zip(x, truth, strict=True)
    ]
    np.testing.assert_allclose(psnr(x, truth), expected, rtol=1e-12)
    np.testing.assert_allclose(
        psnr(torch.as_tensor(x).float(), torch.as_tensor(truth).float()), expected, 1e-5
    )


def test_ssim_is_scikit_images_with_data_range_one(pair):
    x, truth = pair
    expected = structural_similarity(np.clip(x[1], 0, 1), truth[1], data_range=1.0, channel_axis=0)
    values = ssim(torch.as_tensor(x), truth)
    assert values.shape == (2,)
    np.testing.assert_allclose(values[1], expected, rtol=1e-12)


def test_equal_images():
    x = np.full((1, 3, 8, 8), 0.5)
    assert np.isposinf(psnr(x, x)).all()
    np.testing.assert_allclose(ssim(x, x), 1)
    # Beyond the range the difference does not count.
    assert np.isposinf(psnr(x * 0 + 1.5, x * 0 + 1)).all()


def test_gradients_do_not_flow_and_dtype_is_kept():
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    assert psnr(x, torch.rand(2, 3, 8, 8)).dtype == np.float64


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bad_shapes(metric):
    with pytest.raises(ArgumentError, match="reference"):
        metric(np.zeros((2, 3, 8, 8)), np.zeros((1, 3, 8, 8)))
    with pytest.raises(ArgumentError, match="N, C, H, W"):
        metric(np.zeros((3, 8, 8)), np.zeros((3, 8, 8)))
    if metric is ssim:
        with pytest.raises(ArgumentError, match="7x7"):
            metric(np.zeros((1, 3, 6, 8)), np.zeros((1, 3, 6, 8)))
