import os
import warnings

import numpy as np
import pytest
from PIL import Image

from flowsolve.errors import ArgumentError
from flowsolve.report import Panel, restoration_figure, save_figure, worst
from flowsolve.report.figure import literal


def trace(n, psnr=True):
    steps = np.linspace(0, 1, 6)[:, None] + np.zeros(n)
    columns = {"value": 10 - steps, "evaluations": 20 * steps, "seconds": steps}
    return {**columns, "psnr": 20 + steps} if psnr else columns


def axes_titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_columns_rows_and_curves(tmp_path):
    x = np.random.default_rng(0).random((3, 3, 8, 8))
    panels = [
        Panel("truth", x),
        Panel("degraded", x[..., ::2, ::2]),
        Panel("restored", x, np.array([20, 25, np.inf])),
    ]
    error = np.abs(x - 0.5).mean(1)
    figure = restoration_figure(
        panels, ["a", "b", "a name that is much too long"], trace(3), rows=[2, 0], error=error,
        baseline=("harmonic", 20.5), title="title",
    )  # fmt: skip
    assert axes_titles(figure) == ["truth", "degraded", "restored", "|error|"]
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "exact" in labels and "20.00 dB" in labels and "25.00 dB" not in labels
    assert labels.count("evaluations") == 2 and labels.count("seconds") == 1
    save_figure(figure, tmp_path / "figure.png")
    assert np.asarray(Image.open(tmp_path / "figure.png")).std() > 0


def test_without_the_truth(tmp_path):
    grey = np.zeros((1, 1, 4, 4))
    figure = restoration_figure([Panel("degraded", grey)], ["a"], trace(1, psnr=False), rows=[0])
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels.count("evaluations") == 1 and "seconds" not in labels
    save_figure(figure, tmp_path / "figure.png")


def test_a_run_of_no_iterations_is_drawn(tmp_path):
    short = {name: column[:1] for name, column in trace(2).items()}
    save_figure(
        restoration_figure([Panel("x", np.zeros((2, 3, 4, 4)))], ["a", "b"], short, rows=[0]), tmp_path / "f"
    )


def test_the_worst_come_first():
    assert worst(np.array([30.0, 20, 25]), np.zeros(3), 2).tolist() == [1, 2]
    assert worst(None, np.array([1.0, 5, 3]), 5).tolist() == [1, 2, 0]


@pytest.mark.parametrize("name", ["$x^$", r"a$\frac{", "日本", "_a", r"\$", "a$b"])
def test_names_are_drawn_as_they_are(tmp_path, name):
    grey = np.zeros((1, 1, 4, 4))
    figure = restoration_figure(
        [Panel(name, grey)], [name], trace(1), rows=[0], baseline=(name, 20.0), title=name
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "figure.png")
    legend = [
        text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().texts
    ]
    assert legend.count(literal(name)) == 2


def test_the_suffix_decides_and_only_regular_files_are_replaced(tmp_path):
    figure = restoration_figure([Panel("x", np.zeros((1, 1, 4, 4)))], ["a"], trace(1), rows=[0])
    save_figure(figure, tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ArgumentError, match="a named pipe"):
        save_figure(figure, tmp_path / "pipe.png")
