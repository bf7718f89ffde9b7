"""What a run says while it goes on: lines of JSON in a file, and calls to whoever watches."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ...files import read_text, target
from .files import save, writing


class Status(NamedTuple):
    """Where a run is, for a progress bar.

    Attributes
    ----------
    progress : float
        Share of the run that is over, 0 to 1.
    step, images : int
        Steps and image views.
    seconds : float
        Time spent.
    loss : float
        Bits a dimension of the training images, averaged over the last steps.
    bits : float or None
        Latest validation bits a dimension.
    lr : float
        Learning rate.
    rate : float
        Image views a second, since this part of the run began.
    """

    progress: float
    step: int
    images: int
    seconds: float
    loss: float
    bits: float | None
    lr: float
    rate: float


class Observer(Protocol):
    """What is told of a run."""

    def reading(self, kept: int, skipped: int) -> None:
        """Images are being decoded: so many were kept and skipped up to now."""

    def message(self, text: str) -> None:
        """Something happened that a person should know."""

    def stepped(self, status: Status) -> None:
        """A step was made."""


class Silent:
    """An observer that takes no notice."""

    def reading(self, kept: int, skipped: int) -> None:
        """Take no notice."""

    def message(self, text: str) -> None:
        """Take no notice."""

    def stepped(self, status: Status) -> None:
        """Take no notice."""


class Log:
    """JSON lines, appended one by one.

    Parameters
    ----------
    path : path or None
        The file; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = None if path is None else target(path, "out")

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, which a resumed run is going to repeat."""
        if self.path is None or not self.path.exists():
            return
        kept = []
        for line in read_text(self.path).splitlines():
            try:
                if json.loads(line).get("step", 0) <= step:
                    kept.append(line + "\n")
            except (ValueError, AttributeError, TypeError):
                continue  # cut off by a kill
        save(self.path, "".join(kept).encode())

    def write(self, event: str, **values: Any) -> None:
        """Append a line; numbers that are not finite become null, which JSON has.

        Raises
        ------
        ArgumentError
            If the disk is full.
        """
        if self.path is None:
            return
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        with writing(self.path.parent), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **clean}) + "\n")
