"""Options of commands that are about a problem: its task with the task's own options, and its noise.

A task declares its options; any of them is ``--task-option NAME=VALUE``, and those of the tasks that come
with the package are also options of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ..errors import ArgumentError

Task = Annotated[
    str,
    typer.Option(
        help="deblur, super-resolution, inpaint-random, inpaint-box, denoise, ... (see `list tasks`)."
    ),
]
TaskOrNone = Annotated[str | None, typer.Option("--task", help="Task (see `list tasks`), or --operator.")]
Operator = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Instead of a task any operator (see `list operators`), or a .json or .toml file of its config.",
    ),
]
OperatorOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--operator-option",
        metavar="KEY=VALUE",
        help="Option of the operator (see `list operators NAME`), such as angles=60; arrays as .npy files.",
    ),
]
TaskOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--task-option",
        metavar="NAME=VALUE",
        help="Option of the task (see `list tasks TASK`); of a file, its name; repeatable.",
    ),
]
Factor = Annotated[int | None, typer.Option(help="Factor of super-resolution (2).")]
KernelSize = Annotated[int | None, typer.Option(help="Side of the uniform blur (7).")]
Missing = Annotated[float | None, typer.Option(help="Fraction of missing pixels (0.6).")]
Box = Annotated[int | None, typer.Option(help="Side of the hole (21).")]
MaskFile = Annotated[
    str | None,
    typer.Option(
        help="Mask: an image, bright where measured, a .npy file, or alpha: where images are opaque."
    ),
]
KernelFile = Annotated[str | None, typer.Option("--kernel", help="Blur kernel: an image or a .npy file.")]
KernelScale = Annotated[
    str | None, typer.Option(help="For a kernel whose sum is not 1: normalise (divide by it) or as-is.")
]
Boundary = Annotated[
    str | None,
    typer.Option(
        help="Beyond the edge of a blur: circular, zero, reflect, replicate, or crop (an image larger than "
        "what was measured; usual for --measured)."
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(metavar="MODEL:PARAMETER=NUMBER", help="Noise, such as poisson:peak=30 (see `list noise`)."),
]


OWN = ("factor", "kernel_size", "missing", "box", "mask", "kernel", "kernel_scale", "boundary")
"""Options of tasks that are options of their own."""


def task_options(pairs: Sequence[str] | None, **flags: Any) -> dict[str, Any]:
    """Return the options of a task: those given as pairs, and those that have an option of their own.

    Parameters
    ----------
    pairs : sequence of str
        Texts ``NAME=VALUE``; values stay text, which the task knows how to read.
    **flags
        Values of the options of their own; None where one was not given.

    Raises
    ------
    ArgumentError
        If a pair has no ``=``, or an option is given twice.
    """
    options = {name: value for name, value in flags.items() if value is not None}
    for pair in pairs or ():
        name, separator, text = pair.partition("=")
        name = name.replace("-", "_")
        if not separator or not name.isidentifier():
            raise ArgumentError("task-option", repr(pair), "NAME=VALUE, such as kernel_size=5")
        if name in options:
            raise ArgumentError("task-option", f"{name} twice", "each option once")
        options[name] = text
    return options


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that give options of a task."""
    words = []
    for name, value in options.items():
        own = name in OWN
        words += [f"--{name.replace('_', '-')}", str(value)] if own else ["--task-option", f"{name}={value}"]
    return words
