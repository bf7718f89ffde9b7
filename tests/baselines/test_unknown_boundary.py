import torch
from helpers import make_images

import flowsolve as fs
from flowsolve import baselines
from flowsolve import operators as ops
from flowsolve.baselines.unknown_boundary import masked_total_variation
from flowsolve.functionals import TotalVariation

KERNEL = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()


def make_cropped(sigma, n=2):
    operator, x = ops.ValidBlur(KERNEL / KERNEL.sum(), (3, 14, 12)), make_images(n, 14)[..., :12]
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=sigma, seed=0), sigma=sigma, x_true=x)


def test_it_minimises_the_objective():
    problem, weight = make_cropped(0.05), 0.05**2 / 0.1
    penalty = TotalVariation(weight)

    def objective(x):
        return 0.5 * (problem.operator(x) - problem.y).square().flatten(1).sum(1) + penalty.value(x)

    x = masked_total_variation(problem, weight, iterations=600)
    for direction in (torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1)), x):
        for step in (-1e-2, 1e-2):
            assert (objective(x + step * direction) >= objective(x) - 1e-6).all()


def test_without_noise_the_measurements_are_met():
    problem = make_cropped(0.0)
    x = masked_total_variation(problem, 0.0, iterations=600)
    assert (problem.operator(x) - problem.y).abs().max() < 1e-3


def test_it_is_the_baseline_and_the_start_of_such_blurs():
    problem = make_cropped(0.02)
    assert list(baselines.suited_baselines(problem)) == ["total-variation"]
    assert baselines.classical_start(problem) == "total-variation"
    x, shown = baselines.total_variation(problem), problem.in_frame
    assert fs.psnr(shown(x), shown(problem.x_true)).min() > 28
