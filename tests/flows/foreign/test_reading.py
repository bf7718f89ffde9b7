import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from flowsolve.errors import CheckpointError
from flowsolve.flows.foreign.reading import read_tensors

TENSORS = {"a.weight": torch.arange(4.0), "b.bias": torch.zeros(2, dtype=torch.float64)}


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


class Attack:
    """Something whose pickle runs a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_code_in_a_file_is_never_run(tmp_path, old):
    path, mark = tmp_path / "attack.pt", tmp_path / "was-run"
    torch.save({"weight": Attack(mark)}, path, _use_new_zipfile_serialization=not old)
    message = refusal(path)
    assert "refused, because reading it would run code" in message and "mkdir" in message
    assert not mark.exists()


def test_code_in_a_bare_pickle_is_never_run(tmp_path):
    path, mark = tmp_path / "attack.pkl", tmp_path / "was-run"
    path.write_bytes(pickle.dumps({"weight": Attack(mark)}))
    refusal(path)
    assert not mark.exists()


def test_whole_networks_are_refused_with_advice(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "module.pt")
    assert "save model.state_dict()" in refusal(tmp_path / "module.pt")


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_tensors_come_as_they_were_saved(tmp_path, old):
    torch.save(OrderedDict(TENSORS), tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    read = read_tensors(tmp_path / "w.pt")
    assert list(read) == list(TENSORS)
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())
    assert read["b.bias"].dtype == torch.float64


def test_parameters_come_without_gradients(tmp_path):
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "w.pt")
    assert not read_tensors(tmp_path / "w.pt")["w"].requires_grad


@pytest.mark.parametrize("wrapper", ["graph", "state_dict", "model"])
def test_networks_beside_other_things_are_found(tmp_path, wrapper):
    torch.save(
        {"epoch": 3, wrapper: {f"module._orig_mod.{n}": t for n, t in TENSORS.items()}}, tmp_path / "w.pt"
    )
    assert list(read_tensors(tmp_path / "w.pt")) == list(TENSORS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"hello world", np.arange(9).tobytes()])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    assert "not a file that torch.save wrote" in refusal(tmp_path / "x.pt")
    (tmp_path / "x.safetensors").write_bytes(content)
    assert "not a safetensors file" in refusal(tmp_path / "x.safetensors")


def test_cut_off_files_are_refused(tmp_path):
    torch.save(TENSORS, tmp_path / "w.pt")
    data = (tmp_path / "w.pt").read_bytes()
    for length in (10, len(data) // 2, len(data) - 30):
        (tmp_path / "w.pt").write_bytes(data[:length])
        assert "cut off" in refusal(tmp_path / "w.pt")


def test_files_that_are_not_there(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.pt")
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "weights": "none"}, "other than tensors (epoch, weights)"),
        ({}, "nothing"),
        ([torch.zeros(2)], "holds a list"),
        (torch.zeros(2), "holds a Tensor"),
    ],
)
def test_what_is_no_state_dict(tmp_path, content, words):
    torch.save(content, tmp_path / "w.pt")
    assert words in refusal(tmp_path / "w.pt")


def test_dicts_that_hold_themselves_are_refused(tmp_path):
    alone, one, two = {}, {}, {"epoch": 3}
    alone["model"] = alone
    one["state_dict"], two["net"] = two, one
    for content in (alone, one):
        torch.save(content, tmp_path / "w.pt")
        assert "hold themselves" in refusal(tmp_path / "w.pt")


def test_prefixes_by_the_thousand_are_removed(tmp_path):
    torch.save({"module." * 5000 + name: tensor for name, tensor in TENSORS.items()}, tmp_path / "w.pt")
    assert list(read_tensors(tmp_path / "w.pt")) == list(TENSORS)


def test_pipes_and_devices_are_not_opened(tmp_path):
    for suffix in ("pt", "safetensors"):
        os.mkfifo(tmp_path / f"pipe.{suffix}")
        (tmp_path / f"zero.{suffix}").symlink_to("/dev/zero")
        assert "it is a named pipe" in refusal(tmp_path / f"pipe.{suffix}")
        assert "it is a device" in refusal(tmp_path / f"zero.{suffix}")


def test_an_archive_that_would_grow_is_not_unpacked(tmp_path):
    stored, packed = tmp_path / "stored.pt", tmp_path / "packed.pt"
    torch.save({"weight": torch.zeros(10**6)}, stored)
    assert read_tensors(stored)["weight"].shape == (10**6,)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "would become 40" in refusal(packed)
