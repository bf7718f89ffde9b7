"""Records that are not ours: whatever stands in them, every reader answers with one line or a result."""

import io
import json
import multiprocessing
import os
import resource
import shutil
import sys
import time
import traceback
import tracemalloc
import warnings

import h5py
import pytest
import torch
from helpers import make_problem, make_tiny_prior
from record_mutations import mutate

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.errors import FlowsolveError, RecordError
from flowsolve.report.data import report_data, to_json
from flowsolve.studies.index import read_index

EXAMPLES = int(os.environ.get("FLOWSOLVE_EXAMPLES", "100"))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["kill_target", "record_mutations"])

#: Bytes that a reader may take beside twice the file.
SLACK = 4_000_000

#: Seconds of the processor that a file may take, and seconds without an answer after which nothing comes.
CPU_SECONDS, SLEEPING = 60, 1200


def make_records(folder, prior):
    """Write a finished run with snapshots and an interrupted one with checkpoints."""
    problem = make_problem()

    def interrupt(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    options = {"max_iter": 5, "rtol": None, "checkpoint_seconds": 0.0, "flush_seconds": 0.0}
    whole, cut = folder / "whole.h5", folder / "cut.h5"
    fs.solve(fs.Analysis(problem, prior), record=whole, snapshot_every=2, **options)
    start = problem.x_true + 0.1
    with pytest.raises(KeyboardInterrupt):
        fs.solve(
            fs.Analysis(problem, prior, lam=0.01), "adam", start, record=cut, callback=interrupt, **options
        )
    return whole, cut


def read_all(path):
    record = fs.open_run(path)
    return [record.status, record.seconds, record.problem, record.start, record.best, record.final,
            record.snapshots, record.checkpoint()]  # fmt: skip


def report(path):
    return to_json(report_data(read_index([path]), title="strange"))


def attempt(function, *arguments, **options):
    """Call a function, which may raise none but our own errors, of a readable length."""
    try:
        function(*arguments, **options)
    except FlowsolveError as error:
        assert len(str(error)) < 2000


def stop_soon(progress):
    return progress.iteration >= 6


def try_files(folder, seeds, answer):
    """Read, show, report, repeat and resume a changed record for each seed; answers are pairs with a seed."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    prior = make_tiny_prior()
    folder.mkdir()
    sys.stdout = sys.stderr = io.StringIO()
    originals = make_records(folder, prior)
    for seed in seeds:
        path = folder / f"strange-{seed}.h5"
        shutil.copy(originals[seed % 2], path)
        # Of the processor's time, so that a busy machine is no hang; what sleeps is ended by who waits.
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, resource.RLIM_INFINITY))
        done = "not changed"
        try:
            done = mutate(path, seed)
            answer.send((seed, f"{done}: did not end"))
            try_file(path, prior, seed)
            answer.send((seed, None))
        except BaseException as error:
            answer.send((seed, f"{done}: {''.join(traceback.format_exception(error)[-3:])}"))
        path.unlink(missing_ok=True)


def try_file(path, prior, seed):
    size = path.stat().st_size
    tracemalloc.start()
    attempt(read_all, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 2 * size + SLACK, f"{peak} bytes for a file of {size}"
    for door in doors_for(seed):
        door(path, prior)


def command(*words):
    def run(path, prior):
        sys.stdout.truncate(0)
        assert main([*words, str(path)]) in (0, 2), words

    return run


DOORS = (
    command("show"),
    lambda path, prior: attempt(report, path),
    command("watch", "--once"),
    lambda path, prior: attempt(fs.rerun, path, prior=prior, callback=stop_soon),
    command("compare"),
    lambda path, prior: attempt(fs.resume, path, prior=prior, callback=stop_soon, abandoned=True),
)


def doors_for(seed):
    """Return all doors where many files are tried, and else two, in turns."""
    if EXAMPLES > 100:
        return DOORS
    return [DOORS[(seed + turn) % len(DOORS)] for turn in (0, 3)]


def test_no_traceback_no_hang_no_more_memory(tmp_path):
    answers, answer = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=try_files, args=(tmp_path / "files", range(EXAMPLES), answer))
    process.start()
    answer.close()
    found = {}
    # Until the process has closed its end, or sleeps.
    while answers.poll(SLEEPING):
        try:
            seed, found[seed] = answers.recv()
        except EOFError:
            break
    process.kill()
    process.join()
    bad = [f"{seed}: {error}" for seed, error in found.items() if error is not None]
    assert not bad and len(found) == EXAMPLES, "\n".join(bad)


@pytest.fixture
def record(tiny_prior, tmp_path):
    return make_records(tmp_path, tiny_prior)[1]


@pytest.fixture
def secret(tmp_path):
    """A file of the reader's that a record should neither show nor change."""
    path = tmp_path / "secret.bin"
    path.write_bytes(b"secret" * 1000)
    return path


def replace(path, name, kind, secret):
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        if kind == "soft link":
            file[name] = h5py.SoftLink("/best/x")
        elif kind == "external link":
            with h5py.File(secret.with_suffix(".h5"), "w") as other:
                other.create_dataset("x", shape, "f8")
            file[name] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/x")
        elif kind == "other files":
            file.create_dataset(name, shape, "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape, "f8")
            layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", shape)
            file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("kind", ["soft link", "external link", "other files", "virtual dataset"])
@pytest.mark.parametrize("name", ["best/x", "problem/y", "final/value"])
def test_what_leads_out_of_the_file_is_refused_by_every_reader(kind, name, record, secret, capsys):
    replace(record, name, kind, secret)
    before = secret.read_bytes(), record.read_bytes()
    for command in ("show", "watch", "rerun", "resume", "compare", "answer", "report"):
        out = ["--out", str(record.with_suffix(".html"))] if command == "report" else []
        assert main([command, str(record), *out]) == 2
        err = capsys.readouterr().err
        assert kind in err and name in err and err.count("\n") == 1
    assert (secret.read_bytes(), record.read_bytes()) == before
    assert not record.with_suffix(".html").exists()


def test_a_folder_with_such_a_record_is_reported_without_it(record, secret, tmp_path):
    replace(record, "best/x", "other files", secret)
    index = read_index([tmp_path])
    assert [run.id for run in index.runs] == ["whole"]
    assert "other files" in index.failed[0]["message"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("limits", 3, "limits"),
        ("operator", True, "operator"),
        ("initialiser", {"name": "zeros", "seed": float("nan")}, "initialiser.seed"),
        ("n_images", 2, "problem/y has shape"),
        ("n_images", 10**9, "n_images"),
        ("threads", 10**5, "threads"),
        ("device", "cpu; rm", "device"),
        ("image_shape", [3, 10**5, 10**5], "shape"),
    ],
)
def test_one_line_names_the_key_that_is_wrong(key, value, words, record):
    change(record, **{key: value})
    with pytest.raises(RecordError, match=r"configuration|should be") as caught:
        fs.open_run(record)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_later_version_adds_is_ignored(record, tiny_prior):
    later = {"name": "staged", "parts": [{"solver": "adam"}], "reason": "fast"}
    change(record, later=later, part=1)
    with h5py.File(record, "r+") as file:
        file["baselines/harmonic"] = torch.zeros(3, 3, 8, 8).numpy()
        file["later/0/value"] = torch.zeros(3, 4).numpy()
        file["later/0/iteration"] = torch.arange(4).numpy()
        file["best/more/deep"] = 1.0
    assert fs.open_run(record).config["later"] == later
    assert set(fs.open_run(record).baselines) == {"harmonic"}
    assert set(fs.open_run(record).best) == {"x", "z", "value", "iteration"}
    assert fs.resume(record, prior=tiny_prior).status == ["max_iter"] * 3


def test_an_operator_far_larger_than_its_images_is_not_made(record, tiny_prior):
    kernel = {"name": "blur", "kernel": {"uniform": {"size": 10**6}}, "dim_shape": [3, 8, 8]}
    change(record, operator=kernel)
    with pytest.raises(RecordError, match="far from the data"):
        fs.rerun(record, prior=tiny_prior)


def test_a_prior_is_found_by_its_hash_and_never_by_a_path_of_the_record(tiny_prior, problem, tmp_path):
    from flowsolve.flows import load_prior, save_prior, zoo

    file, path = tmp_path / "mine.safetensors", tmp_path / "run.h5"
    save_prior(file, tiny_prior)
    prior = load_prior(file, dtype=torch.float64)
    fs.solve(fs.Analysis(problem, prior), max_iter=2, record=path)
    assert fs.open_run(path).config["prior"]["source"] == str(file)
    assert fs.rerun(path).identical, "the user gave this file before"
    zoo._given.clear()
    with pytest.raises(RecordError, match="cannot be loaded: no registered prior has the SHA-256"):
        fs.rerun(path)
    assert fs.rerun(path, prior=load_prior(file, dtype=torch.float64)).identical


def change(path, **changes):
    with h5py.File(path, "r+") as file:
        config = json.loads(file["config"].attrs["json"])
        file["config"].attrs["json"] = json.dumps({**config, **changes})
