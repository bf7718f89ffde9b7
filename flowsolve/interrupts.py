"""Interruptions that are not lost.

Python raises `KeyboardInterrupt` wherever it happens to be. Where that is the callback of a weak reference or
a finalizer, it is printed and dropped, and the program goes on. So a signal is remembered as well, and loops
ask for it between two steps.
"""

from __future__ import annotations

import signal
import threading

_told = threading.Event()


def catch_signals() -> None:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt`, and remember them until `check` or `forget`.

    Batch systems end a job with SIGTERM: its record is to be closed as after Ctrl-C. A SIGINT that is
    ignored, as in the background of a shell, stays ignored. Outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    forget()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def check() -> None:
    """Raise the interruption that was told and has been dropped.

    Raises
    ------
    KeyboardInterrupt
        If there was a signal since `catch_signals`.
    """
    if _told.is_set():
        forget()
        raise KeyboardInterrupt


def forget() -> None:
    """Forget a signal: it has been answered."""
    _told.clear()


def _interrupt(number: int, frame: object) -> None:
    _told.set()
    raise KeyboardInterrupt
