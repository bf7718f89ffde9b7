"""A foreign loop that runs in a thread of its own and stops wherever it needs a value.

Other libraries own their loops: they call the objective, and give nothing back until they are done. Here each
image's loop runs in a thread that waits whenever it asks for something. The driver looks at what all images
of a batch wait for and answers them together, in one pass through the flow. The exchange goes by turns: what
is computed does not depend on how threads are scheduled.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import torch

from ...objectives.evaluation import Evaluation

#: Points whose evaluations are kept for each image: more than a library's line search tries.
REMEMBERED = 32

IDLE = 20
"""Iterations in a row without a new question after which a loop is stuck: it no longer moves."""

REPEATS = 10_000
"""Known answers in one turn after which a loop is stuck, in a search that cannot end."""


class Closed(BaseException):
    """Raised inside a foreign loop that is to end; no library catches it, as it is not an `Exception`."""


@dataclass
class Ask:
    """What a foreign loop waits for: ``evaluate``, ``product``, ``prox``, or to go on after an ``iterate``.

    Attributes
    ----------
    kind : str
        One of those names.
    arguments : tuple of torch.Tensor or float
        Point, vector or step of one image.
    gradient : bool
        Whether an evaluation needs the gradient.
    """

    kind: str
    arguments: tuple[Any, ...]
    gradient: bool = True


@dataclass
class Ended:
    """The last message of a foreign loop: a status, with the exception where there was one."""

    status: str
    error: BaseException | None = None


@dataclass
class Channel:
    """The two queues between a foreign loop and the driver."""

    asks: SimpleQueue = field(default_factory=SimpleQueue)
    answers: SimpleQueue = field(default_factory=SimpleQueue)
    closed: bool = False

    def close(self) -> None:
        """Have the foreign loop end at its next question."""
        self.closed = True
        self.answers.put(None)


class Oracle:
    """What a foreign loop sees of the objective of its image.

    Attributes
    ----------
    start : torch.Tensor
        Where to begin, of the shape of one image's variable.
    """

    def __init__(self, channel: Channel, start: torch.Tensor) -> None:
        self._channel, self.start = channel, start

    def evaluate(self, point: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return the evaluation at a point, every field with one row; the thread waits for it."""
        return self._wait(Ask("evaluate", (point,), gradient))

    def product(self, point: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """Return the Hessian at a point times a vector."""
        return self._wait(Ask("product", (point, vector)))

    def prox(self, point: torch.Tensor, tau: float) -> torch.Tensor:
        """Return the proximal step of the non-smooth part."""
        return self._wait(Ask("prox", (point, float(tau))))

    def iterate(self, point: torch.Tensor, residual: float | None = None) -> None:
        """Say that an iteration has ended at `point`; returns when the next one is asked for.

        Parameters
        ----------
        point : torch.Tensor
            The new iterate.
        residual : float, optional
            Norm that tells how far it is from stationary, where that is not the gradient's.
        """
        self._wait(Ask("iterate", (point, residual)))

    def _wait(self, ask: Ask) -> Any:
        if not self._channel.closed:
            self._channel.asks.put(ask)
            answer = self._channel.answers.get()
        if self._channel.closed:
            raise Closed
        return answer


class Worker:
    """The foreign loop of one image, seen from the driver.

    Its thread ends when the loop does, when it is closed, and when nobody holds the worker any more.

    Parameters
    ----------
    minimise : callable
        ``minimise(oracle) -> bool``: the foreign loop; returns whether it converged.
    start : torch.Tensor
        Where it begins.
    evaluation : Evaluation
        The objective there, one row, so that it is not computed twice.
    iterate_gradient : bool
        Whether iterates need their gradient.

    Attributes
    ----------
    iterate : Ask or None
        The iterate of the current turn, once there is one.
    ended : str
        Status with which the loop ended, or "".
    error : BaseException or None
        What it raised.
    answered : int
        Questions that were not answered from memory.
    idle : int
        Turns up to now, in a row, in which there were none; see `rest`.
    """

    def __init__(
        self,
        minimise: Callable[[Oracle], bool],
        start: torch.Tensor,
        evaluation: Evaluation,
        *,
        iterate_gradient: bool = True,
    ) -> None:
        self._iterate_gradient = iterate_gradient
        self.iterate: Ask | None = None
        self.ended, self.answered = "", 0
        self.idle, self._answered_before = 0, 0
        self.error: BaseException | None = None
        self._message: Ask | Ended | None = None
        self._known = deque([(start, evaluation)], REMEMBERED)
        self._channel = Channel()
        # The loop gets a copy of the start, as it may work in place on it. A daemon, so that a library that
        # never asks again cannot keep the program from ending.
        self._thread = threading.Thread(
            target=_work,
            args=(self._channel, minimise, start.clone()),
            name="flowsolve-external",
            daemon=True,
        )
        weakref.finalize(self, self._channel.close)

    def run(self) -> Ask | None:
        """Let the loop go on to the first question that memory cannot answer, or to the end of its turn.

        A turn ends with an iterate. What follows is looked at up to the next question, so that a loop that
        stops after an iterate has ended in the same turn.

        Returns
        -------
        Ask or None
            The question, to be answered by `remember` or `reply`; None at the end of the turn.
        """
        for _ in range(REPEATS):
            if self.ended:
                return None
            message = self._next()
            if isinstance(message, Ended):
                self.ended, self.error = message.status, message.error
                return None
            if self.iterate is not None and message.kind != "evaluate":
                return None
            known = self.recall(message)
            if message.kind == "iterate" and known is not None:
                self.iterate = message
                self._send(None)
            elif message.kind == "evaluate" and known is not None:
                self._send(known)
            else:
                return message if self.iterate is None else None
        self.end("stalled")
        return None

    def rest(self) -> None:
        """End a turn, and the loop with it that for `IDLE` turns has asked for nothing new: it is stuck."""
        self.idle = self.idle + 1 if self.answered == self._answered_before else 0
        self._answered_before = self.answered
        if self.idle >= IDLE and not self.ended:
            self.end("stalled")

    def recall(self, ask: Ask) -> Evaluation | None:
        """Return the evaluation at the point of a question, if it is known with all it asks for."""
        point = ask.arguments[0]
        for other, evaluation in self._known:
            if (other is point or torch.equal(other, point)) and not (
                ask.gradient and evaluation.grad is None
            ):
                return evaluation
        return None

    def remember(self, ask: Ask, evaluation: Evaluation) -> None:
        """Keep the evaluation that a question asked for; `run` then answers from memory."""
        self._known.appendleft((ask.arguments[0], evaluation))
        self.answered += 1

    def reply(self, answer: torch.Tensor) -> None:
        """Answer a question that is not for an evaluation."""
        self.answered += 1
        self._send(answer)

    def lowest(self) -> tuple[torch.Tensor, Evaluation]:
        """Return the known point of the lowest finite value."""
        finite = [known for known in self._known if bool(torch.isfinite(known[1].value))]
        return min(finite or self._known, key=lambda known: float(known[1].value))

    def end(self, status: str) -> None:
        """End the loop from outside, without waiting for its thread."""
        self.ended = status
        self._channel.close()

    def join(self, seconds: float = 5.0) -> None:
        """Wait for the thread of a loop that has ended."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _next(self) -> Ask | Ended:
        if self._message is None:
            if self._thread.ident is None:
                self._thread.start()
            message = self._channel.asks.get()
            if isinstance(message, Ask) and message.kind == "iterate":
                message.gradient = self._iterate_gradient
            self._message = message
        return self._message

    def _send(self, answer: Any) -> None:
        self._message = None
        self._channel.answers.put(answer)


def _work(channel: Channel, minimise: Callable[[Oracle], bool], start: torch.Tensor) -> None:
    """Body of a worker's thread; it knows the channel but not the worker, which may then be forgotten."""
    try:
        status = "converged" if minimise(Oracle(channel, start)) else "stalled"
        message = Ended(status)
    except Closed:
        return
    except BaseException as error:
        message = Ended("stalled", error)
    channel.asks.put(message)
