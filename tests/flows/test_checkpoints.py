import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from flowsolve.errors import ArgumentError, CheckpointError
from flowsolve.flows import FlowPrior, Glow, GlowConfig, PriorCard, read_checkpoint, save_prior

CARD = PriorCard(summary="noise", training="random numbers", terms="public domain", bits_per_dim=8.5)


@pytest.fixture
def glow(make_glow):
    return make_glow().float()


@pytest.fixture
def saved(glow, tmp_path):
    return save_prior(tmp_path / "tiny.safetensors", glow, CARD)


def rewrite(path, change=None, metadata=None):
    """Write the file again with changed tensors, or other metadata."""
    tensors = load_file(path)
    if change is not None:
        change(tensors)
    if metadata is None:
        data = path.read_bytes()
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    save_file(tensors, path, metadata=metadata)


def header(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["flowsolve_prior"]


def test_what_was_saved_is_read(glow, saved):
    checkpoint = read_checkpoint(saved)
    assert checkpoint.card == CARD and checkpoint.glow.config == glow.config
    expected = glow.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in checkpoint.glow.state_dict().items())
    assert all(p.requires_grad for p in checkpoint.glow.parameters())


def test_float64_stays_float64(make_glow, tmp_path):
    path = save_prior(tmp_path / "double.safetensors", make_glow())
    assert next(read_checkpoint(path).glow.parameters()).dtype == torch.float64


def test_shorter_floats_become_float32(saved):
    rewrite(saved, lambda tensors: tensors.update({n: t.bfloat16() for n, t in tensors.items()}))
    assert next(read_checkpoint(saved).glow.parameters()).dtype == torch.float32


def test_a_prior_saves_with_its_card_and_knows_its_hash(glow, tmp_path):
    prior = FlowPrior(glow, card=CARD)
    checkpoint = read_checkpoint(save_prior(tmp_path / "prior.safetensors", prior))
    assert checkpoint.card == CARD and checkpoint.sha256 == prior.sha256


def test_a_glow_without_a_card(glow, tmp_path):
    checkpoint = read_checkpoint(save_prior(tmp_path / "bare.safetensors", glow))
    assert checkpoint.card.terms == "not stated" and checkpoint.card.bits_per_dim is None


def test_notes_are_kept_and_leave_no_trace_where_there_are_none(glow, saved, tmp_path):
    assert "notes" not in json.loads(header(saved))
    card = CARD.model_copy(update={"notes": "assumed: 8 bits"})
    assert read_checkpoint(save_prior(tmp_path / "noted.safetensors", glow, card)).card == card


def test_variants_of_other_programs_are_kept(tmp_path):
    config = GlowConfig(levels=2, steps=2, hidden=3, last_steps=1, border=1, coupling="affine", shift="after")
    path = save_prior(tmp_path / "foreign.safetensors", Glow(config))
    assert read_checkpoint(path).glow.config == config


def test_separate_metadata_keys_are_read(glow, saved):
    architecture = json.dumps(glow.config.model_dump(mode="json"))
    rewrite(saved, metadata={"architecture": architecture, "terms": "research", "training": "faces"})
    card = read_checkpoint(saved).card
    assert (card.terms, card.training) == ("research", "faces")


def test_a_save_replaces_the_file_and_leaves_nothing_else(glow, saved):
    save_prior(saved, glow)
    assert os.listdir(saved.parent) == [saved.name]
    assert stat.S_IMODE(saved.stat().st_mode) & stat.S_IRUSR


def test_a_failed_save_leaves_the_old_file(glow, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_prior(saved, glow)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("name", ["prior.pt", "nowhere/prior.safetensors"])
def test_bad_paths_to_save_to(glow, tmp_path, name):
    with pytest.raises(ArgumentError, match="path: got"):
        save_prior(tmp_path / name, glow)


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_missing_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.safetensors")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1])
def test_cut_off_file(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    assert "cut off, corrupt, or not a safetensors file" in refusal(saved)


def test_pickle_is_not_read(tmp_path):
    path = tmp_path / "pickle.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    assert "not a safetensors file" in refusal(path)


def test_foreign_safetensors(saved):
    rewrite(saved, metadata={"format": "pt"})
    assert "without the 'flowsolve_prior' header" in refusal(saved)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "schema None"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "bad header"),
        ('{"schema": 1, "architecture": {"levels": 0}}', "levels"),
        ('{"schema": 1, "architecture": {"coupling": "cubic"}}', "coupling"),
    ],
)
def test_bad_header(saved, text, expected):
    rewrite(saved, metadata={"flowsolve_prior": text})
    assert expected in refusal(saved)


def test_missing_tensor(saved):
    rewrite(saved, lambda tensors: tensors.pop("levels.0.steps.1.actnorm.bias"))
    assert "missing tensors: levels.0.steps.1.actnorm.bias" in refusal(saved)


def test_many_missing_tensors_are_counted(saved):
    rewrite(saved, lambda tensors: [tensors.pop(name) for name in list(tensors)[:9]])
    assert "and 5 more" in refusal(saved)


def test_unknown_tensor(saved):
    rewrite(saved, lambda tensors: tensors.update(surprise=torch.zeros(1)))
    assert "unknown tensors: surprise" in refusal(saved)


def test_misshapen_tensor(saved):
    name = "levels.0.split_prior.bias"
    rewrite(saved, lambda tensors: tensors.update({name: torch.zeros(3)}))
    assert f"misshapen tensors: {name} is (3,), should be (8,)" in refusal(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_tensor(saved, value):
    name = "levels.1.steps.0.coupling.conv2.weight"
    rewrite(saved, lambda tensors: tensors[name][0].fill_(value))
    assert f"not finite: {name}" in refusal(saved)


def test_integer_tensor(saved):
    name = "levels.1.steps.0.actnorm.bias"
    rewrite(saved, lambda tensors: tensors.update({name: tensors[name].int()}))
    assert f"not floating point: {name} is torch.int32" in refusal(saved)


@pytest.mark.parametrize("part", ["permutation", "sign"])
def test_tensors_that_would_falsify_the_log_det(saved, part):
    name = f"levels.0.steps.0.conv1x1.{part}"
    rewrite(saved, lambda tensors: tensors[name].mul_(2))
    assert f"not permutations: {name}" in refusal(saved)


def test_architecture_of_other_tensors(saved):
    text = json.loads(header(saved))
    text["architecture"]["hidden"] = 6
    rewrite(saved, metadata={"flowsolve_prior": json.dumps(text)})
    assert "misshapen" in refusal(saved)


def test_links_are_followed_and_only_regular_files_replaced_or_read(glow, saved, tmp_path):
    (tmp_path / "link.safetensors").symlink_to(saved.name)
    save_prior(tmp_path / "link.safetensors", glow, PriorCard(summary="another"))
    assert (tmp_path / "link.safetensors").is_symlink() and read_checkpoint(saved).card.summary == "another"
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    for name, words in (("pipe", "a named pipe"), ("zero", "a device")):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(ArgumentError, match=f"path: got .*{name}.safetensors, which is {words}"):
            save_prior(path, glow)
        with pytest.raises(CheckpointError, match=f"cannot be read .it is {words}, not a regular file"):
            read_checkpoint(path)
        assert not path.is_file()


def test_a_file_larger_than_any_prior_is_not_read(tmp_path):
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="larger than"):
        read_checkpoint(tmp_path / "large.safetensors")
