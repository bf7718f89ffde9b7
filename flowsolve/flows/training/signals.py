"""Interruptions, held back until a step is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that no step is torn apart.

    A second SIGINT interrupts at once. Outside the main thread, where signals cannot be held, the
    event is never set.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        if told.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.set()

    try:
        for number in before:
            signal.signal(number, stop)
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
