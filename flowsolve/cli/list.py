"""``flowsolve list``: the names that can be picked, each with one line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import ArgumentError
from .options import Prior


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="methods, solvers, searches, operators, priors, initialisers, tasks, presets, fidelities, "
            "functionals, noise, baselines or metrics."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            help="Of methods: one whose stages are said in words; of solvers, tasks, noise and operators: "
            "one whose options are listed."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="What the stages are said for.")] = "deblur",
    sigma: Annotated[float, typer.Option(help="Likewise: the noise.")] = 0.01,
    prior: Prior = "faces64",
) -> None:
    """List the names there are of a kind, or what belongs to one of them."""
    from .tables import print_names

    if kind not in KINDS:
        raise ArgumentError("kind", repr(kind), ", ".join(KINDS))
    if name is None:
        print_names(kind, KINDS[kind]())
    elif kind == "methods":
        _print_stages(name, task, sigma, prior)
    elif kind in DETAILS:
        print_names(f"options of {name}", DETAILS[kind](name))
    else:
        accepted = f"none for {kind}; {', '.join(DETAILS)} have options, and methods stages, to list"
        raise ArgumentError("name", repr(name), accepted)


def _print_stages(name: str, task: str, sigma: float, prior: str) -> None:
    """Print the stages of a method for a problem of a task, on grey images of 64x64 pixels."""
    import torch

    from .. import tasks
    from ..flows import load_prior
    from ..methods import plan_method
    from ..problem import InverseProblem, check_sigma
    from ..terminal import console

    shape = (3, 64, 64)
    operator = tasks.make_task(task).operator(shape)
    y = operator.apply(torch.full((1, *shape), 0.5))
    problem = InverseProblem(operator, y, sigma=check_sigma(sigma))
    method, out = plan_method(name, problem, load_prior(prior)), console()
    out.print(f"{method.name} for {task}, sigma {sigma:g}: {method.reason}", soft_wrap=True)
    for line in method.in_words():
        out.print(line, soft_wrap=True)


def _methods() -> dict[str, str]:
    from ..methods import registry

    return _summaries(registry)


def _solvers() -> dict[str, str]:
    from ..solvers import registry

    return {
        name: f"{registry.summary(name)} Options: {', '.join(_options_of_solver(name)) or 'none'}."
        for name in registry
    }


def _options_of_solver(name: str) -> dict[str, str]:
    """Return the options of a solver with their defaults in words."""
    import inspect

    from ..solvers import registry

    cls = registry.get(name, "solver")
    known = inspect.signature(cls).parameters
    named = {key: _default(known[key]) if key in known else "" for key in cls.accepted_options()}
    return named


def _default(parameter: Any) -> str:
    return "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"


def _searches() -> dict[str, str]:
    from ..solvers.searches import registry

    return _summaries(registry)


def _fidelities() -> dict[str, str]:
    from ..fidelities import registry

    return _summaries(registry)


def _functionals() -> dict[str, str]:
    from ..functionals import registry

    return _summaries(registry)


def _baselines() -> dict[str, str]:
    from ..baselines import registry

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


def _noise() -> dict[str, str]:
    from ..noise import registry

    return _summaries(registry)


def _metrics() -> dict[str, str]:
    from ..metrics import registry

    found = {name: registry.get(name) for name in registry}
    return {
        name: f"{_first_line(m.function)} [{m.unit or 'no unit'}; {m.better} is better]"
        for name, m in found.items()
    }


def _first_line(item: Any) -> str:
    return (getattr(item, "__doc__", None) or "").strip().split("\n")[0]


def _options_of_task(name: str) -> dict[str, str]:
    from ..tasks import registry

    known = registry.get(name, "name").options()
    return {option.name: f"{option.help} [{option.in_words()}]" for option in known.values()}


def _parameters_of_noise(name: str) -> dict[str, str]:
    from ..noise import parameters_of

    found = parameters_of(name)
    return {key: "must be given" if value is ... else f"{value:g}" for key, value in found.items()}


def _options_of_operator(name: str) -> dict[str, str]:
    import inspect

    from ..operators import registry

    parameters = inspect.signature(registry.get(name, "name")).parameters.values()
    return {p.name: "must be given" if p.default is p.empty else str(p.default) for p in parameters}


def _presets() -> dict[str, str]:
    from ..presets import registry

    return {name: registry.get(name).summary for name in registry}


def _summaries(registry: Any) -> dict[str, str]:
    return {name: registry.summary(name) for name in registry}


KINDS = {
    "methods": _methods,
    "solvers": _solvers,
    "searches": _searches,
    "operators": _operators,
    "priors": _priors,
    "initialisers": _initialisers,
    "tasks": _tasks,
    "noise": _noise,
    "metrics": _metrics,
    "presets": _presets,
    "fidelities": _fidelities,
    "functionals": _functionals,
    "baselines": _baselines,
}

DETAILS = {
    "solvers": _options_of_solver,
    "tasks": _options_of_task,
    "noise": _parameters_of_noise,
    "operators": _options_of_operator,
}
