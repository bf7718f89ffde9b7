"""Images to train on: files of any size, decoded once to bytes and kept.

Files are opened one at a time and kept as 8-bit RGB in blocks, in memory as long as there is
room and in files that are mapped into memory beyond it. A file that cannot be used is named and
left out, because a folder of a million photographs has some.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ...decoding import SUFFIXES
from ...errors import ArgumentError
from ...images import open_image
from ...sources import MAX_BYTES, Source, file_source, hidden, missing
from .files import writing

BLOCK = 2**26
"""Bytes of a block of pixels."""

ACCEPTED = "folders or zips of images"


def iterate_files(paths: Sequence[str | os.PathLike[str]], argument: str) -> Iterator[Source]:
    """Yield the files in `paths` that their names say are images, in sorted order.

    Parameters
    ----------
    paths : sequence of path
        Folders (searched through all their folders), zips and image files. A zip is opened once
        for all its entries; use each file before asking for the next.
    argument : str
        Name of the argument, for messages.

    Raises
    ------
    ArgumentError
        If a path does not exist, or is no folder, zip or image.
    """
    for path in map(Path, paths):
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file() and not hidden(file.name):
                    yield file_source(file)
        elif not path.is_file():
            raise missing(path, argument, ACCEPTED)
        elif path.suffix.lower() == ".zip":
            yield from _zip_entries(path, argument)
        elif path.suffix.lower() in SUFFIXES:
            yield file_source(path)
        else:
            raise ArgumentError(argument, path, ACCEPTED)


def _zip_entries(path: Path, argument: str) -> Iterator[Source]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ArgumentError(argument, f"{path}, which is not a readable zip ({error})", ACCEPTED) from None
    with archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            suffix = PurePosixPath(info.filename).suffix.lower()
            if info.is_dir() or suffix not in SUFFIXES or hidden(info.filename):
                continue

            def read(info: zipfile.ZipInfo = info) -> bytes:
                if info.file_size > MAX_BYTES:
                    raise OSError(f"larger than {MAX_BYTES} bytes")
                return archive.read(info)

            yield Source(f"{path}/{info.filename}", suffix, read)


def decode(source: Source) -> np.ndarray:
    """Return a file's pixels, uint8, shape (H, W, 3).

    Raises
    ------
    ArgumentError
        If it cannot be read as an image.
    """
    pixels = np.rint(open_image(source, "data").on_white() * 255).astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@dataclass
class ImageStore:
    """Images of differing sizes as bytes, in blocks that are in memory or mapped from files.

    Parameters
    ----------
    spill : path
        Folder for the blocks that do not fit in memory; used only when there are any.
    budget : int
        Bytes to keep in memory.
    """

    spill: Path
    budget: int
    skipped: list[str] = field(default_factory=list)
    """The files left out, each with the reason."""
    _blocks: list[np.ndarray] = field(default_factory=list)
    _where: list[tuple[int, int, int, int]] = field(default_factory=list)
    _used: int = 0
    _held: int = 0
    _filling: bool = False

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index`, uint8, shape (H, W, 3); not to be written to."""
        block, offset, height, width = self._where[index]
        flat = self._blocks[block][offset : offset + height * width * 3]
        return flat.reshape(height, width, 3)

    def append(self, pixels: np.ndarray) -> None:
        """Keep one image, uint8, shape (H, W, 3).

        Raises
        ------
        ArgumentError
            If a block has to go to a file and cannot be written.
        """
        if not self._filling or self._used + pixels.size > len(self._blocks[-1]):
            self.close_block()
            self._blocks.append(np.empty(max(BLOCK, pixels.size), np.uint8))
            self._used, self._filling = 0, True
        height, width = pixels.shape[:2]
        self._where.append((len(self._blocks) - 1, self._used, height, width))
        self._blocks[-1][self._used : self._used + pixels.size] = pixels.reshape(-1)
        self._used += pixels.size

    def close_block(self) -> None:
        """Give back what the last block has too much, and move it to a file where memory is short."""
        if not self._filling:
            return
        self._filling = False
        block = self._blocks[-1][: self._used]
        if self._held + block.size <= self.budget:
            self._blocks[-1] = block.copy() if block.size < len(self._blocks[-1]) // 2 else block
            self._held += block.size
        else:
            self._blocks[-1] = self._to_file(block)

    def _to_file(self, block: np.ndarray) -> np.ndarray:
        # Written and not filled through the map, because a full disk then is an error and no signal.
        with writing(self.spill):
            handle, name = tempfile.mkstemp(dir=self.spill, prefix=".pixels-")
            try:
                with os.fdopen(handle, "wb") as file:
                    block.tofile(file)
                return np.memmap(name, np.uint8, mode="r")
            finally:
                # A mapped file without a name goes away with the process, however it ends.
                with contextlib.suppress(OSError):
                    os.unlink(name)

    def subset(self, indices: Sequence[int]) -> ImageStore:
        """Return some of the images, sharing their bytes."""
        return ImageStore(self.spill, self.budget, [], self._blocks, [self._where[i] for i in indices])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that tell these images from others, by number, size and samples."""
        digest = hashlib.sha256(repr([place[2:] for place in self._where]).encode())
        for i in range(0, len(self), max(1, len(self) // 64)):
            digest.update(self[i].tobytes())
        return digest.hexdigest()[:16]


def read_store(
    paths: Sequence[str | os.PathLike[str]],
    size: int,
    spill: Path,
    *,
    limit: int | None = None,
    budget: int | None = None,
    argument: str = "data",
    tell: Callable[[int, int], None] = lambda kept, skipped: None,
) -> ImageStore:
    """Decode the images in `paths` that are at least `size` pixels high and wide.

    Parameters
    ----------
    paths : sequence of path
        Folders, zips and files.
    size : int
        Least height and width.
    spill : path
        Folder for what does not fit in memory.
    limit : int, optional
        Keep no more than so many; further files are not opened.
    budget : int, optional
        Bytes to keep in memory; by default half of what is free.
    argument : str
        Name of the argument, for messages.
    tell : callable
        Called with the numbers of images kept and skipped, after every 200 files.

    Raises
    ------
    ArgumentError
        If a path cannot be searched, no image in them can be used, or the disk is full.
    """
    store = ImageStore(spill, free_memory() // 2 if budget is None else budget)
    for number, source in enumerate(iterate_files(paths, argument)):
        if limit is not None and len(store) >= limit:
            break
        if number % 200 == 0:
            tell(len(store), len(store.skipped))
        try:
            pixels = decode(source)
        except ArgumentError as error:
            store.skipped.append(str(error.given))
            continue
        height, width = pixels.shape[:2]
        if min(height, width) < size:
            store.skipped.append(f"{source.label}, {width}x{height}, smaller than {size}x{size}")
            continue
        store.append(pixels)
    store.close_block()
    if not len(store):
        names = ", ".join(str(path) for path in paths)
        given = f"{names} without a usable image"
        if store.skipped:
            given += f" ({len(store.skipped)} skipped; the first: {store.skipped[0]})"
        raise ArgumentError(argument, given, f"{ACCEPTED} of at least {size}x{size} pixels")
    return store


def free_memory() -> int:
    """Return the bytes of memory that are free, or 4 GiB where the system does not say."""
    try:
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 2**32
