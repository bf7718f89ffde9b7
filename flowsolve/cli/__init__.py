"""The command line: one file for each command, and one place where errors become one line.

Nothing here imports torch until a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__, interrupts
from ..errors import FlowsolveError
from ..terminal import plain, tolerate_encodings
from .advise import advise
from .answer import answer
from .check_operator import check_operator
from .check_prior import check_prior
from .compare import compare
from .demo import demo
from .export import export
from .import_prior import import_prior
from .list import list_names
from .report import report
from .rerun import rerun
from .resume import resume
from .show import show
from .solve import solve
from .study import study
from .train import train
from .watch import watch

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit code after an interruption, as shells have it."""

EXTRAS = {
    **dict.fromkeys(("pandas", "xarray", "dask", "distributed", "tomli"), "study"),
    **dict.fromkeys(("plotly", "jinja2"), "report"),
    "pylops": "bench",
}
"""Which extra brings a package that not every command needs."""

# The common base of a command line's errors. Taken from where typer exports one of them, because newer
# versions of typer carry their own copy of click.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="flowsolve",
    help="Restore images from y = A x + n with a normalizing flow as the prior.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("solve", no_args_is_help=True)(solve)
app.command("demo")(demo)
app.command("list")(list_names)
app.command("show", no_args_is_help=True)(show)
app.command("advise", no_args_is_help=True)(advise)
app.command("answer", no_args_is_help=True)(answer)
app.command("report", no_args_is_help=True)(report)
app.command("watch", no_args_is_help=True)(watch)
app.command("resume", no_args_is_help=True)(resume)
app.command("export", no_args_is_help=True)(export)
app.command("rerun", no_args_is_help=True)(rerun)
app.command("compare", no_args_is_help=True)(compare)
app.add_typer(study, name="study")
app.command("train", no_args_is_help=True)(train)
app.command("import-prior", no_args_is_help=True)(import_prior)
app.command("check-operator", no_args_is_help=True)(check_operator)
app.command("check-prior", no_args_is_help=True)(check_prior)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0; 2 for a bad argument or a file that cannot be read or written, after one line on standard
        error; 130 if interrupted.
    """
    tolerate_encodings()
    interrupts.catch_signals()
    try:
        code = app(arguments, standalone_mode=False)
    except (FlowsolveError, OSError) as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        return _fail(missing_extra(error))
    except _UsageError as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        # Asked for help by giving nothing, typer has printed it already.
        return _fail(message) if message else 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    finally:
        interrupts.forget()
    # Newer versions of typer return the code of an interruption instead of raising it.
    if code == INTERRUPTED:
        print("flowsolve: interrupted; a record that was begun holds what was reached", file=sys.stderr)
    return code if isinstance(code, int) else 0


def missing_extra(error: ModuleNotFoundError) -> str:
    """Return which extra brings a package that is missing.

    Raises
    ------
    ModuleNotFoundError
        The same error, if none does: something is wrong with the installation.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        raise error
    return f"{package} is not installed; pip install 'flowsolve[{EXTRAS[package]}]' brings it"


def _print_version(asked: bool) -> None:
    if asked:
        print(f"flowsolve {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Restore images from y = A x + n with a normalizing flow as the prior."""


def _fail(message: str) -> int:
    """Print one line, whatever line breaks the message has, and return the code for bad input."""
    print("flowsolve: " + plain(" ".join(message.split())), file=sys.stderr)
    return 2
