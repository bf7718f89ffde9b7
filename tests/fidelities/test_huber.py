"""Huber's function beside torch's."""

import numpy as np
import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.fidelities import Huber


def test_agrees_with_torch():
    u, y = torch.randn(2, 4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.huber_loss(u, y, reduction="none", delta=0.4).sum(1)
    torch.testing.assert_close(Huber(0.4).value(u, y), expected)


def test_outliers_pull_with_one_force():
    u, y = np.array([[0.0, 0.0]]), np.array([[10.0, 1000.0]])
    assert Huber(0.2).grad(u, y).tolist() == [[-0.2, -0.2]]


def test_delta_must_be_positive():
    with pytest.raises(ArgumentError, match="delta: got 0; accepted: a finite number > 0"):
        Huber(0)
