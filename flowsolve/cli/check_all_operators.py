"""``flowsolve check-operator --all``: the conformance of every operator there is, as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..terminal import plain

if TYPE_CHECKING:
    from ..operators import LinearOperator
    from ..operators.conformance_report import Report

HEAD = (
    "example",
    "operator",
    "passed",
    "failed",
    "skipped",
    "adjoint, float64",
    "adjoint, float32",
    "closed forms",
    "gram, prox, Tikhonov",
    "norm",
)


def check_all_operators(libraries: Sequence[str] | None, seed: int, *, verbose: bool) -> bool:
    """Check the examples of all operators, print a row of each, and return whether all conform.

    Parameters
    ----------
    libraries : sequence of str or None
        Array libraries to check on; ``None`` for all there are.
    seed : int
        Seed of the random data.
    verbose : bool
        Print every check below the table, not only what failed and what was skipped.
    """
    from ..operators.conformance import available_namespaces, check
    from ..operators.conformance_examples import examples, others

    used = list(libraries or available_namespaces())
    found = examples() | others()
    print(f"# Conformance of the operators of flowsolve {version('flowsolve')}\n")
    print(f"`flowsolve check-operator --all`, on {', '.join(used)}. Largest relative errors.\n")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    notes: list[str] = []
    total = failures = 0
    for name, operator in found.items():
        if isinstance(operator, str):
            notes.append(f"{name}: not checked, {operator}")
            continue
        reports = check(operator, used, seed)
        print(plain(f"| {' | '.join(row(name, operator, reports))} |"), flush=True)
        notes += [f"{name}: {r}" for r in reports if verbose or r.skipped or not r.passed]
        total, failures = total + len(reports), failures + sum(not r.passed for r in reports)
    print(f"\n{len(found)} operators, {total} checks, {failures} failed.")
    if notes:
        print(plain("\n" + "\n".join(f"- {note}" for note in notes)))
    return failures == 0


def row(name: str, operator: LinearOperator, reports: Sequence[Report]) -> list[str]:
    """Return the cells of an operator's row."""
    skipped = sum(r.skipped for r in reports)
    failed = sum(not r.passed for r in reports)
    adjoint = [r for r in reports if r.name == "adjoint"]
    return [
        name,
        f"`{operator!r}`",
        str(len(reports) - failed - skipped),
        str(failed),
        str(skipped),
        *(_largest([r for r in adjoint if dtype in r.case]) for dtype in ("float64", "float32")),
        "yes" if operator.has_closed_form else "by iteration",
        _largest([r for r in reports if r.name != "adjoint"]),
        operator.lipschitz_kind,
    ]


def _largest(reports: Sequence[Report]) -> str:
    errors = [r.error for r in reports if r.error is not None]
    return f"{max(errors):.1e}" if errors else "–"
