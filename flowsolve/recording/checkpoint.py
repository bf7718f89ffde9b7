"""The whole state of a run as named arrays, and the two sealed slots of a record that hold it.

A checkpoint is written into the older of two slots and sealed last, with a generation number and a checksum.
A kill during the writing leaves that slot unsealed and the other one whole.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import torch

from ..objectives.evaluation import Evaluation
from ..solvers.base import Solver, State

Arrays = dict[str, np.ndarray]

#: Fields of a slot's seal.
SEAL = np.dtype([("generation", "i8"), ("iteration", "i8"), ("rows", "i8"), ("crc", "u4")])

STATE = "state/"
EVALUATION = "evaluation/"


def pack_state(state: State, prefix: str = STATE) -> Arrays:
    """Return a solver's state as arrays named ``state/…``, the batch along the first axis."""
    arrays: Arrays = {}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if isinstance(value, State):
            arrays |= pack_state(value, f"{prefix}{field.name}/")
        elif isinstance(value, Evaluation):
            parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            arrays |= {
                prefix + EVALUATION + name: _array(part) for name, part in parts.items() if part is not None
            }
        else:
            arrays[prefix + field.name] = _array(value)
    return arrays


def unpack_state(
    kind: type[State],
    arrays: Arrays,
    device: torch.device,
    nested: Mapping[str, Solver] | None = None,
    prefix: str = STATE,
) -> State:
    """Return the state that `pack_state` made the arrays of.

    Parameters
    ----------
    kind : type
        The solver's class of states.
    arrays : dict of str to numpy.ndarray
        As `pack_state` returns them; others are ignored.
    device : torch.device
        Where the state goes.
    nested : mapping of str to Solver, optional
        ``solver.nested()`` of the solver whose state it is.
    prefix : str
        What the names of the arrays start with.
    """

    def tensor(name: str) -> torch.Tensor | None:
        array = arrays.get(prefix + name)
        return None if array is None else torch.from_numpy(np.array(array)).to(device)

    evaluation = {f.name: tensor(EVALUATION + f.name) for f in dataclasses.fields(Evaluation)}
    fields: dict[str, Any] = {"evaluation": Evaluation(**evaluation)}  # type: ignore[arg-type]
    for field in dataclasses.fields(kind):
        if nested is not None and field.name in nested:
            inner, below = nested[field.name], f"{prefix}{field.name}/"
            fields[field.name] = unpack_state(inner.state_type, arrays, device, inner.nested(), below)
        elif field.name != "evaluation":
            fields[field.name] = tensor(field.name)
    return kind(**fields)


class Slots:
    """The two slots of a record's group ``checkpoint``.

    Parameters
    ----------
    group : h5py.Group
        The group.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.group = group
        self.generation = 0

    @classmethod
    def create(cls, group: h5py.Group, arrays: Arrays) -> Slots:
        """Make room for arrays of these shapes in both slots; nothing can be added once readers may join."""
        for name in ("0", "1"):
            slot = group.create_group(name)
            slot.create_dataset("seal", (), SEAL, data=np.zeros((), SEAL))
            for key, array in arrays.items():
                slot.create_dataset(f"arrays/{key}", array.shape, array.dtype)
        return cls(group)

    def write(self, arrays: Arrays, iteration: int) -> None:
        """Write and seal a checkpoint into the older slot.

        Arrays may have fewer rows than there is room for: finished images have left the batch.
        """
        self.generation += 1
        slot = self.group[str(self.generation % 2)]
        slot["seal"][()] = np.zeros((), SEAL)
        self.group.file.flush()
        rows = len(arrays["active"])
        for key, array in arrays.items():
            data = slot[f"arrays/{key}"]
            if array.ndim == 0:
                data[()] = array
            else:
                data[: len(array)] = array
        self.group.file.flush()
        slot["seal"][()] = np.array((self.generation, iteration, rows, checksum(arrays)), SEAL)
        self.group.file.flush()

    def read(self) -> tuple[int, Arrays] | None:
        """Return iteration and arrays of the newest whole checkpoint, or None where there is none."""
        sealed = []
        for name in ("0", "1"):
            seal = self.group[name]["seal"][()]
            if seal["generation"] > 0:
                sealed.append((int(seal["generation"]), name, seal))
        for _, name, seal in sorted(sealed, reverse=True):
            arrays = self._arrays(self.group[name]["arrays"], max(0, int(seal["rows"])))
            if checksum(arrays) == seal["crc"]:
                return int(seal["iteration"]), arrays
        return None

    def _arrays(self, group: h5py.Group, rows: int) -> Arrays:
        arrays: Arrays = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                short = name.startswith(STATE) or name == "active"
                arrays[name] = item[:rows] if short else item[()]

        group.visititems(visit)
        return arrays


def checksum(arrays: Arrays) -> int:
    """Return the CRC-32 of all arrays in the order of their names."""
    crc = 0
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8)
        crc = zlib.crc32(values.data, zlib.crc32(name.encode(), crc))
    return crc


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
