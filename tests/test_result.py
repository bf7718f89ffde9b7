import numpy as np
import torch

from flowsolve.result import Iterate, Result


def test_x_z_and_value_are_those_of_the_best_iterate():
    best = Iterate(torch.ones(1, 2), torch.zeros(1, 2), np.array([1.0]), np.array([3]))
    final = Iterate(torch.zeros(1, 2), torch.ones(1, 2), np.array([2.0]), np.array([4]))
    result = Result(best, final, ["max_iter"], {}, {}, np.array([4]), 0.1)
    assert result.x is best.x and result.z is best.z and result.value is best.value
