"""Methods of two and four stages on a tiny flow, to be run in processes of their own and killed."""

import torch
from helpers import make_problem, make_tiny_prior

import flowsolve as fs
from flowsolve.methods import Method, Stage

FAST = {"checkpoint_seconds": 0.0, "flush_seconds": 0.0}

LATENTS = Stage(formulation="synthesis", lam=0.01, init="zeros", max_iter=5)
IMAGES = Stage(map_factor=0.5, solver="adam", options={"lr": 0.01}, max_iter=6)
#: Columns and statuses of its own.
WATCHED = Stage(
    formulation="synthesis",
    lam=0.0,
    init="random",
    max_iter=7,
    held_out={"fraction": 0.3, "patience": 3},
)

TWO = Method("two", (LATENTS, IMAGES), "to be tested")
FOUR = Method(
    "four",
    (
        WATCHED,
        Stage(init="checked:harmonic", phi="smoothed", max_iter=4),
        Stage(prior="raw:", max_iter=5),
        Stage(init="mixed:harmonic", max_iter=0),
    ),
    guarded=True,
)
METHODS = {"two": TWO, "four": FOUR}


def make_method_run(name, path=None, **options):
    """Return a method's run on three images behind a mask, every iteration of it recorded."""
    return fs.restoration.make_method_run(
        make_problem(), make_tiny_prior(), METHODS[name], seed=2, record=path, **(FAST | options)
    )


def main(name, path):
    """Run a method from its beginning to its end."""
    torch.set_num_threads(1)
    make_method_run(name, path).complete()
