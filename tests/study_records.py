"""Study folders made of tiny runs of two images."""

import json

from helpers import make_problem

import flowsolve as fs


def make_cell(solver="lbfgs", start="zeros", seed=0, lam="map", formulation="analysis", **changes):
    """Return the cell of a plan."""
    cell = {
        "id": f"{formulation}-{solver}-{start}-{lam}-s{seed}-00000000",
        "task": "inpaint-random",
        "task_name": "inpaint-random",
        "sigma": 0.05,
        "operator": {"missing": 0.4},
        "prior": "tiny",
        "formulation": formulation,
        "phi": "nll" if formulation == "analysis" else "latent",
        "lam": lam,
        "solver": solver,
        "solver_name": solver,
        "solver_options": {},
        "start": start,
        "init": start,
        "seed": seed,
        "images": ["a", "b"],
    }
    return {**cell, **changes}


def run_cell(cell, prior, path, max_iter=6):
    """Write the record of a cell."""
    problem = make_problem(n=2)
    kind = {"analysis": fs.Analysis, "synthesis": fs.Synthesis}[cell["formulation"]]
    objective = kind(problem, prior, phi=cell["phi"], lam=cell["lam"])
    fs.solve(
        objective,
        cell["solver_name"],
        cell["init"],
        seed=cell["seed"],
        max_iter=max_iter,
        rtol=None,
        record=path,
        **cell["solver_options"],
    )


def make_study(folder, prior, cells, failed=(), waiting=()):
    """Write a study folder with runs, failures and cells that wait; returns it."""
    (folder / "runs").mkdir(parents=True)
    (folder / "failed").mkdir()
    plan = {"schema": 1, "fingerprint": "0" * 64, "cells": [*cells, *failed, *waiting]}
    (folder / "plan.json").write_text(json.dumps(plan))
    for cell in cells:
        run_cell(cell, prior, folder / "runs" / f"{cell['id']}.h5")
    for cell in failed:
        cause = {
            "cell": cell["id"],
            "error": "UnsupportedError",
            "message": "no",
            "time": "2024-01-01T00:00:00",
        }
        (folder / "failed" / f"{cell['id']}.json").write_text(json.dumps(cause))
    return folder
