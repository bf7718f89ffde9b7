"""What is printed on standard output: tables for people, one JSON object for programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..infinite import deviation, difference
from ..terminal import console, plain
from ..words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recording import RunRecord
    from ..recording.resume import Repetition
    from ..report.compare import Comparison
    from .pipeline import Outcomes

#: Most images that ``show`` lists one by one.
LISTED = 20


def print_names(kind: str, names: dict[str, str]) -> None:
    """Print names with their one-line summaries."""
    table = Table("name", "what it is", title=kind, title_justify="left", box=None, pad_edge=False)
    for name, text in names.items():
        table.add_row(Text(plain(name), style="bold"), text)
    console().print(table)


def print_outcome(outcomes: Outcomes, *, as_json: bool) -> None:
    """Print the outcome of a request, as tables or as one JSON object."""
    from .files import summary

    if as_json:
        print(json.dumps(summary(outcomes), allow_nan=False))
        return
    said, out = summary(outcomes), console()
    method = outcomes.parts[0].result.method
    for line in [] if method is None else method.in_words():
        out.print(line, style="dim")
    ends = ", ".join(f"{count} {status}" for status, count in said["status"].items())
    if said["psnr_mean"] is not None:
        out.print(_quality_table(outcomes, said))
    values = np.concatenate([part.result.value for part in outcomes.parts])
    out.print(
        f"objective {number(np.mean(values), '.6g')}, "
        f"{said['iterations_mean']:.0f} iterations and "
        f"{said['evaluations_mean']:.0f} evaluations an image, {said['seconds']:.1f} s; {ends}"
    )
    for line in said["notes"]:
        out.print(line, style="bold" if " dB " in line else None)
    files = [f for p in outcomes.parts for f in (p.folder.record, p.folder.figure) if f.exists()]
    written = ", ".join([*(file.name for file in files), "summary.json", "restored/"])
    out.print(f"written to {outcomes.folder.path}: {written}", soft_wrap=True)


def _quality_table(outcomes: Outcomes, said: dict[str, Any]) -> Table:
    """Return the quality of what was restored and of the classical restorations, over all images."""
    from ..metrics import registry
    from .files import quality_of_all

    n = said["n_images"]
    table = Table(title=f"{said['task']}, sigma {said['sigma']:g}, {n} image{'s' if n > 1 else ''}")
    further = [registry.get(name) for name in said["metrics"] if name not in ("psnr", "ssim")]
    for heading in ("", "PSNR (dB)", "± std", "SSIM", *(metric.heading for metric in further)):
        table.add_column(heading, justify="left" if not heading else "right")
    ours = {f"flow: {said['formulation']} {said['phi']}, {said['solver']}": quality_of_all(outcomes)}
    rows = ours | {name: quality_of_all(outcomes, name) for name in said["baseline"]}
    for place, (name, values) in enumerate(rows.items()):
        # Of some sizes a restoration may have failed.
        if not values:
            continue
        cells = [number(np.mean(values["psnr"])), number(deviation(values["psnr"]))]
        cells.append(number(np.mean(values["ssim"]), ".4f"))
        cells += [number(np.mean(values[metric.name]), ".4g") for metric in further]
        table.add_row(name, *cells, style="bold" if place == 0 else None, end_section=place == 0)
    return table


def print_outcomes_json(outcomes: list[Outcomes]) -> None:
    """Print one JSON object with the outcome of each run under the name of its folder."""
    from .files import summary

    print(json.dumps({o.request.out.name: summary(o) for o in outcomes}, allow_nan=False))


def print_record(record: RunRecord) -> None:
    """Print what a record says of its run."""
    out, config = console(), record.config
    out.print(Text.assemble((plain(record.path), "bold"), f": {record.status}"), soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _settings(record).items():
        table.add_row(name, text)
    out.print(table)
    if "value" not in record.trace or not len(record.trace["value"]):
        out.print("no iteration has been recorded yet")
        return
    ends = ", ".join(f"{count} {status}" for status, count in Counter(_statuses(record)).items())
    seconds = float(np.max(record.trace["seconds"][-1]))
    out.print(f"after {len(record.trace['value']) - 1} iterations, {seconds:.1f} s: {ends}\n")
    out.print(_images_table(record))
    n = config["n_images"]
    if n > LISTED:
        out.print(f"the first {LISTED} of {n} images; the means are of all")
    for line in _beside(record):
        out.print(line, soft_wrap=True)


def print_comparison(compared: Sequence[Comparison], axis: str) -> None:
    """Print where runs stand at their end and at the largest cost that all of them reached."""
    common = min(float(run.cost[-1]) for run in compared)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("run", overflow="fold", min_width=12)
    for heading in ("status", axis, "F", "PSNR", f"F at {common:.4g}", f"PSNR at {common:.4g}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in compared:
        psnr = "" if run.psnr is None else number(run.psnr[-1])
        common_psnr = "" if run.at_common[1] is None else number(run.at_common[1])
        ends = (run.status, f"{run.cost[-1]:.4g}", f"{run.value[-1]:.6g}", psnr)
        table.add_row(run.label, *ends, f"{run.at_common[0]:.6g}", common_psnr)
    console().print(table)


def print_repetition(repetition: Repetition) -> None:
    """Print whether a repeated run agreed with its record, and what has changed since."""
    out, (then, now) = console(), repetition.iterations
    if repetition.identical:
        out.print(f"identical: {now} iterations agree bit by bit with the {then} recorded")
    else:
        out.print(f"different: {then} iterations recorded, {now} now")
        for name, difference in repetition.differences.items():
            out.print(f"  {name}: largest relative difference {difference:.3g}")
    for package, (old, new) in repetition.versions.items():
        out.print(f"  {package}: version {old} then, {new} now")


def _weight(lam: float | list[float]) -> str:
    """Return one weight, or from where to where the weights of the images go."""
    return f"{min(lam):g} to {max(lam):g}" if isinstance(lam, list) else f"{lam:g}"


def _settings(record: RunRecord) -> dict[str, str]:
    config = record.config
    objective, operator = config["objective"], config["operator"]
    lam = objective["lam_value"]
    attributes = {str(k): str(v) for k, v in record.attributes.items()}
    version = attributes.get("flowsolve_version", "?")
    details = {k: v for k, v in operator.items() if k != "name"}
    options = ", ".join(f"{k}={v}" for k, v in config["solver"]["options"].items())
    return {
        "created": f"{attributes.get('created', '?')} by flowsolve {version}",
        "operator": f"{operator['name']} {_brief(details)}",
        "noise": f"sigma {config['noise']['sigma']:g}",
        "prior": _prior_in_words(config["prior"]),
        **_settings_of_method(record),
        "objective": f"{objective['formulation']}, phi {objective['phi']}, "
        + ("hard constraint Ax = y" if lam is None else f"lam {_weight(lam)}")
        + ("" if objective.get("has_value", True) else "; F has no value, its fixed point is sought"),
        "solver": f"{config['solver']['name']} ({options})",
        "start": f"{config['initialiser']['name']}, seed {config['initialiser']['seed']}",
        "limits": ", ".join(f"{k} {v}" for k, v in config["limits"].items() if v is not None),
        "computed": f"{config['dtype']} on {config['device']}",
    }


def _prior_in_words(described: dict[str, Any]) -> str:
    """Return name, kind where it is no flow, and hash of a prior."""
    kind = described.get("kind", "flow")
    level = "" if described.get("sigma") is None else f" at sigma {described['sigma']:g}"
    what = "" if kind == "flow" else f"{kind}{level}, "
    return f"{described['name']} ({what}sha256 {described['sha256'][:12]}…)"


def _settings_of_method(record: RunRecord) -> dict[str, str]:
    """Return what a method is; nothing for a run of one solver."""
    from ..methods.base import KEYS, Method

    if record.method is None:
        return {}
    method = Method.from_json({key: record.method[key] for key in KEYS})
    stages = {f"stage {k}": text.partition(" ")[2] for k, text in enumerate(method.in_words(), 1)}
    going = f"{record.method['stage'] + 1} of {len(method.stages)}"
    return {"method": f"{method.name}: {method.reason}".removesuffix(": "), **stages, "at stage": going}


def _beside(record: RunRecord) -> list[str]:
    """Return lines on what the record says of its outcome, and on the classical restorations beside it."""
    from ..baselines import ORACLES
    from ..recording.classical import classical_psnr, restored_psnr

    lines = [plain(note) for note in record.outcome.get("notes", ())]
    means = {name: float(np.mean(psnr)) for name, psnr in classical_psnr(record).items()}
    if not means:
        return lines
    lines.append(
        "classical restorations: "
        + ", ".join(
            f"{plain(name)} {number(db)} dB" + " (has seen the truth)" * (name in ORACLES)
            for name, db in means.items()
        )
    )
    restored, fair = restored_psnr(record), [name for name in means if name not in ORACLES]
    if restored is None or not fair:
        return lines
    ours, best = float(np.mean(restored)), fair[0]
    apart = float(difference(ours, means[best]))
    lines.append(
        f"restored: {number(ours)} dB, {number(abs(apart))} dB {'above' if apart >= 0 else 'BELOW'} "
        f"the best of them, {plain(best)}"
    )
    return lines


def _brief(details: dict[str, Any]) -> str:
    """Return options of an operator on one line, arrays by their shape."""

    def word(value: Any) -> str:
        if isinstance(value, dict) and "data" in value and "shape" in value:
            shape = value["shape"]
            return f"array {tuple(shape) if isinstance(shape, list) else shape}"
        return str(value)

    return ", ".join(f"{k}={word(v)}" for k, v in details.items())


def _statuses(record: RunRecord) -> list[str]:
    texts = [s.decode() if isinstance(s, bytes) else str(s) for s in record.final["status"]]
    return [text or "running" for text in texts]


def _has_value(record: RunRecord) -> bool:
    """Return whether F of a record has a value, and not only a fixed point."""
    return bool(record.config["objective"].get("has_value", True))


def _images_table(record: RunRecord) -> Table:
    from ..recording.classical import restored_psnr
    from ..recording.earlier import values_of_last_stage
    from ..recording.schema import metric_columns

    trace, n = record.trace, record.config["n_images"]
    # Of a method the last stage: F of different stages are different functions.
    value = values_of_last_stage(trace)
    value = value[np.isfinite(value).any(axis=1).argmax() :]
    last = len(trace["value"]) - 1
    statuses = _statuses(record)
    if _has_value(record):
        best = len(trace["value"]) - len(value) + np.nanargmin(value, axis=0)
        columns: dict[str, np.ndarray] = {"F: start": value[0], "lowest": np.nanmin(value, axis=0)}
    else:
        best = np.full(n, last)
        columns = {"residual: first": trace["residual"][min(1, last)], "last": trace["residual"][last]}
    columns["evals"] = trace["evaluations"][last]
    if "psnr" in trace:
        columns["dB: start"] = trace["psnr"][0]
        columns["at lowest" if _has_value(record) else "at end"] = trace["psnr"][best, np.arange(n)]
        columns["highest"] = np.nanmax(trace["psnr"], axis=0)
        restored = restored_psnr(record) if record.method is not None else None
        if restored is not None:
            # Neither the lowest F nor the last iteration, where a stage keeps another or a guard steps in.
            columns["kept"] = restored
    for name in metric_columns(record.config):
        if name != "psnr" and name in trace:
            columns[f"{name}: start"] = trace[name][0]
            columns[f"{name} at lowest"] = trace[name][best, np.arange(n)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("image", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for i in range(min(n, LISTED)):
        table.add_row(str(i), statuses[i], *(_cell(name, values[i]) for name, values in columns.items()))
    table.add_section()
    means = [_cell(name, np.mean(values)) for name, values in columns.items()]
    table.add_row("mean", "", *means, style="bold")
    return table


def _cell(heading: str, value: float) -> str:
    if heading in ("dB: start", "at lowest", "at end", "highest", "kept"):
        return number(value)
    return number(value, ".5g")
