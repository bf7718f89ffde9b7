"""The frozen file: its methods are methods, and rows are put in without touching the others."""

import numpy as np
import pytest

from benchmarks.frozen import freeze, frozen, frozen_method, in_a_line
from benchmarks.paper_rows import PAPER_ROWS
from flowsolve.methods import Method, Stage


def test_every_row_has_a_frozen_method():
    assert set(frozen()) == set(PAPER_ROWS)


@pytest.mark.parametrize("row", frozen())
def test_frozen_methods_are_methods(row):
    entry, method = frozen()[row], frozen_method(row)
    # Names of solvers, starts and options are checked where a stage is made.
    assert [stage.as_json() for stage in method.stages] == entry["stages"]
    assert all(stage.max_iter >= 1 for stage in method.stages)
    assert np.isfinite(entry["validation"]["psnr"])


def test_frozen_and_read_again(tmp_path):
    stages = (
        Stage("synthesis", map_factor=0.35, options={"history": 5}, init="zeros"),
        Stage(max_iter=7),
    )
    path = tmp_path / "new" / "faces.json"
    freeze("deblur-0.01", {"stages": [stage.as_json() for stage in stages]}, path)
    freeze("box-0", {"stages": []}, path)
    assert set(frozen(path)) == {"deblur-0.01", "box-0"}
    method = frozen_method("deblur-0.01", path)
    assert method == Method("frozen", stages) and frozen_method("box-0.01", path) is None
    first, second = in_a_line(method).split(", then ")
    assert "at 0.35 of the MAP weight" in first and "7 iterations" in second
