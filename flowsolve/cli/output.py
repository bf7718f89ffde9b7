"""The output folder of a run: what may be written, what may be replaced, what is ours.

The names of the files a run wrote are kept in its ``summary.json``, so that a later run with
``--force`` removes those and no others.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files import read_text, target, write_atomically
from ..names import safe_name

SUFFIXES = (".h5", ".png", ".tiff", ".npy")
"""Of what a run writes beside its summary."""

RECORD, FIGURE, SUMMARY, IMAGES = "run.h5", "figure.png", "summary.json", "restored"


class OutputFolder:
    """A folder that one run is written to.

    Parameters
    ----------
    path : pathlib.Path
        The folder; made when the run begins.
    kind : str
        Suffix of the files of images.
    part : str
        Of a run of images of several sizes, the name of one size's part; "" of the whole.
    """

    def __init__(self, path: Path, kind: str = "png", part: str = "") -> None:
        self.path, self.kind, self.part = path, kind, part
        self._old: list[Path] = []

    def part_of(self, name: str) -> OutputFolder:
        """Return the same folder for the images of one size: with a record and a figure of their own."""
        return OutputFolder(self.path, self.kind, name)

    def _named(self, file: str) -> Path:
        stem, dot, suffix = file.partition(".")
        return self.path / (f"{stem}-{self.part}{dot}{suffix}" if self.part else file)

    @property
    def record(self) -> Path:
        """The HDF5 record."""
        return self._named(RECORD)

    @property
    def figure(self) -> Path:
        """The figure."""
        return self._named(FIGURE)

    @property
    def summary(self) -> Path:
        """The JSON summary."""
        return self.path / SUMMARY

    def image(self, name: str) -> Path:
        """Return the file of a restored image; names of an `ImageSet` give files that differ."""
        return self.path / IMAGES / f"{safe_name(name)}.{self.kind}"

    def check(self, *, force: bool) -> None:
        """Refuse a folder that is a file, or has a run in it that must not be replaced.

        Parameters
        ----------
        force : bool
            Whether a run may be replaced.

        Raises
        ------
        ArgumentError
            If the folder cannot be used; nothing has been changed.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError("out", f"{self.path}, which is a file", "a folder, which need not exist")
        own = [
            self.record,
            self.figure,
            self.summary,
            self.path / IMAGES,
            *sorted(self.path.glob("run-*.h5")),
        ]
        present = [p.name for p in own if p.exists()]
        if present and not force:
            given = f"{self.path}, which has a run in it ({', '.join(present)})"
            raise ArgumentError("out", given, "a folder without a run, or --force to replace the run")
        for file in (self.record, self.figure, self.summary):
            target(file, "out")

    def check_images(self, names: Sequence[str]) -> None:
        """Refuse a folder in which a restored image would replace what is no regular file.

        Raises
        ------
        ArgumentError
            If there is such a name; nothing has been changed.
        """
        for name in names:
            target(self.image(name), "out")

    def prepare(self, records: Sequence[Path] = ()) -> None:
        """Make the folder and find out whether it can be written to; an earlier run in it stays.

        Parameters
        ----------
        records : sequence of pathlib.Path
            Records that are going to be written, by default `record`: of an earlier run they are replaced.

        Raises
        ------
        ArgumentError
            If it cannot be written to.
        """
        try:
            (self.path / IMAGES).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise self._unusable(error) from None
        self._old = [file for file in self._written_before() if file not in (records or (self.record,))]

    def remove_old(self) -> None:
        """Remove the files of an earlier run, but for its record, which the new one's has replaced.

        Raises
        ------
        ArgumentError
            If they cannot be removed.
        """
        try:
            for old in self._old:
                # A link, or what is no regular file, was put there by somebody else: it stays.
                if old.is_file() and not old.is_symlink():
                    old.unlink()
        except OSError as error:
            raise self._unusable(error) from None
        self._old = []

    def _unusable(self, error: OSError) -> ArgumentError:
        given = f"{self.path} ({error.strerror or error})"
        return ArgumentError("out", given, "a folder that can be written to")

    def write_summary(self, summary: dict[str, Any], files: list[Path]) -> None:
        """Write the summary with the names of the run's files in it."""
        names = [file.relative_to(self.path).as_posix() for file in files]
        text = json.dumps({**summary, "files": names}, indent=2, allow_nan=False)
        write_atomically(self.summary, f"{text}\n".encode(), "out")

    def _written_before(self) -> list[Path]:
        """Return the files of the earlier run, as its summary lists them."""
        try:
            names = json.loads(read_text(self.summary))["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        # A summary is a file like any other: what it lists is removed only where a run writes.
        own = [self.path / name for name in names if isinstance(name, str)]
        places = (self.path, self.path / IMAGES)
        return [p for p in own if p.parent in places and p.suffix in SUFFIXES and ".." not in p.parts]
