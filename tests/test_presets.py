import numpy as np
import pytest
import torch
from helpers import make_images, make_problem, make_tiny_prior

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve import presets
from flowsolve.errors import ArgumentError
from flowsolve.flows import load_prior
from flowsolve.flows.raw import raw_prior
from flowsolve.objectives import (
    AsimSynthesis,
    CheckerboardAnalysis,
    OberlinVermAnalysis,
    OberlinVermSynthesis,
)


def walked(prior, x):
    """Return the raw split outputs of images, level by level through the trainable network."""
    out, h = [], x - 0.5
    for level in prior.glow.levels:
        h = torch.nn.functional.pixel_unshuffle(h, 2)
        for step in level.steps:
            h, _ = step(h)
        if level.last:
            out.append(h)
        else:
            h, put_out = h.chunk(2, 1)
            out.append(put_out)
    return torch.cat([part.flatten(1) for part in out], 1)


def published_analysis(prior, problem, c, checkerboard, pattern, x, steps):
    """The code's loop in its own words: images centred at 0, Hardtanh, raw latents, Adam 0.1, no half."""
    hardtanh = torch.nn.Hardtanh()
    x = (x - 0.5).clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.1)
    for _ in range(steps):
        residual = problem.operator.apply(x + 0.5) - problem.y
        z = walked(prior, hardtanh(x) + 0.5)
        loss = residual.square().sum() + c * z.square().sum() + checkerboard * (x * pattern).sum() ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return x.detach() + 0.5


