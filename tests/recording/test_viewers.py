import numpy as np
import pytest

import flowsolve as fs

nxdata = pytest.importorskip("silx.io.nxdata")


def test_a_viewer_of_nexus_files_plots_the_trace_by_default(tiny_prior, problem, tmp_path):
    from silx.io import open as silx_open

    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=3, rtol=None, record=tmp_path / "run.h5")
    with silx_open(str(tmp_path / "run.h5")) as file:
        default = nxdata.get_default(file)
        assert default is not None and default.is_valid, default and default.issues
        assert default.signal_name == "value"
        assert default.interpretation == "spectrum"
        assert [axis.name.rsplit("/", 1)[-1] for axis in default.axes] == ["image", "iteration"]
        np.testing.assert_array_equal(default.signal[()].T, result.trace["value"])
