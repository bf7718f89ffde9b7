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


NOT_IMAGES = {
    "uint8": (np.ones((1, 3, 8, 8), np.uint8), "divide images in 0..255 by 255"),
    "torch integers": (torch.ones(1, 3, 8, 8, dtype=torch.int64), "divide images in 0..255 by 255"),
    "booleans": (np.ones((1, 3, 8, 8), bool), "float32 or float64"),
    "half": (torch.ones(1, 3, 8, 8, dtype=torch.float16), "float32 or float64"),
    "0..255": (np.random.default_rng(0).random((1, 3, 8, 8)) * 255, "divide images in 0..255 by 255"),
    "empty": (np.zeros((0, 3, 8, 8)), "empty batch"),
    "none": (None, "NumPy, CuPy, torch"),
    "ragged": ([[1.0], [1.0, 2.0]], "NumPy, CuPy, torch"),
}


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_is_not_an_image_is_named_on_either_side(metric, name):
    bad, message = NOT_IMAGES[name]
    good = np.full((1, 3, 8, 8), 0.5)
    if name != "empty":
        with pytest.raises(ArgumentError, match=f"reference: .*{message}"):
            metric(good, bad)
        with pytest.raises(ArgumentError, match=f"x: .*{message}"):
            metric(bad, good)
    with pytest.raises(ArgumentError, match=message):
        metric(bad, bad)


def test_an_estimate_far_off_is_no_error_but_the_truth_has_no_nan():
    truth = np.full((1, 3, 8, 8), 0.5)
    assert psnr(1e6 * (truth - 0.6), truth) == pytest.approx(-10 * np.log10(0.25))
    assert np.isnan(psnr(truth * np.nan, truth)).all()
    with pytest.raises(ArgumentError, match="reference: got NaN"):
        psnr(truth, truth * np.nan)


def test_dtypes_and_libraries_may_differ():
    x = np.random.default_rng(0).random((2, 3, 8, 8))
    np.testing.assert_allclose(psnr(torch.as_tensor(x).float(), x * 0), psnr(x, x * 0), rtol=1e-5)
