import re

import pytest
import torch
from safetensors.torch import save_file

import flowsolve as fs
from flowsolve.errors import ArgumentError, CheckpointError
from flowsolve.flows.foreign import import_prior

CASES = {
    "rosinality": "rosinality-additive-matrix",
    "glowip": "glowip-affine",
    "chaiyujin": "chaiyujin-affine-matrix",
}
TENSORS = {
    "rosinality": "blocks.1.flows.0.coupling.net.0.weight",
    "glowip": "glow_modules.6.coupling.net.conv1.weight",
    "chaiyujin": "flow.layers.5.f.0.weight",
}


@pytest.fixture
def write(tmp_path):
    def to_file(tensors, name="weights.pt"):
        path = tmp_path / name
        torch.save(tensors, path)
        return path

    return to_file


def refusal(path, *arguments, error=CheckpointError, **options):
    with pytest.raises(error) as caught:
        import_prior(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_package_offers_it_by_name():
    assert fs.import_prior is import_prior
    assert "import_prior" in fs.__all__ and "import_prior" in dir(fs)


def same(one, other):
    return all(torch.equal(t, other.state_dict()[name]) for name, t in one.state_dict().items())


@pytest.mark.parametrize("program", CASES)
def test_parallel_networks_and_whole_checkpoints_are_read(program, state, write):
    tensors = state(CASES[program])
    plain = import_prior(write(tensors), program).glow
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    assert same(plain, import_prior(write(parallel)).glow)
    whole = {"global_step": 5, "graph": tensors, "optim": {"state": {0: torch.zeros(2)}, "lr": 0.1}}
    assert same(plain, import_prior(write(whole)).glow)


def test_safetensors_are_read(state, write, tmp_path):
    tensors = state()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "w.safetensors")
    assert same(import_prior(write(tensors)).glow, import_prior(tmp_path / "w.safetensors").glow)


@pytest.mark.parametrize("program", CASES)
def test_missing_unknown_and_misshapen_tensors_are_named(program, state, write):
    name = TENSORS[program]
    tensors = state(CASES[program])
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    assert f"missing tensors: {name}" in refusal(write(without), program)
    assert "unknown tensors: surprise" in refusal(write(tensors | {"surprise": torch.zeros(1)}), program)
    shape = tuple(tensors[name].shape)
    message = refusal(write(tensors | {name: torch.zeros(7)}), program)
    assert f"misshapen tensors: {name} is (7,), should be {shape}" in message


@pytest.mark.parametrize("program", CASES)
def test_one_misshapen_tensor_does_not_mislead_about_the_rest(program, state, write):
    tensors = state(CASES[program])
    for name in [n for n in tensors if re.search(r"actnorm\.(loc|logs|bias|b)$|\.bias$", n)][:8]:
        message = refusal(write(tensors | {name: torch.zeros(1, 5, 1, 1)}), program)
        assert f"misshapen tensors: {name} is (1, 5, 1, 1)" in message and "more" not in message


@pytest.mark.parametrize("program", CASES)
def test_many_missing_tensors_are_counted(program, state, write):
    tensors = state(CASES[program])
    gone = [name for name in tensors if name.endswith(("weight", "W"))][1:]
    short = {name: tensor for name, tensor in tensors.items() if name not in gone}
    message = refusal(write(short), program)
    # Without its weights a coupling's width is not known, which is said instead.
    assert "hidden channels" in message or re.search(r"missing tensors: .* and \d+ more", message)
    some = {name: tensor for name, tensor in tensors.items() if name not in gone[:3] + gone[-4:]}
    assert re.search(r"missing tensors: (\S+, ){3}\S+ and 3 more", refusal(write(some), program))


def test_values_that_are_not_finite_are_named(state, write):
    tensors = state()
    tensors["blocks.0.prior.scale"][0, 0] = float("nan")
    assert "not finite: blocks.0.prior.scale" in refusal(write(tensors))


