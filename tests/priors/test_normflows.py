"""Flows of normflows as priors, and what uses a flow: both formulations, the hybrid, records."""

import numpy as np
import pytest
import torch
from helpers import make_images, make_problem
from outside_priors import N, make_realnvp

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.objectives import GaussNewton
from flowsolve.priors import NormflowsPrior, assert_prior_conforms

nf = pytest.importorskip("normflows", reason="normflows is not installed")


def test_the_density_is_that_of_the_library():
    prior, x = make_realnvp(scale=2.0), make_images()
    theirs = prior.function.log_prob((2.0 * x - 0.5).flatten(1)) + N * np.log(2.0)
    torch.testing.assert_close(prior.log_prob(x), theirs)


def test_one_f_in_both_spaces():
    problem, prior = make_problem(), make_realnvp()
    analysis, synthesis = fs.Analysis(problem, prior, phi="nll"), fs.Synthesis(problem, prior, phi="nll")
    z = prior.encode(make_images())
    torch.testing.assert_close(synthesis.value(z), analysis.value(prior.decode(z)))
    torch.testing.assert_close(
        GaussNewton(analysis, make_images()).evaluation.value, analysis.value(make_images())
    )


@pytest.mark.parametrize("solver", ["lbfgs", "hybrid", "gauss_newton", "forward_backward", "scipy:Newton-CG"])
@pytest.mark.parametrize("kind", [fs.Analysis, fs.Synthesis])
def test_solvers_lower_f_and_records_are_repeated(kind, solver, tmp_path):
    objective, path = kind(make_problem(), make_realnvp(), lam=0.01), tmp_path / "run.h5"
    options = {"probe": 3, "patience": 3, "window": 2} if solver == "hybrid" else {}
    result = fs.solve(objective, solver, max_iter=8, rtol=None, record=path, **options)
    assert (result.value < result.trace["value"][0]).all()
    assert fs.rerun(path, prior=make_realnvp()).identical


def test_restore_takes_it(tmp_path):
    path = tmp_path / "run.h5"
    result = fs.restore(make_problem(), make_realnvp(), max_iter=6, record=path)
    assert result.x.shape == (3, 3, 8, 8) and fs.rerun(path, prior=make_realnvp()).identical


def test_a_flow_of_several_levels():
    torch.manual_seed(0)
    blocks = [
        [nf.flows.GlowBlock(c, 8, split_mode="channel", scale=True) for _ in range(2)] for c in (24, 12)
    ]
    flows = [[*blocks[0], nf.flows.Squeeze()], [*blocks[1], nf.flows.Squeeze()]]
    bases = [nf.distributions.GlowBase((24, 2, 2)), nf.distributions.GlowBase((6, 4, 4))]
    flow = nf.MultiscaleFlow(bases, flows, [nf.flows.Merge()], class_cond=False)
    with torch.no_grad():
        flow.log_prob(torch.rand(8, 3, 8, 8), None)
        for base in bases:
            base.log_scale.fill_(-0.3)
    prior = NormflowsPrior(flow, (3, 8, 8), dtype=torch.float64)
    assert prior.latent_shapes == [(6, 4, 4), (24, 2, 2)]
    torch.testing.assert_close(prior.log_prob(make_images()), prior.function.log_prob(make_images(), None))
    assert_prior_conforms(prior)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NormflowsPrior(torch.nn.Identity(), (3, 8, 8)), "flow: got Identity"),
        (lambda: make_realnvp(scale=0), "scale: got 0"),
        (
            lambda: NormflowsPrior(nf.NormalizingFlow(nf.distributions.DiagGaussian(5), []), (3, 8, 8)),
            r"image_shape: got \(3, 8, 8\)",
        ),
        (
            lambda: NormflowsPrior(nf.NormalizingFlow(nf.distributions.Uniform(N), []), (3, 8, 8)),
            "flow: got a flow with the base Uniform",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
