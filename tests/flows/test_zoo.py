import pytest
import torch

from flowsolve.errors import ArgumentError, CheckpointError
from flowsolve.flows import FlowPrior, list_priors, load_prior, save_prior, zoo


def test_names_have_one_line_summaries():
    assert "faces" in list_priors()["faces64"]
    assert "\n" not in list_priors()["faces64"]


def test_the_bundled_prior(faces):
    assert faces.sha256 == zoo.FACES64_SHA256
    assert "on-commercial" in faces.card.terms and faces.card.bits_per_dim == pytest.approx(2.963)


def test_nothing_is_printed(capfd):
    load_prior("faces64")
    assert capfd.readouterr() == ("", "")


def test_dtype_and_device(faces_double):
    assert faces_double.dtype == torch.float64
    with pytest.raises(ArgumentError, match="dtype"):
        load_prior("faces64", dtype=torch.int64)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_device():
    with pytest.raises(ArgumentError, match=r"device: got 'cuda'; accepted: 'cpu' \(there is no CUDA"):
        load_prior("faces64", device="cuda")


def test_unknown_name_suggests_and_mentions_files():
    with pytest.raises(ArgumentError, match=r"prior: got 'face64'.*did you mean 'faces64'.*\.safetensors"):
        load_prior("face64")


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_a_path(make_glow, tmp_path, as_type):
    path = save_prior(tmp_path / "mine.safetensors", make_glow())
    prior = load_prior(as_type(path), dtype=torch.float64)
    assert prior.name == "mine" and prior.image_shape == (2, 8, 8)


def test_a_path_that_is_not_there():
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        load_prior("nowhere.safetensors")


def test_changed_weights_are_noticed(monkeypatch):
    monkeypatch.setattr(zoo, "FACES64_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="reinstall"):
        load_prior("faces64")


def test_registered_priors_load(make_glow, monkeypatch):
    monkeypatch.setattr(zoo.PRIORS, "_items", dict(zoo.PRIORS._items))

    @zoo.register_prior("tiny")
    def tiny(*, device, dtype):
        """Noise of the tiniest kind."""
        return FlowPrior(make_glow(), name="tiny", device=device, dtype=dtype)

    assert list_priors()["tiny"] == "Noise of the tiniest kind."
    assert load_prior("tiny", dtype=torch.float64).dtype == torch.float64
