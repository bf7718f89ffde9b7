"""``flowsolve list``: the names that can be picked, each with one line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import ArgumentError


def list_names(
    kind: Annotated[str, typer.Argument(help="solvers, operators, priors, initialisers, tasks or presets.")],
) -> None:
    """List the solvers, operators, priors, initialisers, tasks or presets there are."""
    from .tables import print_names

    if kind not in KINDS:
        raise ArgumentError("kind", repr(kind), ", ".join(KINDS))
    print_names(kind, KINDS[kind]())


def _solvers() -> dict[str, str]:
    from ..solvers import registry

    return _summaries(registry)


def _operators() -> dict[str, str]:
    from ..operators import registry

    return _summaries(registry)


def _priors() -> dict[str, str]:
    from ..flows import list_priors

    return list_priors()


def _initialisers() -> dict[str, str]:
    from ..initialise import registry

    encoded = "The latents E(x) of an image start, for example encoded:pinv."
    return _summaries(registry) | {"encoded:NAME": encoded}


def _tasks() -> dict[str, str]:
    from ..tasks import registry

    return _summaries(registry)


def _presets() -> dict[str, str]:
    from ..presets import registry

    return {name: registry.get(name).summary for name in registry}


def _summaries(registry: Any) -> dict[str, str]:
    return {name: registry.summary(name) for name in registry}


KINDS = {
    "solvers": _solvers,
    "operators": _operators,
    "priors": _priors,
    "initialisers": _initialisers,
    "tasks": _tasks,
    "presets": _presets,
}
