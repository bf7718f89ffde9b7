"""The report's page: one file with its data, scripts and styles in it, which asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files import target, write_atomically
from ..studies.extras import require
from ..studies.index import read_index
from .data import report_data, to_json
from .gallery import ROOM

#: Scripts in the order in which they stand in the page.
SCRIPTS = ("dom", "data", "filters", "overview", "charts", "gallery", "table", "main")


def write_report(
    paths: Sequence[str | Path], out: str | Path, *, title: str | None = None, room: int = ROOM
) -> Path:
    """Write the report of studies, folders of records or records.

    Parameters
    ----------
    paths : sequence of path
        What `flowsolve.studies.index.read_index` takes.
    out : path
        The HTML file; replaced if it exists. Its folder must exist.
    title : str, optional
        Title; by default the name of the folder or record.
    room : int
        Most bytes of its pictures, 0 for none.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ArgumentError
        If a path does not exist, there is no record, or `out` cannot be a report.
    RecordError
        If a record that was named itself cannot be read.
    UnsupportedError
        If the extras ``study`` and ``report`` are not installed.
    """
    out = Path(out)
    if out.is_dir() or not out.parent.is_dir():
        raise ArgumentError("out", out, "a file in a folder that exists")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError("out", out, "a file whose name ends in .html")
    target(out, "out")
    index = read_index(paths)
    if not (index.runs or index.failed or index.waiting):
        given = ", ".join(str(path) for path in paths)
        raise ArgumentError("paths", f"{given}, with no record", "a study, records, or folders of records")
    data = report_data(index, title=title or title_of(paths), room=room)
    write_atomically(out, render_page(data).encode("utf-8"), "out")
    return out


def title_of(paths: Sequence[str | Path]) -> str:
    """Return a title for the report of some paths: the name of the first, and how many more."""
    first = Path(paths[0]).resolve()
    name = first.parent.name if first.name == "run.h5" else first.stem if first.is_file() else first.name
    return name if len(paths) == 1 else f"{name} and {len(paths) - 1} more"


def render_page(data: dict[str, Any], *, live: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    data : dict
        Of `flowsolve.report.data.report_data`.
    live : bool
        Whether the page asks the server it came from for newer data.

    Returns
    -------
    str
        HTML. Everything that a name or a message says stands in it as data, escaped.

    Raises
    ------
    UnsupportedError
        If Jinja2 or Plotly is not installed (extra ``report``).
    """
    jinja2, plotly = (require(name, "report,study") for name in ("jinja2", "plotly.offline"))
    templates = resources.files(__package__) / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    safe = jinja2.utils.markupsafe.Markup
    code = plotly.get_plotlyjs()
    parts = (templates.joinpath("script", f"{name}.js") for name in SCRIPTS)
    script = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return str(
        environment.get_template("report.html.j2").render(
            title=data["title"],
            live=live,
            policy=content_policy([code, script], live=live),
            style=safe((templates / "style.css").read_text(encoding="utf-8")),
            data=safe(escape_script(to_json(data))),
            plotly=safe(code),
            script=safe(script),
        )
    )


def content_policy(scripts: Sequence[str], *, live: bool) -> str:
    """Return the Content-Security-Policy: these scripts by their SHA-256 and no others, no network.

    Plotly sets styles on what it draws; images are pictures in the page and Plotly's own downloads.
    """
    hashes = [base64.b64encode(hashlib.sha256(s.encode("utf-8")).digest()).decode() for s in scripts]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def escape_script(text: str) -> str:
    """Return JSON that cannot end the script element it stands in, nor open a comment."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
