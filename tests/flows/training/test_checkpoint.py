import errno
import json
import os

import pytest
import torch

from flowsolve.errors import ArgumentError, CheckpointError
from flowsolve.flows.training.checkpoint import DOCUMENT, load_tensors, read_document, save_checkpoint
from flowsolve.flows.training.likelihood import BitsPerDim
from flowsolve.flows.training.state import TrainingState

CPU = torch.device("cpu")


def stepped(glow, steps=3):
    state = TrainingState(glow, CPU, 0.9)
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        state.optimiser.zero_grad()
        BitsPerDim(state.glow, 8)(x).mean().backward()
        state.update(0.01)
        state.counters.step += 1
    return state


def tensors(state):
    return {name: tensor.clone() for name, tensor in state.named_tensors()}


def test_comes_back_with_moments_and_goes_on_alike(tmp_path, make_tiny):
    state = stepped(make_tiny())
    save_checkpoint(tmp_path, state, {"note": 1})
    other = TrainingState(make_tiny(seed=5), CPU, 0.9)
    document = load_tensors(tmp_path, other)
    assert document["note"] == 1 and document["counters"]["step"] == 3
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(7))
    for one in (state, other):
        one.optimiser.zero_grad()
        BitsPerDim(one.glow, 8)(x).mean().backward()
        one.update(0.01)
    expected = tensors(state)
    assert all(torch.equal(expected[name], tensor) for name, tensor in other.named_tensors())


def test_only_the_latest_is_kept(tmp_path, make_tiny):
    for steps in (1, 2):
        save_checkpoint(tmp_path, stepped(make_tiny(), steps), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [DOCUMENT, "state-2.safetensors"]


@pytest.mark.parametrize("writes", [0, 1])
def test_full_disk_leaves_the_one_before(tmp_path, make_tiny, monkeypatch, writes):
    first = stepped(make_tiny(), 1)
    save_checkpoint(tmp_path, first, {})
    expected, calls = tensors(first), []
    fsync = os.fsync

    def full(handle):
        calls.append(handle)
        if len(calls) > writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArgumentError, match=r"disk is full.*--resume"):
        save_checkpoint(tmp_path, stepped(make_tiny(), 2), {})
    monkeypatch.undo()
    other = TrainingState(make_tiny(seed=5), CPU, 0.9)
    assert load_tensors(tmp_path, other)["counters"]["step"] == 1
    assert all(torch.equal(expected[name], tensor) for name, tensor in other.named_tensors())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_damage_is_named(tmp_path, make_tiny):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_document(tmp_path)
    save_checkpoint(tmp_path, stepped(make_tiny(), 1), {})
    affine = TrainingState(make_tiny("affine"), CPU, 0.9)
    with pytest.raises(CheckpointError, match=r"misshapen: .*coupling"):
        load_tensors(tmp_path, affine)
    file = tmp_path / "state-1.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut off or corrupt"):
        load_tensors(tmp_path, TrainingState(make_tiny(), CPU, 0.9))
    file.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tensors(tmp_path, TrainingState(make_tiny(), CPU, 0.9))
    (tmp_path / DOCUMENT).write_text(json.dumps({"schema": 99}))
    with pytest.raises(CheckpointError, match="schema"):
        read_document(tmp_path)
