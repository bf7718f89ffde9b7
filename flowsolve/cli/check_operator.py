"""``flowsolve check-operator``: the conformance kit on an operator of one's own."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError
from ..terminal import plain
from .key_values import parse_options

if TYPE_CHECKING:
    from ..operators import LinearOperator
    from ..operators.conformance_report import Report

TARGET = "MODULE:NAME of an operator, or of what makes one; or a name of `list operators`"


def check_operator(
    target: Annotated[str | None, typer.Argument(metavar="MODULE:NAME", help=TARGET + ".")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Argument of what makes the operator, as JSON or text; repeatable.",
        ),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option(
            help="Array library to check on (numpy, torch, ...); repeatable; default: all there are."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check small examples of all operators there are; prints Markdown.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random data.")] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print every check, not the failures only.")
    ] = False,
) -> None:
    """Check an operator: adjoint, linearity, batches, dtypes, norm, closed forms, gradients.

    Exit code 0 if it conforms, 1 if a check fails, 2 for a bad argument.
    """
    from ..operators.conformance import available_namespaces, check

    for name in library or []:
        if name not in available_namespaces():
            raise ArgumentError("library", repr(name), ", ".join(available_namespaces()))
    options = parse_options(option or [])
    if every:
        for argument, value in (("target", target), ("option", ", ".join(options))):
            if value:
                raise ArgumentError(argument, value, "none together with --all")
        from .check_all_operators import check_all_operators

        if not check_all_operators(library, seed, verbose=verbose):
            raise typer.Exit(1)
        return
    if target is None:
        raise ArgumentError("target", "none", TARGET + "; or --all")
    make, operator = load_operator(target, options)
    reports = check(operator, library or None, seed)
    failed = [r for r in reports if not r.passed]
    for report in reports if verbose else failed:
        print(plain(report))
    if any(r.name == "adjoint" for r in failed) and make is not None:
        _print_smallest_shape(make, operator, seed)
    skipped = sum(r.skipped for r in reports)
    passed = len(reports) - len(failed) - skipped
    print(plain(f"{operator!r}: {passed} passed, {len(failed)} failed, {skipped} skipped"))
    if failed:
        raise typer.Exit(1)


def load_operator(
    target: str, options: dict[str, Any]
) -> tuple[Callable[[tuple[int, ...]], LinearOperator] | None, LinearOperator]:
    """Return the operator that the command line names.

    Parameters
    ----------
    target : str
        ``MODULE:NAME``, the module found as Python run in the current folder would find it,
        or the name of a registered operator.
    options : dict
        Arguments, if it is a class or function.

    Returns
    -------
    make : callable or None
        Image shape to operator, where `options` has a ``dim_shape`` to vary.
    operator : LinearOperator
        The operator.

    Raises
    ------
    ArgumentError
        If there is no such module or name, or the options do not fit.
    """
    from ..operators import LinearOperator, registry

    found = find_object(target) if ":" in target else registry.get(target, "operator")
    if isinstance(found, LinearOperator):
        if options:
            raise ArgumentError("option", ", ".join(options), f"none, as {target} is an operator already")
        return None, found
    if not callable(found):
        raise ArgumentError("target", f"{target}, a {type(found).__name__}", TARGET)

    def build(arguments: dict[str, Any]) -> LinearOperator:
        try:
            inspect.signature(found).bind(**arguments)
        except TypeError as error:
            names = ", ".join(inspect.signature(found).parameters)
            raise ArgumentError("option", error, f"the options of {target}: {names}") from None
        operator = found(**arguments)
        if not isinstance(operator, LinearOperator):
            raise ArgumentError("target", f"{target}, which makes a {type(operator).__name__}", TARGET)
        return operator

    make = (lambda shape: build({**options, "dim_shape": shape})) if "dim_shape" in options else None
    return make, build(options)


def find_object(target: str, argument: str = "target", accepted: str = TARGET) -> Any:
    """Return what ``MODULE:NAME`` names, the module as Python finds it from the current folder."""
    module_name, _, name = target.partition(":")
    sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ArgumentError(argument, f"module {module_name!r} ({error})", accepted) from None
    except ValueError:
        raise ArgumentError(argument, repr(target), accepted) from None
    finally:
        sys.path.remove("")
    for part in name.split("."):
        if not hasattr(found, part):
            raise ArgumentError(argument, f"{name!r}, which {module_name} has not", accepted)
        found = getattr(found, part)
    return found


def _print_smallest_shape(
    make: Callable[[tuple[int, ...]], LinearOperator], operator: LinearOperator, seed: int
) -> None:
    from ..operators.conformance import check_adjoint, smallest_shape

    def failures(candidate: LinearOperator) -> list[Report]:
        return [r for r in check_adjoint(candidate, seed=seed) if not r.passed]

    if not failures(operator):
        return  # it fails in another library or precision only
    shape = smallest_shape(make, operator.dim_shape, lambda candidate: bool(failures(candidate)))
    if shape != operator.dim_shape:
        print(plain(f"smallest image shape that fails: {shape}\n{failures(make(shape))[0]}"))
