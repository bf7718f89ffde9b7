import io

import numpy as np
from rich.console import Console

from flowsolve.cli.progress import ProgressLine
from flowsolve.stopping import Progress


def line(**limits):
    stream = io.StringIO()
    return ProgressLine("task", console=Console(file=stream, width=140), **limits), stream


def progress(iteration, evaluations, seconds=1.0, **trace):
    columns = {"value": [np.array([2.0, 4.0])], **{k: [np.array(v)] for k, v in trace.items()}}
    return Progress(iteration, 10, seconds, np.array([evaluations] * 2), columns, np.array([True, True]))


def test_says_objective_psnr_and_evaluations():
    bar, stream = line(max_iter=10)
    with bar:
        bar.update(progress(5, 7, psnr=[20.0, 30.0]))
    text = stream.getvalue()
    assert "F 3" in text and "25.00 dB" in text and "7 evals" in text and "5/10" in text


def test_without_the_truth_there_is_no_psnr_and_the_nearest_limit_counts():
    bar, stream = line(max_iter=100, max_evaluations=10, max_seconds=50)
    with bar:
        bar.update(progress(5, 8))
        assert bar._bar.tasks[0].completed == 0.8
    assert "PSNR" not in stream.getvalue()
