import pytest
import torch

from flowsolve.flows.raw import raw_prior


@pytest.mark.parametrize("memory", ["store", "checkpoint", "invertible", "auto"])
def test_the_raw_prior_computes_as_the_given_one(tiny_prior, memory):
    given = tiny_prior.to(coupling_dtype=torch.bfloat16).with_memory(memory)
    raw = raw_prior(given)
    assert (raw.memory, raw.coupling_dtype, raw.dtype) == (memory, torch.bfloat16, torch.float64)
    # And it does so, not only says so: other couplings have other latents.
    x = torch.full((1, 3, 8, 8), 0.3, dtype=torch.float64)
    exact = raw_prior(tiny_prior)
    assert exact.coupling_dtype == torch.float64
    assert not torch.equal(raw.encode(x), exact.encode(x))
    torch.testing.assert_close(raw.encode(x), exact.encode(x), rtol=0.05, atol=0.05)


def test_a_prior_whose_latents_are_raw_is_returned_as_it_is(tiny_prior):
    raw = raw_prior(tiny_prior.with_memory("checkpoint"))
    assert raw_prior(raw) is raw and raw.memory == "checkpoint"
