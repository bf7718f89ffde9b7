import pytest
from helpers import make_problem

from flowsolve import operators as ops
from flowsolve import presets
from flowsolve.errors import UnsupportedError
from flowsolve.methods import plan_method

SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    ("operator", "task"),
    [
        (ops.Mask.box(3, dim_shape=SHAPE), "inpaint-random"),
        (ops.Blur.uniform(3, SHAPE), "deblur"),
        (ops.Downsample(2, SHAPE), "super-resolution-2"),
    ],
)
@pytest.mark.parametrize("name", ["oberlin-verm-2021", "oberlin-verm-2021-synthesis"])
def test_constants_are_those_of_the_preset(name, operator, task, tiny_prior):
    formulation = "synthesis" if name.endswith("synthesis") else "analysis"
    preset = presets.registry.get("oberlin-verm-2021")
    protocol = preset.protocol(task, formulation)
    method = plan_method(name, make_problem(operator), tiny_prior)
    (stage,) = method.stages
    assert (stage.lam, stage.max_iter, stage.init) == (protocol.lam, protocol.iterations, protocol.start)
    assert stage.make_solver() == preset.solver(protocol.rate)
    assert stage.prior == ("raw:" if formulation == "analysis" else None)
    assert method.name == name and task in method.reason
    assert stage.keep == "final" and not method.guarded


def test_tasks_that_a_protocol_lacks_are_refused(tiny_prior):
    radon = make_problem(ops.Radon(4, SHAPE))
    uneven = make_problem(ops.Downsample((2, 4), SHAPE))
    for problem in (radon, uneven, make_problem(ops.Identity(SHAPE))):
        with pytest.raises(UnsupportedError, match="oberlin-verm-2021-synthesis has no synthesis"):
            plan_method("oberlin-verm-2021-synthesis", problem, tiny_prior)
