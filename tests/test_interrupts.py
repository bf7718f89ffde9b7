import signal
import weakref

import pytest

import flowsolve as fs
from flowsolve import interrupts


class Thing:
    pass


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    interrupts.forget()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts(number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.catch_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    interrupts.forget()
    interrupts.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_python_drops_ends_the_run_at_the_next_iteration(tiny_prior, problem):
    interrupts.catch_signals()
    seen = []

    def callback(progress):
        seen.append(progress.iteration)
        if progress.iteration == 3:
            thing = Thing()
            kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
            del thing
            assert kept() is None

    with pytest.raises(KeyboardInterrupt):
        fs.solve(fs.Analysis(problem, tiny_prior), solver="adam", max_iter=10, callback=callback)
    assert seen == [1, 2, 3]


def test_an_ignored_sigint_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.catch_signals()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
