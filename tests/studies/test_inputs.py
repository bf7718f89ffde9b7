import dataclasses

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.inputs import Inputs, found, read_inputs


def test_paths_are_read_to_the_arrays_of_the_plan(small):
    inputs = read_inputs(small.paths)
    assert inputs.names == ["photo0", "photo1", "photo2"] and inputs.x.shape == (3, 3, 8, 8)
    assert inputs.digest == small.paths.digest
    with pytest.raises(ArgumentError, match="other images"):
        read_inputs(dataclasses.replace(small.paths, digest="another"))


def test_the_digest_tells_arrays_and_names_apart():
    x = np.zeros((2, 3, 4, 4), np.float32)
    made = [
        Inputs(x, ["a", "b"]),
        Inputs(x, ["a", "c"]),
        Inputs(x + 1, ["a", "b"]),
        Inputs(x, ["a", "b"], files={"mask": {"m": np.ones((4, 4))}}),
        Inputs(x, ["a", "b"], files={"mask": {"m": np.eye(4)}}),
        Inputs(x, ["a", "b"], files={"kernel": {"k": np.ones((4, 4))}}),
    ]
    assert len({inputs.digest for inputs in made}) == len(made)
    assert Inputs(x.copy(), ["a", "b"]).digest == made[0].digest


def test_files_are_in_the_folder_of_data_or_beside_the_study(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_text("")
    study = tmp_path / "study.toml"
    assert found("a.png", study, tmp_path / "data") == str(tmp_path / "data" / "a.png")
    assert found("b.png", study, tmp_path / "data") == str(tmp_path / "b.png")
    assert found("a.png", study, None) == str(tmp_path / "a.png")
    assert found("/c.png", study, tmp_path / "data") == "/c.png"
