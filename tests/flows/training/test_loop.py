import errno
import json
import os
import signal

import pytest
import torch
from PIL import Image

from flowsolve.errors import ArgumentError
from flowsolve.flows import load_prior, read_checkpoint
from flowsolve.flows.training import checkpoint, train
from flowsolve.flows.training.sampling import Sampler


class Watch:
    """Keeps messages; tells the process to stop after a step."""

    def __init__(self, stop_after=None):
        self.stop_after, self.messages = stop_after, []

    def reading(self, kept, skipped):
        pass

    def message(self, text):
        self.messages.append(text)

    def stepped(self, status):
        assert 0 <= status.progress <= 1
        if status.step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)


def lines(out):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    text = (out / "train.json").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def weights(path):
    return read_checkpoint(path).glow.state_dict()


def test_learns_and_leaves_a_prior_a_log_and_samples(options, tmp_path):
    report = train(options(max_updates=60, terms="free", validate_minutes=1e-4))
    out = tmp_path / "out"
    assert report.bits < report.first_bits - 0.3
    assert (report.steps, report.images, report.train_images, report.validation_images) == (60, 240, 23, 1)
    prior = load_prior(report.prior)
    assert prior.image_shape == (3, 8, 8)
    assert prior.card.terms == "free" and prior.card.bits_per_dim == report.bits
    assert "23 images of pictures" in prior.card.training and "flowsolve train" in prior.card.training
    assert str(tmp_path) not in prior.card.training
    events = lines(out)
    assert {"start", "validation", "train", "end"} == {line["event"] for line in events}
    assert Image.open(out / "samples.png").size == (64, 64)
    assert (out / "checkpoint" / "checkpoint.json").is_file()
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_resumed_run_ends_where_an_uninterrupted_one_does(options, tmp_path):
    whole = train(options(out=tmp_path / "whole"))
    part = train(options(), Watch(stop_after=3))
    assert part.interrupted and part.steps == 4
    report = train(options(resume=True))
    assert not report.interrupted and report.steps == 6
    expected = weights(whole.prior)
    assert all(torch.equal(expected[name], tensor) for name, tensor in weights(report.prior).items())
    steps = [line["step"] for line in lines(tmp_path / "out") if line["event"] == "train"]
    assert steps == sorted(steps)


def test_a_run_that_is_over_can_be_prolonged(options):
    first = train(options())
    report = train(options(resume=True, max_updates=9))
    assert (first.steps, report.steps) == (6, 9) and report.first_bits == first.first_bits


def test_resuming_keeps_to_images_and_architecture(options, pictures, tmp_path):
    with pytest.raises(ArgumentError, match="no checkpoint"):
        train(options(resume=True))
    train(options())
    with pytest.raises(ArgumentError, match="has a run in it"):
        train(options())
    with pytest.raises(ArgumentError, match="hidden: got 9; accepted: 8"):
        train(options(resume=True, hidden=9))
    with pytest.raises(ArgumentError, match="other images"):
        train(options(resume=True, limit=20))
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="is a file"):
        train(options(out=tmp_path / "file"))


def spoil(monkeypatch, positions):
    """Make the batches that begin at `positions` be no numbers."""
    batch = Sampler.batch

    def spoiled(self, start, count):
        return batch(self, start, count) * (float("nan") if start in positions else 1.0)

    monkeypatch.setattr(Sampler, "batch", spoiled)


def test_steps_that_are_no_numbers_are_skipped(options, monkeypatch):
    spoil(monkeypatch, {8, 16})
    watch = Watch()
    report = train(options(), watch)
    assert (report.skipped_steps, report.rollbacks, report.steps) == (2, 0, 6)
    assert any("skipped" in text and "step 3" in text for text in watch.messages)
    assert report.bits < 20


def test_several_in_a_row_go_back_to_the_checkpoint(options, monkeypatch, tmp_path):
    spoil(monkeypatch, set(range(8, 28, 4)))
    watch = Watch()
    report = train(options(max_updates=10), watch)
    assert (report.skipped_steps, report.rollbacks) == (5, 1)
    assert any("learning rate x 0.5" in text for text in watch.messages)
    document = checkpoint.read_document(tmp_path / "out" / "checkpoint")
    # Both updates before were undone, and the three after were made.
    assert document["counters"]["updates"] == 3


def test_gives_up_when_nothing_helps(options, monkeypatch, tmp_path):
    spoil(monkeypatch, set(range(4, 4000, 4)))
    with pytest.raises(ArgumentError, match="smaller learning rate"):
        train(options(max_updates=200))
    assert checkpoint.read_document(tmp_path / "out" / "checkpoint")["counters"]["step"] == 0


def test_full_disk_ends_the_run_and_leaves_the_last_checkpoint(options, monkeypatch, tmp_path):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Fill(Watch):
        def stepped(self, status):
            if status.step == 2:
                monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ArgumentError, match=r"out: .*the disk is full.*--resume"):
        train(options(), Fill())
    monkeypatch.undo()
    assert train(options(resume=True)).steps == 6


def test_starts_from_a_prior_and_for_any_size(options, tmp_path):
    first = train(options(max_updates=40))
    report = train(
        options(
            out=tmp_path / "more", init=first.prior, any_size=True, levels=None, steps=None, hidden=None,
            max_updates=1,
        )
    )  # fmt: skip
    assert report.first_bits == pytest.approx(first.bits, abs=1e-4)
    assert load_prior(report.prior).at_size(12, 16).image_shape == (3, 12, 16)


def test_larger_photographs_are_cropped_and_validated_apart(options, tmp_path, make_picture):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for i in range(3):
        Image.fromarray(make_picture(i, 20, 30)).save(photographs / f"{i}.jpg")
    Image.fromarray(make_picture(0, 6, 30)).save(photographs / "low.jpg")
    watch = Watch()
    report = train(options(data=[photographs], validation=options().data[0], any_size=True, bf16=True), watch)
    assert (report.train_images, report.validation_images) == (3, 24)
    assert len(report.skipped_files) == 1 and any("low.jpg" in text for text in watch.messages)


@pytest.mark.parametrize("name", ["prior.safetensors", "train.json", "samples.png"])
def test_what_is_no_regular_file_is_refused_before_anything_is_read(options, tmp_path, name):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / name)
    with pytest.raises(ArgumentError, match=f"out: got .*{name}, which is a named pipe"):
        train(options(data=[tmp_path / "nothing"]))


def test_a_prior_is_written_to_where_a_link_leads(options, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prior.safetensors").symlink_to(tmp_path / "real.safetensors")
    report = train(options(max_updates=1))
    assert report.prior.is_symlink() and read_checkpoint(tmp_path / "real.safetensors").sha256
