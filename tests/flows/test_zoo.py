import pytest
import torch

from flowsolve.errors import ArgumentError, CheckpointError
from flowsolve.flows import FlowPrior, list_priors, load_prior, save_prior, zoo


def test_names_have_one_line_summaries():
    assert "faces" in list_priors()["faces64"]
    assert "\n" not in list_priors()["faces64"]


def test_the_bundled_prior():
    prior = load_prior("faces64")
    assert prior.sha256 == zoo.BUNDLED["faces64"].sha256
    assert "on-commercial" in prior.card.terms and "noise of 0.015" in prior.card.notes


@pytest.mark.parametrize(("name", "width", "bits"), [("additive", None, 2.963), ("seed", 1 / 32, 4.142)])
def test_the_other_priors_of_faces(name, width, bits):
    prior = load_prior(f"faces64-{name}")
    assert prior.config.coupling == "additive" and prior.card.noise_width == width
    assert "on-commercial" in prior.card.terms and prior.card.bits_per_dim == pytest.approx(bits, abs=1e-3)


def test_the_prior_of_photographs_takes_any_size():
    prior = load_prior("natural")
    assert prior.sha256 == zoo.BUNDLED["natural"].sha256 and prior.any_size
    assert "0.02" in prior.card.notes and "BSDS500" in prior.card.training
    sized = prior.at_size(21, 35)
    x = sized.sample(1, seed=0, temperature=0.7).clamp(0, 1)
    assert torch.allclose(sized.decode(sized.encode(x)), x, atol=1e-4)


def test_the_terms_are_said_once(caplog):
    zoo._tell_terms.cache_clear()
    load_prior("faces64")
    load_prior("faces64", dtype=torch.float64)
    assert [r.getMessage().count("faces64: Non-commercial") for r in caplog.records] == [1]


def test_nothing_is_said_where_there_are_no_terms(make_glow, tmp_path, caplog, capfd):
    load_prior(save_prior(tmp_path / "mine.safetensors", make_glow()))
    assert caplog.records == [] and capfd.readouterr() == ("", "")


def test_the_hash_that_was_asked_for(make_glow, tmp_path):
    path = save_prior(tmp_path / "mine.safetensors", make_glow())
    right = load_prior(path).sha256
    assert load_prior(path, sha256=right.upper()).sha256 == right
    with pytest.raises(CheckpointError, match=rf"mine\.safetensors: SHA-256 {right}, should be 0{{64}}"):
        load_prior(path, sha256="0" * 64)


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
    monkeypatch.setitem(zoo.BUNDLED, "faces64", zoo.Bundled("0" * 64))
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