def test_singular_matrices_are_refused(state, write):
    tensors = state()
    tensors["blocks.0.flows.1.invconv.weight"].zero_()
    message = refusal(write(tensors))
    assert "not finite" in message and "levels.0.steps.1.conv1x1.log_diagonal" in message


def test_an_untrained_network_is_refused(state, write):
    tensors = state()
    tensors["blocks.0.flows.0.actnorm.initialized"].zero_()
    assert "never initialised: blocks.0.flows.0.actnorm.initialized" in refusal(write(tensors))


def test_files_from_before_the_flag_was_stored_are_read(state, write):
    tensors = {name: tensor for name, tensor in state().items() if not name.endswith("initialized")}
    assert import_prior(write(tensors)).format == "rosinality"


def test_classes_as_a_condition_are_refused(state, write):
    tensors = state(CASES["chaiyujin"]) | {"project_ycond.weight": torch.zeros(96, 2)}
    assert "classes as a condition" in refusal(write(tensors)) and "project_ycond.weight" in refusal(
        write(tensors)
    )


def test_a_top_that_is_not_zero_is_refused(state, write):
    tensors = state(CASES["chaiyujin"])
    tensors["prior_h"][0, 0] = 1
    assert "must be zero: prior_h" in refusal(write(tensors))


def test_unknown_formats_name_the_known_ones(state, write):
    message = refusal(write(state()), "nice", error=ArgumentError)
    assert message == "format: got 'nice'; accepted: auto, chaiyujin, glowip, rosinality"


def test_what_fits_no_format_says_what_was_tried(write):
    message = refusal(write({"weight": torch.zeros(3)}))
    for program in CASES:
        assert f"{program}: no tensor named like " in message


def test_another_format_than_the_file_has(state, write):
    message = refusal(write(state()), "glowip")
    assert "not of the format 'glowip': no tensor named like glow_modules.1" in message


def test_settings_are_those_of_the_format(state, write):
    path = write(state(CASES["glowip"]))
    config = import_prior(path, "glowip", coupling_bias=0.2, last_coupling_bias=0.2).glow.config
    assert config.scale_offset == 0.2 and config.last_scale_offset is None
    assert import_prior(path).glow.config.last_scale_offset == 1
    assert "coupling_bias: got -1" in refusal(path, coupling_bias=-1, error=ArgumentError)
    other = write(state(), "other.pt")
    assert "coupling_bias: got 1" in refusal(other, "rosinality", coupling_bias=1, error=ArgumentError)
    assert "has the settings coupling_bias (glowip: " in refusal(other, coupling_bias=1)
    assert "settings" in refusal(other, temperature=1, error=ArgumentError)


def test_what_was_assumed_stands_in_the_card(state, write):
    found = import_prior(write(state(CASES["glowip"])), terms="research only", training="faces")
    assert found.card.terms == "research only" and found.card.training == "faces"
    assert "64x64" in found.card.notes and "squeeze_contig" in found.card.notes
    assert "weights.pt, format glowip" in found.card.summary
    assert import_prior(write(state()), summary="mine").card.summary == "mine"


def test_sizes_and_bits(state, write):
    path = write(state())
    assert import_prior(path).glow.config.image_size == 64
    assert import_prior(path, image_size="any").glow.config.image_size is None
    config = import_prior(path, image_size=(32, 48), bits=8).glow.config
    assert config.size == (32, 48) and config.bits == 8
    assert "image_size: got 30" in refusal(path, image_size=30, error=ArgumentError)
    assert "bits: got 99" in refusal(path, bits=99, error=ArgumentError)
    # This program stores the shape of its top latent.
    assert import_prior(write(state(CASES["chaiyujin"]))).glow.config.size == (16, 16)


def test_this_program_s_own_files_are_pointed_out(tiny_prior, write):
    assert "named like those of flowsolve" in refusal(write(dict(tiny_prior.glow.state_dict())))


def test_absurd_numbers_of_levels_are_refused(state, write):
    tensors = state()
    tensors["blocks.900.flows.0.actnorm.loc"] = torch.zeros(1, 12, 1, 1)
    assert "levels" in refusal(write(tensors))
