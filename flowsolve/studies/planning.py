"""From a study file to its plan: the cells that will be run, and those that have no meaning.

A plan says of each cell all that determines it, so that the report of a study needs nothing else, and has a
fingerprint by which a folder knows its study again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, FlowsolveError
from ..flows import FlowPrior
from ..flows.raw import PREFIX as RAW
from ..images import read_kernel, read_mask
from .cells import Candidate, Cell, candidates
from .compatibility import Compatibility, Refusal
from .config import WEIGHTS, Study
from .inputs import Inputs, Paths, found, kept_prior, read_inputs
from .parsing import StudyFile, read_study
from .positions import Place

#: Version of the layout of a plan.
SCHEMA = 1

#: Options of tasks that are files, and what reads them.
READERS: dict[str, Callable[..., np.ndarray]] = {"mask": read_mask, "kernel": read_kernel}

#: Height and width of the image that stands in for missing ones, where priors take any: room for every blur.
ANY_SIZE = (256, 256)


@dataclass(frozen=True)
class Plan:
    """What a study runs.

    Attributes
    ----------
    title : str
        What the study is called.
    cells : list of Cell
        The runs, in the order of the study file.
    left_out : list of dict
        Combinations without meaning: ``reason``, ``line`` of the file and number of ``cells``.
    compute : dict
        How runs are computed and recorded; see `flowsolve.studies.config.Compute`.
    paths : Paths
        Where images, masks and kernels are.
    priors : dict of str to str
        Name or file that each prior of the study is loaded from.
    fingerprint : str
        SHA-256 of all that the cells depend on; the same whatever the order and the comments of the file.
    text : str
        The study file.
    """

    title: str
    cells: list[Cell]
    left_out: list[dict[str, Any]]
    compute: dict[str, Any]
    paths: Paths
    priors: dict[str, str]
    fingerprint: str
    text: str
    inputs: Inputs = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the document ``plan.json``."""
        return {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint,
            "title": self.title,
            "compute": self.compute,
            "images": self.inputs.names,
            "cells": [cell.to_dict() for cell in self.cells],
            "left_out": self.left_out,
        }


def make_plan(path: str | Path, data: Path | None = None) -> Plan:
    """Return the plan of a study file.

    Parameters
    ----------
    path : path
        The file.
    data : pathlib.Path, optional
        Folder in which the files that it names are looked for first.

    Raises
    ------
    StudyFileError
        If the file has mistakes: all of them, each with its line.
    ArgumentError
        If the file cannot be read, or `data` is no folder.
    """
    if data is not None and not data.is_dir():
        raise ArgumentError("data", f"{data}, which is no folder", "the folder of the images")
    file = read_study(path)
    inputs, paths = _inputs(file, data)
    priors = _priors(file, inputs, data)
    cells, left_out = _cells(file, _stand_in(priors) if inputs is None else inputs, priors)
    file.check()
    assert inputs is not None, "images that cannot be read are a problem of the file"
    compute = file.study.compute.model_dump()
    return Plan(
        title=file.study.title,
        cells=cells,
        left_out=left_out,
        compute=compute,
        paths=paths,
        priors={label: _source(label, file, data) for label in priors},
        fingerprint=hashlib.sha256("\n".join(sorted(c.id for c in cells)).encode()).hexdigest(),
        text=file.text,
        inputs=inputs,
    )


def _inputs(file: StudyFile, data: Path | None) -> tuple[Inputs | None, Paths]:
    """Return the arrays of a study, None if the images cannot be read, and where they are."""
    study = file.study
    good: dict[str, list[tuple[Any, ...]]] = {option: [] for option in READERS}
    for (label, table), option in itertools.product(study.tasks.items(), READERS):
        path, scale = getattr(table, option), (table.kernel_scale,) if option == "kernel" else ()
        if path is None:
            continue
        place = found(path, file.path, data)
        try:
            READERS[option](place, option, *scale)
            good[option].append((table.options()[option], place, *scale))
        except ArgumentError as error:
            file.report(("tasks", label, option), str(error))
    images = tuple(found(path, file.path, data) for path in study.images)
    paths = Paths(images, study.limit, tuple(good["mask"]), tuple(good["kernel"]))
    try:
        inputs = read_inputs(paths)
    except ArgumentError as error:
        file.report(("images",), str(error))
        return None, paths
    return inputs, replace(paths, digest=inputs.digest)


