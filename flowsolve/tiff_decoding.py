"""TIFFs of kinds that Pillow would cut to 8 bits or does not know: deep colour, floating point, signs.

tifffile reads them; where a file is compressed in a way that it leaves to the package imagecodecs, and that
is not installed, the error says so.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator

import numpy as np
import tifffile

ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
"""How to turn pixels as the tag Orientation says."""


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[tifffile.TiffFile]:
    # It logs as errors what it gets over; what it does not, is raised.
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            yield file
    finally:
        log.disabled = before


def page_numbers(data: bytes) -> list[int]:
    """Return the numbers of the pages of a TIFF that are no smaller versions of others."""
    with _opened(data) as file:
        return [k for k, page in enumerate(file.pages) if not page.tags.valueof(254, 0) & 1]


def read_page(data: bytes, page: int, most: int) -> tuple[np.ndarray, bool]:
    """Return the samples of a page, and whether the last of its channels says how opaque pixels are.

    Parameters
    ----------
    data : bytes
        The whole file.
    page : int
        Which page, from 0.
    most : int
        Most pixels that are decoded.

    Returns
    -------
    samples : numpy.ndarray, shape (H, W) or (H, W, C)
        In the file's dtype.
    alpha : bool
        Whether there is such a channel.

    Raises
    ------
    ValueError
        If it is damaged, too large, or of another kind; the message continues a sentence about the file.
    """
    with _opened(data) as file:
        found = file.pages[page]
        assert isinstance(found, tifffile.TiffPage)
        if found.imagewidth * found.imagelength > most:
            raise ValueError(f"which has {found.imagewidth}x{found.imagelength} pixels, more than {most}")
        if found.axes not in ("YX", "YXS", "SYX") or found.photometric not in (0, 1, 2):
            raise ValueError(f"which is a TIFF of axes {found.axes} and colours {found.photometric!r}")
        samples = found.asarray()
        if not samples.size or samples.dtype.kind not in "uif":
            raise ValueError(f"which is a TIFF of {samples.size} values of dtype {samples.dtype}")
        if found.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
        if found.photometric == 0 and samples.dtype.kind == "u":
            samples = np.iinfo(samples.dtype).max - samples
        turn = ORIENTATIONS.get(int(found.tags.valueof(274, 1)), lambda a: a)
        return np.ascontiguousarray(turn(samples)), bool(found.extrasamples)
