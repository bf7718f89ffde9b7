import pytest
import torch
from skimage import data

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import non_local_means
from flowsolve.errors import UnsupportedError


def test_removes_noise_and_only_that():
    x = torch.as_tensor(data.astronaut()[:64, 130:194] / 255.0).permute(2, 0, 1)[None].contiguous()
    operator = ops.Identity((3, 64, 64))
    noisy = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.1), sigma=0.1)
    assert fs.psnr(non_local_means(noisy), x) > fs.psnr(noisy.y, x) + 3
    clean = fs.InverseProblem(operator, x, sigma=0)
    assert torch.equal(non_local_means(clean), x)
    blur = ops.Blur.uniform(3, (3, 64, 64))
    with pytest.raises(UnsupportedError, match="Identity"):
        non_local_means(fs.InverseProblem(blur, x, sigma=0.1))


def test_a_grey_image_is_denoised_as_well_as_a_colour_one():
    x = torch.linspace(0, 1, 12, dtype=torch.float64).repeat(12, 1)[None, None]
    problem = fs.InverseProblem(
        ops.Identity((1, 12, 12)), fs.degrade(ops.Identity((1, 12, 12)), x, sigma=0.1), sigma=0.1
    )
    assert fs.psnr(non_local_means(problem), x)[0] > fs.psnr(problem.y, x)[0] + 3
