import gc
import pickle
import threading

import torch
from helpers import in_threads

from flowsolve.flows import FrozenGlow, Glow, GlowConfig, inplace, pool
from flowsolve.flows.pool import Form, Lease, Pool


def form(*shape, dtype=torch.float32, layout=torch.contiguous_format):
    return Form(shape, dtype, torch.device("cpu"), layout)


def test_what_was_given_back_is_used_again():
    store = Pool()
    lease = Lease(store)
    addresses = {lease.take(form(2, 3)).data_ptr() for _ in range(3)}
    assert len(addresses) == 3 and store.idle_bytes == 0
    del lease
    assert store.idle_bytes == 3 * 24
    lease = Lease(store)
    assert {lease.take(form(2, 3)).data_ptr() for _ in range(3)} == addresses and store.idle_bytes == 0
    assert lease.take(form(2, 3)).shape == (2, 3)


def test_threads_never_share_a_tensor_and_leave_the_number_of_bytes_right():
    store = Pool()

    def work():
        for k in range(200):
            lease, mark = Lease(store), threading.get_ident() % 1000
            taken = [lease.take(form(2 + k % 2)).fill_(mark) for _ in range(3)]
            assert all(bool((tensor == mark).all()) for tensor in taken)
            del lease
        return True

    assert all(in_threads(work))
    assert store.idle_bytes == sum(tensor.nbytes for waiting in store._free.values() for tensor in waiting)


def test_layout_and_dtype_count():
    store, lease = Pool(), Lease(Pool())
    store.give_back([(form(2, 3, 4, 5), torch.zeros(2, 3, 4, 5))])
    last = store.take(form(2, 3, 4, 5, layout=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last) and not last.is_contiguous()
    assert store.take(form(2, 3, 4, 5, dtype=torch.float64)).dtype == torch.float64
    assert store.idle_bytes == 480 and lease.take(form(1)).shape == (1,)


def test_other_shapes_are_freed_and_too_many_are_not_kept(monkeypatch):
    store = Pool()
    store.give_back([(form(7), torch.zeros(7))])
    store.give_back([(form(2), torch.zeros(2))])
    assert store.idle_bytes == 8
    monkeypatch.setattr(pool, "MOST", 20)
    store.give_back([(form(2), torch.zeros(2)), (form(2), torch.zeros(2))])
    assert store.idle_bytes == 16
    assert pickle.loads(pickle.dumps(store)).idle_bytes == 0


def test_two_gradients_at_once_do_not_share_memory(monkeypatch):
    monkeypatch.setattr(inplace, "LARGE", 0)
    flow = FrozenGlow(Glow(GlowConfig(channels=1, levels=1, steps=2, hidden=4), seed=1))
    with torch.no_grad():
        for level in flow.levels:
            for step in level.steps:
                step.conv3.weight.fill_(0.1)
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def begin(v):
        leaf = v.clone().requires_grad_()
        return leaf, flow.encode(leaf)[0][0].square().sum()

    alone = []
    for v in (x, 1 - x):
        leaf, value = begin(v)
        alone.append(torch.autograd.grad(value, leaf)[0])
        del leaf, value
    (one, first), (two, second) = begin(x), begin(1 - x)
    assert torch.equal(torch.autograd.grad(first, one, retain_graph=True)[0], alone[0])
    three, third = begin(x + 1)
    torch.autograd.grad(third, three)
    assert torch.equal(torch.autograd.grad(second, two)[0], alone[1])
    assert torch.equal(torch.autograd.grad(first, one)[0], alone[0])
    del first, second, third
    gc.collect()
    assert flow._passes._pool.idle_bytes == 3 * 2 * 2 * (2 * 4 * 2 * 2) * 4
