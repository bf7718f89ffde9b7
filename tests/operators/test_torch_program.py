"""Memory of repeated steps."""

import torch

from flowsolve.operators import torch_program
from flowsolve.operators.torch_program import Program


def test_steps_are_repeated_and_the_last_write_to_the_result():
    program = Program(torch.float32, (3,), (2,))
    program.do(lambda: program.wide.fill_(2.0))
    program.do(lambda: program.wide.add_(program.entry.sum()))
    program.do_last(lambda out: out.copy_(program.wide))
    for start in (1.0, 4.0):
        program.entry.fill_(start)
        out = torch.empty(3)
        program.run(out)
        assert out.tolist() == [2.0 + 2 * start] * 3


def test_memory_is_kept_and_what_goes_beyond_is_allocated():
    first, second = (Program(torch.float32, (2, 3), (3, 4)) for _ in range(2))
    assert first.wide.data_ptr() == second.wide.data_ptr()
    assert first.wide.data_ptr() + 4 * 6 == first.entry.data_ptr()
    beyond = first.take((torch_program.SCRATCH,))
    assert beyond.shape == (torch_program.SCRATCH,)
    first.release()
    assert first.take((1,)).data_ptr() == first.entry.data_ptr()
