"""How good the classical restorations are that stand beside a run in its record."""

from __future__ import annotations

import numpy as np

from ..baselines import ORACLES
from ..errors import RecordError
from ..metrics import psnr
from .reader import RunRecord


def classical_psnr(record: RunRecord) -> dict[str, np.ndarray]:
    """Return the PSNR in dB of each classical restoration, shape (N,), the best in the mean first.

    Empty where none was recorded or the truth is not known. Those that have seen the truth come last.

    Raises
    ------
    RecordError
        If restorations have another shape than the images.
    """
    restored = record.baselines
    truth = record.problem.get("x_true") if restored else None
    if truth is None:
        return {}
    for name, x in restored.items():
        if x.shape != truth.shape:
            raise RecordError(f"record: {record.path}: its baseline {name} has the shape {x.shape}")
    found = {name: psnr(*in_frame(record, x, truth)) for name, x in restored.items()}
    return dict(sorted(found.items(), key=lambda item: (item[0] in ORACLES, -float(np.mean(item[1])))))


def restored_psnr(record: RunRecord) -> np.ndarray | None:
    """Return the PSNR in dB of the images that a run restored, shape (N,); None until it ends, or unknown.

    It is that of the images themselves, which may be a classical start that no iteration of the trace has.
    """
    truth, x = record.problem.get("x_true"), record.best["x"]
    return None if truth is None or not np.isfinite(x).all() else psnr(*in_frame(record, x, truth))


def in_frame(record: RunRecord, *images: np.ndarray) -> list[np.ndarray]:
    """Return what measurements show of images (..., H, W): all, or what lies in the frame of the record."""
    frame = record.config.get("frame")
    if frame is None:
        return list(images)
    rows, columns = (slice(*side) for side in frame)
    return [x[..., rows, columns] for x in images]
