"""Imported flows against numbers that the programs they come from computed (see ``filling.py``)."""

import json
from pathlib import Path

import pytest
import torch
from flows.foreign.filling import fill, images

from flowsolve.flows import FlowPrior, GlowConfig, read_checkpoint, save_prior
from flowsolve.flows.foreign import formats, import_prior

FOLDER = Path(__file__).parent / "reference"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Return the reference and a file of the program with the weights that it was computed with."""
    reference = json.loads((FOLDER / f"{request.param}.json").read_text())
    weights = {name: torch.from_numpy(value) for name, value in fill(reference["shapes"]).items()}
    path = tmp_path_factory.mktemp("foreign") / f"{request.param}.pt"
    torch.save(weights, path)
    return reference, path


def imported(case, **options):
    reference, path = case
    return import_prior(path, image_size=reference["size"], **reference["settings"], **options)


def test_there_are_references_of_every_format():
    assert {name.split("-")[0] for name in CASES} == set(formats)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_latents_log_det_and_density_are_those_of_the_program(case, dtype, tolerance):
    reference = case[0]
    found = imported(case, dtype=dtype)
    assert found.format == reference["format"]
    prior = FlowPrior(found.glow, dtype=dtype)
    x = torch.from_numpy(images(2, 3, reference["size"])).to(dtype)
    z, log_det = prior.encode(x, log_det=True)
    for level, expected in zip(prior.split_latent(z), reference["latents"], strict=True):
        check(level, expected, tolerance)
    # One of the programs computes the log-determinant of a matrix in float32 in any case.
    rounding = dict(rtol=max(tolerance, 1e-6) / 10, atol=1e-6)
    for given, name in ((log_det, "log_det"), (prior.log_prob(x), "log_prob")):
        torch.testing.assert_close(given.double(), tensor(reference[name]), **rounding)
    check(prior.decode(z / 2), reference["decoded"], tolerance)


def test_the_network_that_trains_gives_the_same(case):
    reference = case[0]
    glow = imported(case, dtype=torch.float64).glow
    latents, log_det = glow(torch.from_numpy(images(2, 3, reference["size"])))
    for level, expected in zip(latents, reference["latents"], strict=True):
        check(level, expected, 1e-9)
    torch.testing.assert_close(log_det, tensor(reference["log_det"]), rtol=1e-7, atol=1e-6)
    check(glow.inverse([z / 2 for z in latents])[0], reference["decoded"], 1e-9)


def test_what_is_saved_reads_back_as_the_same_flow(case, tmp_path):
    found = imported(case)
    read = read_checkpoint(save_prior(tmp_path / "prior.safetensors", found.glow, found.card))
    assert read.glow.config == found.glow.config and read.card == found.card
    tensors = found.glow.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in read.glow.state_dict().items())


def test_architectures_are_told_by_the_tensors(case):
    reference = case[0]
    config = imported(case).glow.config
    kind = "affine" if "affine" in case[1].stem else "additive"
    assert (config.channels, config.levels, config.steps, config.hidden) == (3, 3, 2, 16)
    assert config.coupling == kind and config.image_size == reference["size"]
    assert config.last_steps == (1 if reference["format"] == "glowip" else None)
    assert config.border == (1 if reference["format"] == "rosinality" else 0)


def test_numbers_of_parameters_at_the_size_of_the_paper():
    # Oberlin and Verm: 4 levels of 32 steps, 512 hidden channels, additive, 61.2 million.
    config = GlowConfig(image_size=64, levels=4, steps=32, hidden=512, border=1)
    shapes = formats.get("rosinality")().shapes(config, {})
    learned = [shape for name, shape in shapes.items() if not name.endswith(("w_p", "s_sign"))]
    assert sum(torch.Size(shape).numel() for shape in learned) == pytest.approx(61.2e6, rel=0.01)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def check(given, expected, tolerance):
    """Compare a tensor (N, ...) with its sums, sums of squares and first values."""
    given = given.detach().double()
    scale = given.abs().max()
    n = given[0].numel()
    near = dict(rtol=tolerance, atol=float(tolerance * scale * n**0.5))
    torch.testing.assert_close(given.sum((1, 2, 3)), tensor(expected["sum"]), **near)
    torch.testing.assert_close(given.square().sum((1, 2, 3)), tensor(expected["squares"]), **near)
    first = given[0].flatten()[: len(expected["first"])]
    torch.testing.assert_close(first, tensor(expected["first"]), rtol=0, atol=tolerance)
