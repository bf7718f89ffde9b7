"""What is wrong with a study file: every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FlowsolveError


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake.

    Attributes
    ----------
    line : int
        Line of the file, from 1.
    message : str
        What is wrong there, and what would be accepted.
    """

    line: int
    message: str


class StudyFileError(FlowsolveError, ValueError):
    """A study file that cannot be used; its text has a line ``FILE:LINE: message`` for each mistake.

    Parameters
    ----------
    path : path
        The file.
    problems : sequence of Problem
        The mistakes; the same one is told once.

    Attributes
    ----------
    problems : list of Problem
        The mistakes in the order of their lines.
    """

    def __init__(self, path: str | Path, problems: Sequence[Problem]) -> None:
        self.path, self.problems = Path(path), sorted(set(problems))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one line of text for each mistake."""
        return [f"{self.path}:{p.line}: {' '.join(p.message.split())}" for p in self.problems]
