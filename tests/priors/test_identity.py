"""The identity of networks and functions: the same for the same, another for what computes something else."""

import functools

import numpy as np
import torch
from outside_priors import Smoother, roughness

from flowsolve.priors.identity import fingerprint


def scaled(factor):
    return lambda x: factor * x


def test_what_computes_the_same_is_the_same():
    assert fingerprint(roughness) == fingerprint(roughness)
    assert fingerprint(Smoother()) == fingerprint(Smoother())
    assert fingerprint(scaled(2)) == fingerprint(scaled(2))
    assert fingerprint({"a": 1, "b": np.ones(3)}) == fingerprint({"b": np.ones(3), "a": 1})


def test_what_computes_something_else_is_another():
    torch.manual_seed(0)
    things = [
        roughness,
        Smoother(),
        Smoother().double(),
        torch.nn.Linear(2, 2),
        torch.nn.Linear(2, 2),
        scaled(2),
        scaled(3),
        functools.partial(scaled, 2),
        functools.partial(scaled, 3),
        np.ones(3),
        np.ones((3, 1)),
        [1, 2],
        [12],
        "12",
        None,
    ]
    assert len({fingerprint(thing) for thing in things}) == len(things)


def test_it_does_not_depend_on_the_process():
    found = fingerprint({"a": 1.5, "b": {"c", "d"}, "e": torch.arange(3)})
    assert found == "811efa43aa0af5efa930656e10a9ccbea52379978ae7018c22146193524bf538"


def test_what_refers_to_itself_ends():
    class Loop:
        pass

    loop = Loop()
    loop.itself = loop
    assert len(fingerprint(loop)) == 64
