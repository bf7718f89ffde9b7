"""The pictures of a report: truth, measurements and restored images, as many as there is room for.

Pictures are chosen problem by problem, all runs of a problem together, so that what is shown can be compared.
Errors are not stored: the page computes them from the truth and the restored image.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas
from PIL import Image

from ..errors import FlowsolveError
from ..recording.reader import open_file
from ..recording.rebuild import build_operator
from ..studies.index import MEASUREMENT, Index, RunEntry
from .packing import pack

#: Most bytes of all pictures, before base64.
ROOM = 5_000_000

#: Images up to so many pixels are stored without loss.
EXACT_PIXELS = 128 * 128

#: Quality of the larger ones, as WebP has it.
QUALITY = 85

#: Missing pixels are drawn in a pale blue that photographs hardly have.
HIDDEN = (0.62, 0.80, 0.95)


def pack_gallery(index: Index, room: int = ROOM) -> dict[str, Any]:
    """Return the pictures for the page.

    Parameters
    ----------
    index : Index
        The runs.
    room : int
        Most bytes of the pictures; 0 for none.

    Returns
    -------
    dict
        ``pictures``, base64 of WebP files; ``problems``, each with ``task``, ``image``, the numbers of its
        pictures ``truth`` and ``measured`` (None where there is none), ``rows`` of the table and the number
        of the restored picture of each; ``left_out``, how many problems there was no room for;
        ``colours``, the map of errors, 256 × 3 bytes.
    """
    entries = {entry.id: entry for entry in index.runs}
    problems = list(_by_turns(index.problems(MEASUREMENT)))
    pictures: list[str] = []
    packed: list[dict[str, Any]] = []
    used = left_out = 0
    for key, rows in problems:
        if used >= room:
            left_out += 1
            continue
        found = _pictures_of(rows, entries)
        if found is None:
            continue
        size = sum(map(len, found["files"]))
        if used + size > room and (packed or not room):
            left_out += 1
            continue
        used += size
        first = len(pictures)
        pictures += [base64.b64encode(file).decode("ascii") for file in found.pop("files")]
        numbers = {k: None if found[k] is None else first + found[k] for k in ("truth", "measured")}
        restored = pack([first + i for i in found["restored"]])
        packed.append(
            {
                "task": str(key["task"]),
                "image": str(key["image"]),
                "detail": _detail(key),
                **numbers,
                "rows": pack(found["rows"]),
                "restored": restored,
            }
        )
    return {"pictures": pictures, "problems": packed, "left_out": left_out, "colours": pack(error_colours())}


def error_colours() -> np.ndarray:
    """Return the colours of errors from none to largest, (256, 3) of uint8: perceptually uniform."""
    from matplotlib import colormaps

    from .figure import ERROR_MAP

    return (colormaps[ERROR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def encode(x: np.ndarray) -> bytes:
    """Return an image as a WebP file, without loss where it is small.

    Parameters
    ----------
    x : numpy.ndarray, shape (C, H, W)
        Values are clipped to [0, 1]; of other than three channels, the first is shown in grey.

    Returns
    -------
    bytes
    """
    clipped = np.nan_to_num(np.clip(np.asarray(x, dtype=np.float64), 0, 1))
    pixels = (clipped * 255).round().astype(np.uint8)
    colours = pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]
    buffer = io.BytesIO()
    exact = pixels[0].size <= EXACT_PIXELS
    # Without loss, quality is how hard it tries: two per cent fewer bytes would cost a minute of a report.
    options = {"lossless": True, "quality": 20, "method": 2} if exact else {"quality": QUALITY, "method": 4}
    Image.fromarray(colours).convert("RGB").save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _by_turns(
    problems: Iterator[tuple[dict[str, Any], pandas.DataFrame]],
) -> Iterator[tuple[dict[str, Any], pandas.DataFrame]]:
    """Yield the first problem of each task, then the second of each: no task takes all the room."""
    groups: dict[tuple[Any, ...], list[tuple[dict[str, Any], pandas.DataFrame]]] = {}
    for key, rows in problems:
        groups.setdefault((key["task"], key["operator"], key["sigma"]), []).append((key, rows))
    for turn in zip_longest(*groups.values()):
        yield from (problem for problem in turn if problem is not None)


def _detail(key: dict[str, Any]) -> str:
    operator = f"{key['operator']}, " if key["operator"] else ""
    return f"{operator}σ = {key['sigma']:g}"


def _pictures_of(rows: pandas.DataFrame, entries: dict[str, RunEntry]) -> dict[str, Any] | None:
    """Return the files of a problem's pictures and which is which; None if no run has an image yet."""
    files: list[bytes] = []
    restored: list[int] = []
    shown: list[int] = []
    truth = measured = None
    for number, run, position in zip(rows.index, rows["run"], rows["position"], strict=True):
        entry = entries[run]
        x = _restored(entry, int(position))
        if x is None:
            continue
        if not shown:
            truth, measured = _truth_and_measured(entry, int(position), files)
        files.append(encode(x))
        restored.append(len(files) - 1)
        shown.append(int(number))
    if not shown:
        return None
    return {"files": files, "truth": truth, "measured": measured, "restored": restored, "rows": shown}


def _restored(entry: RunEntry, position: int) -> np.ndarray | None:
    """Return a restored image, or None where there is none yet."""
    try:
        with open_file(entry.path) as file:
            x: np.ndarray = file["best/x"][position]
    except FlowsolveError:
        return None
    return x if np.isfinite(x).all() else None


def _truth_and_measured(entry: RunEntry, position: int, files: list[bytes]) -> tuple[int | None, int | None]:
    """Add truth and measurements to `files` and return their places, None for what is no image."""
    truth = measured = None
    try:
        problem, config = entry.problem, entry.config
    except FlowsolveError:
        return None, None
    if "x_true" in problem:
        files.append(encode(problem["x_true"][position]))
        truth = len(files) - 1
    y = problem["y"]
    if y.ndim == 4 and y.shape[1] in (1, 3):
        # Sinograms and the like have another range than images.
        largest = float(np.abs(y[position]).max())
        scale = largest if largest > 2 else 1.0
        files.append(encode(_with_gaps(y[position] / scale, position, config)))
        measured = len(files) - 1
    return truth, measured


def _with_gaps(y: np.ndarray, position: int, config: dict[str, Any]) -> np.ndarray:
    """Return measurements with the pixels that were not measured in another colour."""
    try:
        support = build_operator(config, y.shape).support
    except FlowsolveError:
        return y
    if support is None:
        return y
    support = np.asarray(support)
    support = support[position if len(support) > 1 else 0] if support.ndim == 4 else support
    return np.where(support > 0, y, np.array(HIDDEN)[: len(y), None, None])
