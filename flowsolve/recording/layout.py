"""What a record's file must be: its objects, and the shapes and dtypes of all that is read of it.

A record may come from anybody. Links out of the file and data that stand elsewhere are refused, since through
them the bytes of other files could be read, shown and written; so is a file whose datasets claim more than it
holds. Groups and datasets that this version does not know are ignored.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import RecordError
from .baselines import BASELINES
from .checkpoint import SEAL
from .earlier import STAGES
from .model import check_config, parse_config
from .schema import RUN_STATUSES

#: Most objects of a file, and how deep groups may be nested.
MOST_OBJECTS, DEEPEST = 4096, 16

#: Small files may claim this many bytes more than they hold: heads of datasets that are still empty.
SLACK = 1 << 20

#: Largest count of iterations or evaluations: sums of several must fit in 32 bits.
LARGEST_COUNT = 2**28

#: Columns of the trace that every run has.
COLUMNS = ("value", "data_fidelity", "prior", "grad_norm", "step", "seconds")

#: Group of the state of a run, whose second slot has no room yet where a run has just begun.
CHECKPOINT = "checkpoint"


class Layout:
    """The check of one open file.

    Parameters
    ----------
    file : h5py.File
        The file.
    path : path
        Where it is, for errors.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path = file, path
        # Of the file that is open: a method's next stage may have put another one in its place.
        self.size = status_of(file).st_size
        self.items: dict[str, Any] = {}

    def check_objects(self) -> None:
        """Refuse links and data that lead out of the file, and more data than the file holds.

        Raises
        ------
        RecordError
            The message names the first object that is wrong.
        """
        claimed = 0
        self.items = dict(self._walk())
        for name, item in self.items.items():
            if isinstance(item, h5py.Dataset):
                self._check_storage(name, item)
                if not name.startswith(f"{CHECKPOINT}/"):
                    claimed += nbytes(item)
        if claimed > 2 * self.size + SLACK:
            raise self._error(f"its datasets claim {claimed} bytes, more than the file has")

    def check_contents(self, config: dict[str, Any]) -> None:
        """Check shapes and dtypes of all that is read, against a configuration; after `check_objects`.

        Raises
        ------
        RecordError
            The message names the first dataset that is missing or wrong.
        """
        n, image = config["n_images"], tuple(config["image_shape"])
        if self._text("status", ()) not in RUN_STATUSES:
            raise self._error(f"status is none of {', '.join(RUN_STATUSES)}")
        self._need("seconds", "f", ())
        y = self._need("problem/y", "f", (n, ...))
        if not 2 <= y.ndim <= 16 or 0 in y.shape:
            raise self._error(f"problem/y has shape {y.shape}; it should be one measurement of each image")
        sigma = self._need("problem/sigma", "f", ())[()]
        if not (np.isfinite(sigma) and sigma >= 0):
            raise self._error(f"problem/sigma is {sigma}; it should be a finite number >= 0")
        self._need("problem/x_true", "f", (n, *image), optional=True)
        self._need("start/x", "f", (n, *image), optional=True)
        latents = self._need("best/z", "f", (n, ...))
        shape = (n, *latents.shape[1:])
        if latents.ndim != 2:
            raise self._error(f"best/z has shape {latents.shape}; it should be one latent of each image")
        self._need("start/z", "f", shape, optional=True)
        for part in ("best", "final"):
            self._need(f"{part}/x", "f", (n, *image))
            self._need(f"{part}/z", "f", shape)
            self._need(f"{part}/value", "f", (n,))
            self._need(f"{part}/iteration", "i", (n,))
        self._text("final/status", (n,))
        self._check_trace(n, "value" if config["objective"].get("has_value", True) else "data_fidelity")
        self._check_snapshots(n, image)
        self._check_stages(n, image, config.get("method"))
        for name in self._datasets_below(f"{BASELINES}/"):
            self._need(name, "f", (n, *image))
        self._check_checkpoint()

    def _check_trace(self, n: int, known: str) -> None:
        """Check the trace; `known` is the column that is finite at the start."""
        if "trace" not in self.items:
            return
        iteration = self._need("trace/iteration", "i", (None,))[()]
        if len(iteration) and not (iteration[0] >= 0 and iteration[-1] <= LARGEST_COUNT):
            raise self._error("trace/iteration has numbers that are no iterations")
        if (iteration[1:] <= iteration[:-1]).any():
            raise self._error("trace/iteration does not ascend")
        names = {name.removeprefix("trace/") for name in self._datasets_below("trace/")}
        names = {name for name in names if "/" not in name}
        for name in sorted((names | {*COLUMNS, "evaluations"}) - {"image", "iteration"}):
            kind = "f" if name in COLUMNS else "fiub"
            column = self._need(f"trace/{name}", kind, (n, None))
            if refreshed(column, len(iteration)).shape[1] < len(iteration):
                raise self._error(f"trace/{name} has {column.shape[1]} of {len(iteration)} iterations")
            if column.dtype.kind in "iu" and column.size:
                counts = column[()]
                if counts.min() < 0 or counts.max() > LARGEST_COUNT:
                    raise self._error(f"trace/{name} has numbers that are no counts")
        if len(iteration) and not np.isfinite(self.items[f"trace/{known}"][:, 0]).all():
            raise self._error(f"trace/{known} does not begin with finite numbers")

    def _check_snapshots(self, n: int, image: tuple[int, ...]) -> None:
        if "snapshots" not in self.items:
            return
        kept = self._need("snapshots/iteration", "i", (None,))
        if self._need("snapshots/x", "f", (None, n, *image)).shape[0] < kept.shape[0]:
            raise self._error(f"snapshots/x has fewer than {kept.shape[0]} entries")

    def _check_stages(self, n: int, image: tuple[int, ...], method: dict[str, Any] | None) -> None:
        ended = 0 if method is None else method["stage"]
        there = len(self.file[STAGES]) if STAGES in self.items else 0
        if there != ended:
            raise self._error(f"it has {there} ended stages; its configuration says {ended}")
        for k in range(ended):
            self._need(f"{STAGES}/{k}/x", "f", (n, *image))
            self._text(f"{STAGES}/{k}/status", (n,))
            self._need(f"{STAGES}/{k}/iterations", "i", (n,))
            config = self._config(f"{STAGES}/{k}")
            if config["n_images"] != n or tuple(config["image_shape"]) != image:
                raise self._error(f"{STAGES}/{k} is of other images")
        if method is None or "trace" not in self.items:
            return
        rows = len(self.items["trace/iteration"])
        stage = self._need("trace/stage", "i", (n, None))[0, :rows]
        steps = np.diff(stage)
        if rows and (stage[0] != 0 or stage[-1] != ended or not np.isin(steps, (0, 1)).all()):
            raise self._error("trace/stage does not count the stages")

    def _check_checkpoint(self) -> None:
        if CHECKPOINT not in self.items:
            return
        for slot in (f"{CHECKPOINT}/0", f"{CHECKPOINT}/1"):
            seal = self.items.get(f"{slot}/seal")
            if not isinstance(seal, h5py.Dataset) or seal.shape != () or seal.dtype != SEAL:
                raise self._error(f"{slot}/seal is not the seal of a checkpoint")
            if not isinstance(self.items.get(f"{slot}/arrays"), h5py.Group):
                raise self._error(f"{slot}/arrays is not a group")
            claimed = 0
            for name in self._datasets_below(f"{slot}/arrays/"):
                item = self.items[name]
                claimed += nbytes(item)
                if item.dtype.kind not in "fiubS" or item.shape is None:
                    raise self._error(f"{name} is not an array of numbers")
            sealed = seal[()]["generation"] != 0
            if sealed and claimed > 2 * self.size:
                raise self._error(f"{slot} claims {claimed} bytes, more than the file has")

    def _config(self, group: str) -> dict[str, Any]:
        """Return the configuration that a group has as its attribute."""
        item = self.file[group]
        text = read_attribute(item, "json") if "json" in item.attrs else None
        if not isinstance(text, str):
            raise self._error(f"{group} has no configuration")
        return check_config(parse_config(text, self.path), self.path)

    def _need(self, name: str, kind: str, shape: tuple[Any, ...], optional: bool = False) -> h5py.Dataset:
        """Return a dataset of one of the dtype kinds and of a shape, in which None is any length."""
        item = self.items.get(name)
        if item is None and optional:
            return None
        if not isinstance(item, h5py.Dataset):
            given = "missing" if item is None else "not a dataset"
            raise self._error(f"{name} is {given}")
        if item.dtype.kind not in kind or item.dtype.itemsize > 8 or not item.dtype.isnative:
            words = {"f": "floating-point numbers", "i": "integers", "fiub": "numbers"}[kind]
            raise self._error(f"{name} has dtype {item.dtype}; it should be of {words}")
        if kind == "f" and item.dtype.itemsize < 4:
            raise self._error(f"{name} has dtype {item.dtype}; it should be float32 or float64")
        if not _fits(item.shape, shape):
            wanted = ", ".join("…" if length in (None, ...) else str(length) for length in shape)
            raise self._error(f"{name} has shape {item.shape}; it should be ({wanted})")
        return item

    def _text(self, name: str, shape: tuple[int, ...]) -> str:
        """Return the text of a dataset of short byte strings, several of them joined."""
        item = self.items.get(name)
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "S" or item.dtype.itemsize > 256:
            raise self._error(f"{name} is not a dataset of short text")
        if item.shape != shape:
            raise self._error(f"{name} has shape {item.shape}; it should be {shape}")
        try:
            text = b"".join(np.ravel(item[()]).tolist()).decode("ascii")
        except UnicodeDecodeError:
            text = "\0"
        if not text.isprintable():
            raise self._error(f"{name} is not plain text")
        return text

    def _datasets_below(self, prefix: str) -> list[str]:
        return [
            n for n, item in self.items.items() if n.startswith(prefix) and isinstance(item, h5py.Dataset)
        ]

    def _walk(self) -> Iterator[tuple[str, Any]]:
        """Yield names and objects of the whole file; links are checked before they are followed."""
        left = [("", self.file, 0)]
        found = 0
        while left:
            above, parent, deep = left.pop()
            if deep > DEEPEST:
                raise self._error(f"{above!r} is nested too deeply")
            for key in parent:
                name = f"{above}{key}"
                found += 1
                if found > MOST_OBJECTS:
                    raise self._error(f"it has more than {MOST_OBJECTS} objects")
                link = parent.id.links.get_info(key.encode("utf-8", "surrogateescape")).type
                if link != h5py.h5l.TYPE_HARD:
                    kind = "a soft link" if link == h5py.h5l.TYPE_SOFT else "an external link"
                    raise self._error(f"{name!r} is {kind}, which a record may not have")
                item = parent[key]
                yield name, item
                if isinstance(item, h5py.Group):
                    left.append((f"{name}/", item, deep + 1))

    def _check_storage(self, name: str, item: h5py.Dataset) -> None:
        properties = item.id.get_create_plist()
        if properties.get_external_count() > 0:
            raise self._error(f"{name!r} stands in other files, which a record may not do")
        if properties.get_layout() == h5py.h5d.VIRTUAL:
            raise self._error(f"{name!r} is a virtual dataset, which a record may not have")
        if properties.get_nfilters() > 0:
            raise self._error(f"{name!r} is compressed or filtered, which a record may not be")

    def _error(self, text: str) -> RecordError:
        return RecordError(f"record: {self.path}: {text}")


