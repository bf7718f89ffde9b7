"""Cells on Dask distributed: a cluster on this machine, or one that is there already.

Dask brings cells to workers, gives those of a worker that dies to another one, and starts a local worker
anew. A cell's record lies in the study's folder, which all workers share, so it goes on where it was.
"""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import __version__
from ..errors import ArgumentError, FlowsolveError
from .cell import Outcome, Work, run_cell
from .extras import require
from .folder import StudyFolder
from .inputs import Inputs, Paths

#: Seconds within which a scheduler has to answer.
PATIENCE = 5.0

#: How often a cell may take its worker with it before it counts as failed.
DEATHS = 3

LOOPBACK = "127.0.0.1"

ADDRESS = "the address of a running Dask scheduler, for example tcp://127.0.0.1:8786"


class Cluster:
    """Carries out cells through a Dask client; see `flowsolve.studies.running.Executor`.

    Parameters
    ----------
    client : distributed.Client
        The client.
    name : str
        What to call the cluster in messages.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    @property
    def workers(self) -> int:
        """Number of cells that run at a time, as many as all workers have threads."""
        return sum(self.client.nthreads().values())

    def carry_out(
        self, works: list[Work], inputs: Paths | Inputs, began: Callable[[str], None]
    ) -> Iterator[Outcome]:
        """Run cells on the cluster.

        Raises
        ------
        FlowsolveError
            If the scheduler is lost.
        """
        if not works:
            return
        distributed, client = require("distributed"), self.client
        # Keys are new each time: of an earlier study a worker may still be busy with a cell.
        batch = f"flowsolve-{uuid.uuid4().hex}"
        client.subscribe_topic(batch, lambda event: began(event[1]["began"]))
        try:
            if isinstance(inputs, Inputs):
                # As a task, and not scattered: what a dead worker held is made again.
                inputs = client.submit(_same, inputs, key=f"{batch}-inputs", pure=False)
            # In one graph: the scheduler then knows them for many alike, and keeps those that wait to itself.
            keys = [(batch, i) for i in range(len(works))]
            futures = client.map(_on_worker, works, key=keys, inputs=inputs, topic=batch, pure=False)
            cells = {future.key: work for future, work in zip(futures, works, strict=True)}
            for future in distributed.as_completed(futures):
                yield self._outcome(future, cells[future.key])
                future.release()
        finally:
            # The client may be gone with its scheduler.
            if client.status == "running":
                client.unsubscribe_topic(batch)

    def _outcome(self, future: Any, work: Work) -> Outcome:
        """Return how a cell ended, of one that took its worker with it too."""
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        if future.status in ("cancelled", "lost"):
            raise FlowsolveError(
                f"scheduler: {self.name} was lost; the same command goes on with the study once one is there"
            )
        error = future.exception()
        message = str(error)
        if type(error).__name__ == "KilledWorker":
            message = f"its worker died {DEATHS + 1} times while it ran, perhaps for lack of memory"
        failure = StudyFolder(work.folder).write_failure(work.cell.id, type(error).__name__, message)
        return Outcome(work.cell.id, failure=failure)


@contextmanager
def local_cluster(workers: int) -> Iterator[Cluster]:
    """Start workers on this machine, each a process with one thread, reachable from this machine alone.

    Parameters
    ----------
    workers : int
        How many.

    Raises
    ------
    ArgumentError
        If it is not a number >= 1.
    UnsupportedError
        If Dask distributed is not installed.
    """
    if workers < 1:
        raise ArgumentError("workers", workers, "an integer >= 1")
    distributed, dask = require("distributed"), require("dask")
    environment = dask.config.get("distributed.nanny.pre-spawn-environ")
    settings = {
        # Dask lets the C library give back memory at once: a flow's gradient would pay for that with half its
        # time again, in pages that are handed out and cleared anew.
        "distributed.nanny.pre-spawn-environ": {
            name: value for name, value in environment.items() if not name.startswith("MALLOC_")
        },
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.allowed-failures": DEATHS,
        # No cell waits at a worker that may die: its death would count for that cell too.
        "distributed.scheduler.worker-saturation": 1.0,
    }
    # Every socket on this machine's own address, also that of the pages which Dask serves about itself.
    here = {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0", "dashboard": False}
    worker = {
        "cls": distributed.Nanny,
        # The nanny would kill a worker that needs more than its share of the memory.
        "options": here | {"nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL},
    }
    scheduler = {"cls": distributed.Scheduler, "options": here | {"port": 0}}
    with (
        _quiet(),
        dask.config.set(settings),
        distributed.SpecCluster(
            workers=dict.fromkeys(range(workers), worker), scheduler=scheduler, silence_logs=logging.CRITICAL
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Cluster(client, "the local cluster")


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Use a scheduler that is running.

    Parameters
    ----------
    address : str
        Its address, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.

    Raises
    ------
    ArgumentError
        If it cannot be reached, or its workers lack this version of flowsolve.
    UnsupportedError
        If Dask distributed is not installed.
    """
    distributed = require("distributed")
    with _quiet():
        try:
            _knock(address)
            client = distributed.Client(address, timeout=PATIENCE)
        except (OSError, ValueError, TypeError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
            given = f"{address}, which cannot be reached ({reason[:120]})"
            raise ArgumentError("scheduler", given, ADDRESS) from None
        with client:
            _check_workers(client, address)
            yield Cluster(client, address)


def _knock(address: str) -> None:
    """Open a connection and close it: where nobody listens, Dask would go on trying for seconds."""
    scheme, _, place = address.partition("://")
    if scheme in ("tcp", "tls"):
        from distributed.comm.addressing import parse_host_port

        with socket.create_connection(parse_host_port(place), timeout=PATIENCE):
            pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Dask log nothing but disasters: what matters of it is told in other words."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    levels = {name: logging.getLogger(name).level for name in ["distributed", *names]}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers that lack this package, as far as they are there."""
    accepted = f"a scheduler whose workers have flowsolve {__version__} installed"
    for worker, found in client.run(_version, on_error="return").items():
        if found != __version__:
            what = f"flowsolve {found}" if isinstance(found, str) else "no flowsolve that can be imported"
            raise ArgumentError("scheduler", f"{address}, whose worker {worker} has {what}", accepted)


def _version() -> str:
    import flowsolve

    return flowsolve.__version__


def _same(inputs: Inputs) -> Inputs:
    return inputs


def _on_worker(work: Work, inputs: Paths | Inputs, topic: str) -> Outcome:
    """Run a cell on a worker, saying when it begins."""
    require("distributed").get_worker().log_event(topic, {"began": work.cell.id})
    return run_cell(work, inputs)
