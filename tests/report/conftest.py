"""A study whose images and solvers have names that would be harmful if a page took them for HTML."""

import pytest
from cli_inputs import photographs, prior_file
from study_records import make_cell, make_study

__all__ = ["photographs", "prior_file", "report_study"]

EVIL = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="session")
def report_study(tmp_path_factory, tiny_prior):
    """Return a folder of three finished cells, a failed one and one that waits."""
    pytest.importorskip("pandas")
    cells = [make_cell(images=[EVIL, "b"]), make_cell("adam", images=[EVIL, "b"])]
    cells.append(make_cell(start="random", solver="lbfgs", images=[EVIL, "b"]))
    folder = tmp_path_factory.mktemp("report") / "a <b>study"
    return make_study(folder, tiny_prior, cells, [make_cell("momentum")], [make_cell("nonlinear_cg")])
