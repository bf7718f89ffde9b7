import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.functionals import Box


def test_prox_clips_and_value_is_an_indicator_per_image():
    box, x = Box(0, 1), torch.tensor([0.5, 2.0]).reshape(2, 1, 1, 1)
    assert box.value(x).tolist() == [0.0, float("inf")]
    assert box.prox(x, torch.ones(2)).flatten().tolist() == [0.5, 1.0]


def test_bounds_must_be_in_order():
    with pytest.raises(ArgumentError, match="lower < upper"):
        Box(1, 0)