def test_raw_latents_are_the_split_outputs_and_still_decode(tiny_prior):
    raw, x = raw_prior(tiny_prior), make_images()
    torch.testing.assert_close(raw.encode(x), walked(tiny_prior, x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(raw.decode(raw.encode(x)), x, rtol=0, atol=1e-9)
    assert raw.name == "raw:tiny" and raw_prior(raw) is raw


def test_raw_priors_are_found_by_name():
    raw = load_prior("raw:faces64")
    assert raw.name == raw.source == "raw:faces64" and raw.config.split_prior == "standard"
    assert raw.sha256 == raw_prior(load_prior("faces64")).sha256


def test_oberlin_verm_analysis_takes_the_steps_of_the_code(tiny_prior):
    problem = presets.registry.get("oberlin-verm-2021").problem("super-resolution-4", make_images(1))
    start = fs.initialise.make_start("uniform", problem, tiny_prior, seed=3).x
    rows = torch.tensor([-1.0, -1, 1, 1, -1, -1, 1, 1], dtype=torch.float64)
    pattern = -torch.outer(rows, rows)
    expected = published_analysis(tiny_prior, problem, 1e-5, 8e-4, pattern, start, 12)
    result = presets.run(
        "oberlin-verm-2021", "super-resolution-4", "analysis", problem, tiny_prior, seed=3, max_iter=12
    )
    torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-9)
    assert result.best.iteration.tolist() == [12]


def test_oberlin_verm_synthesis_takes_the_steps_of_the_code(tiny_prior):
    problem = presets.registry.get("oberlin-verm-2021").problem("super-resolution-2", make_images(1))
    rows = torch.tensor([-1.0, -1, 1, 1, -1, -1, 1, 1], dtype=torch.float64)
    pattern, z = (
        torch.outer(rows, rows),
        torch.zeros(1, tiny_prior.n, dtype=torch.float64, requires_grad=True),
    )
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(12):
        x = tiny_prior.decode(z)
        residual = problem.operator.apply(x) - problem.y
        loss = residual.square().sum() + 5e-4 * z.square().sum() + 0.04 * ((x - 0.5) * pattern).sum() ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    result = presets.run(
        "oberlin-verm-2021", "super-resolution-2", "synthesis", problem, tiny_prior, max_iter=12
    )
    torch.testing.assert_close(result.z, z.detach(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("task", ["denoise", "inpaint-box"])
def test_asim_takes_the_steps_of_torchs_lbfgs_without_a_search(task, tiny_prior):
    operator = ops.Identity((3, 8, 8)) if task == "denoise" else ops.Mask.box(3, dim_shape=(3, 8, 8))
    problem = make_problem(operator, sigma=0.1, n=1)
    gamma = {"denoise": 1.0, "inpaint-box": 0.05}[task]
    z = torch.zeros(1, tiny_prior.n, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([z], lr=1.0, history_size=100, max_iter=8)

    def closure():
        optimizer.zero_grad()
        residual = problem.operator.apply(tiny_prior.decode(z)) - problem.y
        loss = (residual.square().sum() + gamma * z.norm()) / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    result = presets.run("asim-2020", task, "synthesis", problem, tiny_prior, max_iter=8)
    torch.testing.assert_close(result.final.z, z.detach(), rtol=1e-6, atol=1e-8)


def test_protocols_have_the_codes_constants_iterations_and_operators():
    preset = presets.registry.get("oberlin-verm-2021")
    table = {
        (task, name): (2 * protocol.lam, protocol.iterations, protocol.start)
        for task, both in preset.protocols.items()
        for name, protocol in both.items()
    }
    assert table["deblur", "analysis"] == (1e-5, 1000, "uniform")
    assert table["inpaint-random", "synthesis"] == (4e-4, 1000, "zeros")
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    kept = preset.problem("inpaint-random", x).operator.mask
    assert kept.reshape(2, -1).sum(1).tolist() == [1638, 1638] and (kept[0] != kept[1]).any()
    hole = 1 - preset.problem("inpaint-box", x).operator.mask[0]
    assert np.flatnonzero(hole.any(1)).tolist() == list(range(21, 42))
    asim = presets.registry.get("asim-2020").problem("denoise", x)
    assert asim.sigma == 0.1
    hole = 1 - presets.registry.get("asim-2020").problem("inpaint-box", x).operator.mask[0]
    assert np.flatnonzero(hole.any(1)).tolist() == list(range(22, 41))


def test_analysis_from_zero_starts_at_the_image_of_the_standardised_latent(tiny_prior, problem):
    result = presets.run("oberlin-verm-2021", "inpaint-random", "analysis", problem, tiny_prior, max_iter=0)
    expected = tiny_prior.decode(torch.zeros(3, tiny_prior.n, dtype=torch.float64))
    torch.testing.assert_close(result.x, expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (OberlinVermAnalysis, {"checkerboard": 0.3, "block": 2}),
        (OberlinVermSynthesis, {"checkerboard": 0.3, "block": 4}),
        (CheckerboardAnalysis, {"checkerboard": 0.3, "block": 2}),
        (AsimSynthesis, {}),
    ],
)
def test_gradients_agree_with_finite_differences(kind, options, tiny_prior, problem):
    objective = kind(problem, tiny_prior, phi="latent", lam=0.05, **options)
    generator = torch.Generator().manual_seed(0)
    u = objective.from_latent(torch.randn(3, tiny_prior.n, generator=generator, dtype=torch.float64))
    _, grad = objective.value_and_grad(u)
    v = torch.randn(u.shape, generator=generator, dtype=u.dtype)
    difference = (objective.value(u + 1e-6 * v) - objective.value(u - 1e-6 * v)) / 2e-6
    torch.testing.assert_close((grad * v).flatten(1).sum(1), difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("formulation", ["analysis", "synthesis"])
def test_a_preset_run_continues_bit_by_bit(formulation, problem, tmp_path):
    prior = make_tiny_prior()
    flow = raw_prior(prior) if formulation == "analysis" else prior

    def stop(progress):
        if progress.iteration == 4:
            raise KeyboardInterrupt

    arguments = ("oberlin-verm-2021", "inpaint-random", formulation, problem, prior)
    whole = presets.run(*arguments, max_iter=9)
    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        presets.run(*arguments, max_iter=9, record=path, checkpoint_seconds=0, callback=stop)
    resumed = fs.resume(path, prior=flow)
    torch.testing.assert_close(resumed.final.x, whole.x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("oberlin-2021", "deblur", "analysis"), "preset: got 'oberlin-2021'"),
        (("oberlin-verm-2021", "denoise", "analysis"), "task: got 'denoise'; accepted: 'deblur' or"),
        (("asim-2020", "denoise", "analysis"), "formulation: got 'analysis'; accepted: 'synthesis'"),
    ],
)
def test_what_a_preset_lacks_is_named(arguments, message, tiny_prior, problem):
    with pytest.raises(ArgumentError, match=message):
        presets.run(*arguments, problem, tiny_prior)


def test_what_a_protocol_decides_cannot_be_given(tiny_prior, problem):
    with pytest.raises(ArgumentError, match="settings: got solver"):
        presets.run("oberlin-verm-2021", "deblur", "analysis", problem, tiny_prior, solver="lbfgs")