def _stand_in(priors: dict[str, FlowPrior]) -> Inputs:
    """Return an image to look for combinations without meaning on, where those of the study are missing."""
    sizes = [prior.config.size for prior in priors.values() if prior.config.size is not None]
    return Inputs(np.full((1, 3, *(sizes[0] if sizes else ANY_SIZE)), 0.5, dtype=np.float32), ["stand-in"])


def _source(label: str, file: StudyFile, data: Path | None) -> str:
    """Return what `flowsolve.load_prior` takes for a prior of the study."""
    if not label.endswith(WEIGHTS):
        return label
    raw = RAW if label.startswith(RAW) else ""
    return raw + found(label.removeprefix(RAW), file.path, data)


def _priors(file: StudyFile, inputs: Inputs | None, data: Path | None) -> dict[str, FlowPrior]:
    """Return the priors that fit the images; the others are reported where they are asked for."""
    loaded: dict[str, FlowPrior] = {}
    wrong: dict[str, str] = {}
    for index, block in enumerate(file.study.cells):
        for number, label in enumerate(block.prior):
            if label not in loaded and label not in wrong:
                try:
                    loaded[label] = _fitting(label, _source(label, file, data), inputs)
                except (FlowsolveError, OSError) as error:
                    wrong[label] = str(error)
            if label in wrong:
                file.report(("cells", index, "prior", number), wrong[label])
    return loaded


def _fitting(label: str, source: str, inputs: Inputs | None) -> FlowPrior:
    """Return a prior, having asked whether it takes the images, where there are any."""
    prior = kept_prior(source, "cpu", "float32")
    if inputs is None:
        return prior
    config = prior.config
    _, channels, height, width = inputs.x.shape
    if config.channels != channels:
        raise ArgumentError("prior", f"{label!r}, of {config.channels} channels", "a prior of RGB images")
    if config.size is not None and config.size != (height, width):
        given = f"{label!r}, for images of {config.size[1]}x{config.size[0]}"
        raise ArgumentError("prior", given, f"one that takes the study's images of {width}x{height}")
    return prior


def _cells(
    file: StudyFile, inputs: Inputs, priors: dict[str, FlowPrior]
) -> tuple[list[Cell], list[dict[str, Any]]]:
    """Return the cells that can run, and what is left out; where nothing may be, that is reported."""
    study = file.study
    cells: dict[str, Cell] = {}
    refused: dict[tuple[Place, str], list[Refusal]] = {}
    compatibility, digest = Compatibility(inputs), inputs.digest
    for candidate in _without_idle_seeds(candidates(study, inputs.names), compatibility):
        cell = candidate.cell
        if cell.prior not in priors or not _files_are_there(cell, inputs):
            # Told already, at the line of the file that is missing.
            continue
        refusal = compatibility.refusal(cell)
        if refusal is None:
            cell = cell.identified(_data(study, digest, priors[cell.prior]))
            cells.setdefault(cell.id, cell)
        else:
            refused.setdefault((candidate.places[refusal.key], refusal.why), []).append(refusal)
    left_out = []
    for (place, why), same in refused.items():
        others = len({refusal.what for refusal in same}) - 1
        also = f" (and {others} more combinations)" if others > 1 else " (and one more)" if others else ""
        reason = f"{same[0].what}{also}: {why}"
        left_out.append({"line": file.line(place), "reason": reason, "cells": len(same)})
        if not study.skip_impossible:
            file.report(place, reason)
    if not cells and not file.problems:
        file.report(("cells",), "no combination is left that has a meaning")
    return list(cells.values()), left_out


def _files_are_there(cell: Cell, inputs: Inputs) -> bool:
    arrays = {"mask": inputs.masks, "kernel": inputs.kernels}
    return all(cell.operator[option] in arrays[option] for option in READERS if option in cell.operator)


def _without_idle_seeds(found: Iterator[Candidate], compatibility: Compatibility) -> Iterator[Candidate]:
    """Leave out the repetitions of a start that comes out the same with every seed."""
    first: dict[str, int] = {}
    for candidate in found:
        cell = candidate.cell
        alike = json.dumps({**cell.to_dict(), "seed": None}, sort_keys=True, default=str)
        seed = first.setdefault(alike, cell.seed)
        if seed == cell.seed or compatibility.uses_seed(cell, seed):
            yield candidate


def _data(study: Study, digest: str, prior: FlowPrior) -> dict[str, Any]:
    """Return what the numbers of a cell depend on besides its parameters."""
    compute = study.compute
    return {
        "inputs": digest,
        "prior": prior.sha256,
        "dtype": compute.dtype,
        "device": compute.device,
        "threads": compute.threads,
    }
