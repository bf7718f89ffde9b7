import numpy as np
import pytest

from flowsolve import initialise
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.problem import InverseProblem
from flowsolve.tasks import make_task, registry

SHAPE = (3, 32, 32)


def test_the_five_tasks():
    assert registry.names() == ["deblur", "denoise", "inpaint-box", "inpaint-random", "super-resolution"]
    for name in registry:
        task = registry.get(name)
        assert task.name == name and registry.summary(name)
        assert all(start in initialise.registry for start in task.starts.values())
        assert set(task.starts) == {"analysis", "synthesis"}
        operator = make_task(name).operator(SHAPE)
        problem = InverseProblem(operator, np.full((1, *operator.codim_shape), 0.5), sigma=0.01)
        assert "total-variation" in make_task(name).baselines(problem)


def test_operators_of_the_defaults():
    blur = make_task("deblur").operator(SHAPE)
    assert blur.boundary == "circular" and blur.kernel.shape == (1, 7, 7)
    assert make_task("super-resolution").operator(SHAPE).codim_shape == (3, 16, 16)
    mask = make_task("inpaint-random").operator(SHAPE, n_images=2, seed=1).mask
    assert mask.shape == (2, 1, 32, 32) and abs(mask.mean() - 0.4) < 0.01
    assert not np.array_equal(mask[0], mask[1])
    assert (make_task("inpaint-box").operator(SHAPE).mask == 0).sum() == 21 * 21
    assert isinstance(make_task("denoise").operator(SHAPE), ops.Identity)


def test_options():
    def build(task, **options):
        return make_task(task, options).operator(SHAPE, n_images=2)

    assert build("deblur", kernel_size=3).kernel.shape == (1, 3, 3)
    assert build("deblur", kernel=np.eye(5)).kernel.shape == (1, 5, 5)
    assert build("super-resolution", factor=4).codim_shape == (3, 8, 8)
    assert build("inpaint-random", missing=0.5).mask.mean() == 0.5
    assert (build("inpaint-box", box=4).mask == 0).sum() == 16
    assert build("inpaint-random", mask=np.eye(32)).mask.sum() == 32
    assert make_task("super-resolution", {"factor": 3}).image_size((5, 6)) == (15, 18)
    assert make_task("deblur").image_size((5, 6)) == (5, 6)


@pytest.mark.parametrize(
    ("task", "options", "named"),
    [
        ("denoise", {"factor": 2}, "factor: .*super-resolution"),
        ("deblur", {"mask": np.ones((32, 32))}, "mask: .*inpaint-box and inpaint-random"),
        ("inpaint-box", {"kernel_size": 3}, "kernel-size"),
        ("deblur", {"kernel_size": 33}, "kernel-size: .*1 to 32"),
        ("super-resolution", {"factor": 0}, "factor"),
        ("inpaint-box", {"box": 33}, "box"),
        ("inpaint-box", {"box": 32}, "empty"),
        ("inpaint-random", {"missing": 1.0}, "missing"),
        ("inpaint-random", {"mask": np.zeros((32, 32))}, "empty"),
        ("inpaint-random", {"mask": np.ones((4, 4))}, "mask"),
    ],
)
def test_bad_options(task, options, named):
    with pytest.raises(ArgumentError, match=named):
        make_task(task, options).operator(SHAPE)


def test_unknown_task():
    with pytest.raises(ArgumentError, match="did you mean 'deblur'"):
        make_task("deblurr")
