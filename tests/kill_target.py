"""A real run on the bundled prior, in a process of its own, to be killed or followed."""

import numpy as np
import skimage.data
import torch
from skimage.transform import resize

import flowsolve as fs
from flowsolve import operators as ops

FAST = {"checkpoint_seconds": 0.0, "flush_seconds": 0.0}


def make_objective(formulation):
    """Return two small photographs behind masks of their own, in a batch."""
    torch.set_num_threads(1)
    photographs = [skimage.data.astronaut()[:200, 130:330], skimage.data.chelsea()[20:220, 120:320]]
    small = [resize(p, (64, 64), anti_aliasing=True) for p in photographs]
    x = torch.tensor(np.stack(small).transpose(0, 3, 1, 2), dtype=torch.float32)
    operator = ops.Mask.random(missing=0.5, dim_shape=(3, 64, 64), seed=3, n_images=2)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.05, seed=1), sigma=0.05, x_true=x)
    return {"analysis": fs.Analysis, "synthesis": fs.Synthesis}[formulation](
        problem, fs.load_prior("faces64")
    )


def main(solver, formulation, path, max_iter, **options):
    """Run with a checkpoint in every iteration, so that a kill may fall into one."""
    fs.solve(
        make_objective(formulation),
        solver,
        {"analysis": "adjoint", "synthesis": "zeros"}[formulation],
        max_iter=max_iter,
        rtol=None,
        record=path,
        seed=2,
        **(FAST | {"snapshot_every": 5} | options),
    )