def refreshed(column: h5py.Dataset, length: int) -> h5py.Dataset:
    """Return a column of the trace as it is now, where it was opened before a writer made the axis longer."""
    if column.shape[1] < length:
        column.refresh()
    return column


def status_of(file: h5py.File) -> os.stat_result:
    """Return the status of an open file; by now there may be another one under its name."""
    return os.fstat(file.id.get_vfd_handle())


def nbytes(item: h5py.Dataset) -> int:
    """Return how many bytes a dataset takes when it is read."""
    return 0 if item.shape is None else math.prod(item.shape) * item.dtype.itemsize


def check_attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    """Return the attributes of a record's root that are known, checked.

    Raises
    ------
    RecordError
        If one is of another type.
    """
    known = {"schema": int, "pid": int, "created": str, "run_id": str, "host": str, "flowsolve_version": str}
    found: dict[str, Any] = {}
    for name, kind in known.items():
        if name in file.attrs:
            value = read_attribute(file, name)
            if kind is str and isinstance(value, str) and len(value) <= 256 and value.isprintable():
                found[name] = value
            elif kind is int and isinstance(value, np.integer):
                found[name] = int(value)
            else:
                word = "an integer" if kind is int else "short text"
                raise RecordError(f"record: {path}: the attribute {name} is not {word}")
    missing = [name for name in known if name not in found]
    if missing and "schema" not in missing:
        raise RecordError(f"record: {path}: the attribute {missing[0]} is missing")
    return found


def read_attribute(item: h5py.Group, name: str) -> Any:
    """Return a scalar attribute, None for one that is none; its size is looked at before it is read."""
    about = item.attrs.get_id(name)
    if about.shape != () or about.dtype.kind not in "OSiuf" or about.dtype.itemsize > 4096:
        return None
    if about.dtype.kind == "O" and h5py.check_string_dtype(about.dtype) is None:
        return None
    value = item.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fits(shape: tuple[int, ...] | None, wanted: tuple[Any, ...]) -> bool:
    if shape is None:
        return False
    if wanted and wanted[-1] is ...:
        wanted = (*wanted[:-1], *(None,) * (len(shape) - len(wanted) + 1))
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))
