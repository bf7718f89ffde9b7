"""Small files of each program, made by formula."""

import json
from pathlib import Path

import pytest
import torch
from flows.foreign.filling import fill

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture
def state():
    """Return a function that makes the ``state_dict`` of a case by its name."""

    def make(case="rosinality-additive-matrix"):
        shapes = json.loads((REFERENCE / f"{case}.json").read_text())["shapes"]
        return {name: torch.from_numpy(value) for name, value in fill(shapes).items()}

    return make
