import gc

import pytest
import torch
from helpers import foreign_threads, wait_until

from flowsolve.objectives import Evaluation
from flowsolve.solvers.external.rendezvous import IDLE, Ask, Closed, Worker


def evaluation(value, grad=True):
    one = torch.tensor([float(value)], dtype=torch.float64)
    return Evaluation(one, one.clone(), one.clone(), one.clone(), one.clone() if grad else None)


def point(value):
    return torch.tensor([float(value)], dtype=torch.float64)


def wait_for_no_threads():
    wait_until(lambda: not foreign_threads())


def test_a_loop_is_answered_turn_by_turn_and_what_is_known_is_not_asked_again():
    def loop(oracle):
        u = oracle.start
        for _ in range(2):
            assert float(oracle.evaluate(u).value) == float(u)
            u = u + 1
            oracle.evaluate(u, gradient=False)
            oracle.iterate(u)
        return True

    worker = Worker(loop, point(5), evaluation(5))
    asks = []
    for turn in range(2):
        worker.iterate = None
        while (ask := worker.run()) is not None:
            asks.append((ask.kind, float(ask.arguments[0]), ask.gradient))
            worker.remember(ask, evaluation(ask.arguments[0], ask.gradient))
        assert float(worker.iterate.arguments[0]) == 6 + turn
    # The start is known; iterates need their gradient, which the search did not ask for.
    assert asks == [
        ("evaluate", 6, False),
        ("iterate", 6, True),
        ("evaluate", 7, False),
        ("iterate", 7, True),
    ]
    assert worker.ended == "converged"
    worker.join()
    wait_for_no_threads()


def test_products_and_prox_steps_pass_through_as_they_are():
    def loop(oracle):
        return bool(oracle.product(oracle.start, point(2)) + oracle.prox(point(1), 0.5) == 7)

    worker = Worker(loop, point(0), evaluation(0))
    assert worker.run().kind == "product"
    worker.reply(point(3))
    ask = worker.run()
    assert (ask.kind, ask.arguments[1]) == ("prox", 0.5)
    worker.reply(point(4))
    assert worker.run() is None and worker.ended == "converged"


def test_an_exception_ends_the_loop_and_is_kept():
    def loop(oracle):
        raise ZeroDivisionError("no")

    worker = Worker(loop, point(0), evaluation(0))
    assert worker.run() is None
    assert worker.ended == "stalled" and isinstance(worker.error, ZeroDivisionError)


@pytest.mark.parametrize("catches", [Exception, BaseException])
def test_a_closed_loop_ends_even_if_it_catches_everything(catches):
    met = []

    def loop(oracle):
        while True:
            try:
                oracle.evaluate(torch.rand(1, dtype=torch.float64))
            except catches as error:
                met.append(type(error))
                if len(met) == 3:
                    return False

    worker = Worker(loop, point(0), evaluation(0))
    assert worker.run().kind == "evaluate"
    worker.end("stopped")
    worker.join()
    wait_for_no_threads()
    assert set(met) <= {Closed}


def test_a_worker_that_is_forgotten_takes_its_thread_with_it():
    def loop(oracle):
        while True:
            oracle.evaluate(torch.rand(1, dtype=torch.float64))

    worker = Worker(loop, point(0), evaluation(0))
    worker.run()
    assert len(foreign_threads()) == 1
    del worker
    gc.collect()
    wait_for_no_threads()


def test_nothing_runs_before_the_first_turn():
    worker = Worker(lambda oracle: True, point(0), evaluation(0))
    assert not foreign_threads()
    worker.end("stopped")
    worker.join()


def test_the_lowest_finite_point_is_found():
    worker = Worker(lambda oracle: True, point(0), evaluation(3))
    for value in (2, float("nan"), 4):
        worker.remember(Ask("evaluate", (point(value),)), evaluation(value))
    assert float(worker.lowest()[0]) == 2


def test_a_search_that_cannot_end_is_ended():
    def loop(oracle):
        while True:
            oracle.evaluate(oracle.start)

    worker = Worker(loop, point(1), evaluation(1))
    assert worker.run() is None and worker.ended == "stalled"
    worker.join()
    wait_for_no_threads()


def test_a_loop_that_does_not_move_is_ended_and_one_that_asks_is_not():
    def loop(oracle):
        for i in range(3 * IDLE):
            oracle.iterate(oracle.start)
            if i == IDLE // 2:
                oracle.evaluate(point(2))
        return True

    worker = Worker(loop, point(1), evaluation(1))
    turns = 0
    while not worker.ended:
        worker.iterate = None
        while (ask := worker.run()) is not None:
            worker.remember(ask, evaluation(ask.arguments[0]))
        worker.rest()
        turns += 1
    assert worker.ended == "stalled" and IDLE + IDLE // 2 < turns < 2 * IDLE
    worker.join()
    wait_for_no_threads()
