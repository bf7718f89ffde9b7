"""Interruptions that are not lost.

Python raises `KeyboardInterrupt` wherever it happens to be. Where that is the callback of a weak reference or
a finalizer, it is printed and dropped, and the program goes on. So a signal is remembered as well, and loops
ask for it between two steps.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

_told = threading.Event()


def catch_signals() -> None:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt`, and remember them until `check` or `forget`.

    Batch systems end a job with SIGTERM: its record is to be closed as after Ctrl-C. A SIGINT that is
    ignored, as in the background of a shell, stays ignored. Outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    forget()
    if sys.unraisablehook is not _report_dropped:
        global _report
        _report, sys.unraisablehook = sys.unraisablehook, _report_dropped
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


_report = sys.unraisablehook


def _report_dropped(dropped: Any) -> None:
    """Say nothing of an interruption that Python drops: it is remembered, and answered at the next step."""
    if not (_told.is_set() and issubclass(dropped.exc_type, KeyboardInterrupt)):
        _report(dropped)


def _interrupt(number: int, frame: object) -> None:
    _told.set()
    raise KeyboardInterrupt
