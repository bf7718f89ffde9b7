import threading

import pytest
import torch

from flowsolve.operators import threads


@pytest.mark.parametrize(("wanted", "count"), [(1, 5), (3, 10), (4, 2), (3, 1), (3, 0)])
def test_the_ranges_make_up_all_items(wanted, count, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: wanted)
    monkeypatch.setattr(threads, "ALONE", -1)
    seen, names = [], set()

    def run(first, last):
        seen.extend(range(first, last))
        names.add(threading.current_thread().name)

    threads.in_threads(run, count, 1)
    assert sorted(seen) == list(range(count))
    assert threading.current_thread().name in names


def test_what_is_small_is_left_to_one_thread(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    calls = []
    threads.in_threads(lambda *given: calls.append(given), 7, threads.ALONE)
    assert calls == [(0, 7)]


def test_an_error_of_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def run(first, last):
        if first > 0:
            raise ValueError("in another thread")

    with pytest.raises(ValueError, match="in another thread"):
        threads.in_threads(run, 4, threads.ALONE + 1)
