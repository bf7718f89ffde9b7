import pytest

from flowsolve.studies.parameters import operator_label, solver_label, task_of


@pytest.mark.parametrize(
    ("operator", "task"),
    [
        ({"name": "blur"}, "deblur"),
        ({"name": "identity"}, "denoise"),
        ({"name": "mask", "mask": {"random": {"missing": 0.6}}}, "inpaint-random"),
        ({"name": "mask", "mask": {"box": {"size": 21}}}, "inpaint-box"),
        ({"name": "mask", "mask": {"data": "", "shape": [1]}}, "inpaint"),
        ({"name": "radon"}, "radon"),
    ],
)
def test_task_of_an_operator(operator, task):
    assert task_of(operator) == task


def test_labels_tell_what_is_not_usual():
    assert solver_label("lbfgs", {"history": "auto"}) == "lbfgs"
    assert solver_label("lbfgs", {"history": 5}) == "lbfgs(history=5)"
    assert solver_label("of another package", {"a": 1}) == "of another package(a=1)"
    assert operator_label({"kernel": {"data": "AA", "shape": [3, 3]}, "factor": 2}) == (
        "factor=2,kernel=array(3, 3)"
    )
