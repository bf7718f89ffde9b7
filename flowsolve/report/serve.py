"""The report of a folder as a page on this machine, which follows the runs while they go on."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FlowsolveError
from ..studies.index import Index, read_index
from .data import report_data, to_json
from .gallery import ROOM
from .page import render_page, title_of

#: Only this machine can ask.
HOST = "127.0.0.1"

#: Names by which a browser here may call it; others are refused, so that no page elsewhere can read it by
#: having its own name lead here.
NAMES = ("127.0.0.1", "localhost")

#: Seconds of rest for each second that reading the runs took: they are computed on the same machine.
REST = 4.0


class ReportServer(http.server.ThreadingHTTPServer):
    """A server of one report, bound to the loopback address.

    ``/`` is the page; ``/data.json`` its data, or 304 where nothing has changed since the ``ETag`` that was
    asked about. Data are read anew when a file below the paths has changed, though not all the time.

    Parameters
    ----------
    paths : sequence of path
        What `flowsolve.studies.index.read_index` takes.
    port : int
        Port; 0 for any that is free.
    title : str, optional
        Title of the report.
    room : int
        Most bytes of its pictures.
    clock : callable
        Seconds since some moment.

    Raises
    ------
    ArgumentError
        If a path does not exist, or the port is taken or no port.
    """

    daemon_threads = True

    def __init__(
        self,
        paths: Sequence[str | Path],
        port: int = 0,
        *,
        title: str | None = None,
        room: int = ROOM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paths, self.room = [Path(path) for path in paths], room
        self.title = title or title_of(self.paths)
        self._lock = threading.Lock()
        self._clock, self._next = clock, -float("inf")
        self._stamp = ""
        self._index: Index | None = None
        self._data: dict[str, Any] = {}
        self.refresh()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ArgumentError("port", f"{port} ({error})", "a free port from 0 to 65535") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def refresh(self) -> tuple[str, dict[str, Any]]:
        """Return a digest of what the data depend on, and the data, read anew where files have changed."""
        with self._lock:
            began = self._clock()
            if began >= self._next and (stamp := _stamp(self.paths)) != self._stamp:
                self._index = read_index(self.paths, previous=self._index)
                self._data = {**report_data(self._index, title=self.title, room=self.room), "stamp": stamp}
                self._stamp = stamp
                ended = self._clock()
                self._next = ended + REST * (ended - began)
            return self._stamp, self._data

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away before it had all of the page."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ReportServer
    server_version = "flowsolve"
    sys_version = ""

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in NAMES:
            self.send_error(403, "this server answers on this machine only")
        elif self.path not in ("/", "/data.json"):
            self.send_error(404)
        else:
            self._answer()

    def _answer(self) -> None:
        try:
            stamp, data = self.server.refresh()
        except FlowsolveError as error:
            # A record that is being replaced at this moment; the page asks again.
            self.send_error(503, explain=str(error))
            return
        tag = f'"{stamp}"'
        if self.path != "/" and self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
            return
        page = self.path == "/"
        body = (render_page(data, live=True) if page else to_json(data)).encode("utf-8")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to whoever started it."""


def _stamp(paths: Sequence[Path]) -> str:
    """Return what changes when a file below the paths does: names, sizes and times."""
    files = sorted(
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in (".h5", ".json")
    )
    about = [(str(file), status.st_size, status.st_mtime_ns) for file in files if (status := _status(file))]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _status(file: Path) -> Any:
    try:
        return file.stat()
    except FileNotFoundError:
        return None
