import numpy as np
import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.threads import check_threads, use_threads


def test_sensible_numbers_are_taken():
    before = torch.get_num_threads()
    use_threads(np.int64(1))
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [0, -1, 100_000, True, 1.5, "2", None])
def test_others_are_refused(threads):
    with pytest.raises(ArgumentError, match=r"threads: got .*; accepted: an integer from 1 to"):
        check_threads(threads)
