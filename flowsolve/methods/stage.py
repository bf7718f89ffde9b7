"""One stage of a method: what is minimised, by what, from where and for how long."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .. import baselines, initialise
from ..errors import ArgumentError
from ..fidelities import HeldOutLeastSquares
from ..flows import FlowPrior, load_prior
from ..flows.raw import PREFIX as RAW
from ..flows.raw import raw_prior
from ..flows.zoo import find_prior
from ..initialise import Start, make_start
from ..numbers import as_count, as_python, as_real, to_float
from ..objectives import BY_NAME, Objective, Synthesis
from ..operators import Mask
from ..problem import InverseProblem
from ..solvers import Solver, make_solver
from ..stopping import Criterion, HeldOut

PREVIOUS = "previous"
"""The start of a stage that goes on where the one before it ended."""

CHECKED = "checked:"
"""Prefix of a start: where the stage before ended, or, for images where that predicts the measurements held
out worse than the classical restoration of this name does, that restoration."""

MIXED, SHARE, DEFAULT_SHARE = "mixed:", "share", 0.2
"""Prefix of a start: a weighted mean of where the stage before ended and the classical restoration of this
name, the option that says the share of the latter, and that share unless it is given."""

PATIENCE, DEFAULT_PATIENCE = "patience", 20
"""How long the misfit of what is held out may go without falling, in iterations."""

HORIZON = "horizon"
"""Option of solvers: how many iterations a schedule is for."""

OF_STAGE = frozenset({"problem", "prior", "phi", "lam", "extra", "fidelity", "put_back"})
"""Parameters of objectives that a stage gives itself, or that no JSON file can."""

KEPT = ("final", "best")
"""What a stage hands on: each image where it ended, or where its objective was lowest."""

LoadPrior = Callable[[str], FlowPrior]


@dataclass(frozen=True)
class Stage:
    """One run of a solver within a method.

    Parameters
    ----------
    formulation : str
        ``analysis`` over images, ``synthesis`` over latents, or the name of a published loss
        (`flowsolve.objectives.BY_NAME`).
    phi : str, optional
        Prior term; the formulation's own unless given.
    lam, map_factor : float, optional
        Weight of the prior term: a number, or in units of the MAP weight σ²/2; at most one of the two. With
        neither it is ``"map"``, which over images stands for the hard constraint Ax = y where σ = 0.
    solver : str
        Name of a solver.
    options : mapping
        Its options.
    init : str
        A registered start or baseline, or ``previous``: where the stage before ended; ``checked:NAME`` and
        ``mixed:NAME``: that or, image by image, the baseline NAME, and a mean of both.
    init_options : mapping
        Options of the baseline that it starts from; ``share`` of the baseline in a mean.
    max_iter : int
        Iterations.
    keep : {"final", "best"}
        Which image the stage hands on.
    prior : str, optional
        Name or path of this stage's own prior; ``raw:`` stands for the caller's with raw latents.
    put_back : bool
        Over latents: whether the measured values are put back into the image, x + A⁺(y − Ax).
    objective_options : mapping
        Further options of the objective.
    held_out : mapping
        Options of `flowsolve.fidelities.HeldOutLeastSquares`: a part of the measurements is not fitted but
        watched. The stage ends when their misfit has not fallen for `patience` iterations (20 unless
        given), and hands on the image where it was lowest.

    Raises
    ------
    ArgumentError
        If a name is unknown, a number out of range, or the combination impossible.
    """

    formulation: str = "analysis"
    phi: str | None = None
    lam: float | None = None
    map_factor: float | None = None
    solver: str = "lbfgs"
    options: Mapping[str, Any] = field(default_factory=dict)
    init: str = PREVIOUS
    init_options: Mapping[str, Any] = field(default_factory=dict)
    max_iter: int = 100
    keep: str = "final"
    prior: str | None = None
    put_back: bool = False
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    held_out: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_kinds()
        kind = BY_NAME.get(self.formulation, "formulation")
        if self.phi is not None and self.phi not in kind.phis():
            accepted = f"{' or '.join(map(repr, kind.phis()))} for the {kind.name} objective"
            raise ArgumentError("phi", repr(self.phi), accepted)
        if self.lam is not None and self.map_factor is not None:
            raise ArgumentError("lam, map_factor", "both", "one of the two")
        for name in ("lam", "map_factor"):
            object.__setattr__(self, name, _weight(name, getattr(self, name)))
        object.__setattr__(self, "max_iter", as_count(self.max_iter, "max_iter"))
        for name in ("options", "init_options", "objective_options", "held_out"):
            given = {key: as_python(value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, given)
        if self.keep not in KEPT:
            raise ArgumentError("keep", repr(self.keep), " or ".join(map(repr, KEPT)))
        if self.put_back and self.formulation != "synthesis":
            raise ArgumentError("put_back", f"True over {self.formulation}", "True over synthesis only")
        if self.held_out and self.put_back:
            raise ArgumentError("put_back", "True", "False where measurements are held out")
        _check_options("objective_options", self.objective_options, _options_of(kind) - OF_STAGE)
        _check_options("held_out", self.held_out, _options_of(HeldOutLeastSquares) | {PATIENCE})
        make_solver(self.solver, **self.options)
        self.fidelity()
        self.criterion()
        self._check_init()

    def _check_kinds(self) -> None:
        """Refuse values of other types than the attributes have: a JSON file may have anything anywhere."""
        texts = ("formulation", "solver", "init", "keep")
        mappings = ("options", "init_options", "objective_options", "held_out")
        wanted: list[tuple[tuple[str, ...], tuple[type, ...], str]] = [
            (texts, (str,), "text"),
            (("phi", "prior"), (str, type(None)), "text, or nothing"),
            (mappings, (Mapping,), "options by name"),
            (("put_back",), (bool,), "true or false"),
        ]
        for names, kinds, word in wanted:
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, kinds):
                    raise ArgumentError(name, repr(value), word)
                if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
                    raise ArgumentError(name, repr(value), word)

    @property
    def continues(self) -> bool:
        """Whether the stage goes on from the one before."""
        return self.init == PREVIOUS or self.init.startswith((CHECKED, MIXED))

    @property
    def share(self) -> float:
        """Share of the classical restoration in a mixed start."""
        return float(self.init_options.get(SHARE, DEFAULT_SHARE))

    @property
    def keeps_best(self) -> bool:
        """Whether the stage hands on each image's best iterate, and not its last."""
        return self.keep == "best" or bool(self.held_out)

    def check(self, problem: InverseProblem) -> None:
        """Refuse a problem that the stage has no start for.

        Raises
        ------
        ArgumentError
            If the start is to be checked and the measurements are not pixels behind a mask.
        """
        if self.init.startswith(CHECKED) and not isinstance(problem.operator, Mask):
            raise ArgumentError("init", f"{self.init!r} for {problem.operator}", f"{PREVIOUS!r}, or a mask")

    def _check_init(self) -> None:
        name = self.init
        if name.startswith((CHECKED, MIXED)):
            baselines.registry.get(name.split(":", 1)[1], "init")
        elif name != PREVIOUS and name not in baselines.registry:
            initialise.registry.get(name.removeprefix(initialise.ENCODED), "init")
        if name.startswith(MIXED):
            _check_options("init_options", self.init_options, {SHARE})
            share = to_float(self.init_options.get(SHARE, DEFAULT_SHARE), SHARE, "a number from 0 to 1")
            if not 0 <= share <= 1:
                raise ArgumentError(SHARE, share, "a number from 0 to 1")
        elif self.init_options:
            if name not in baselines.registry:
                raise ArgumentError("init_options", f"some for {name!r}", "some for a baseline")
            accepted = _options_of(baselines.registry.get(name)) - {"problem"}
            _check_options("init_options", self.init_options, accepted)
            for option, value in self.init_options.items():
                if value is not None:
                    as_real(value, option)

    def fidelity(self) -> HeldOutLeastSquares | None:
        """Return the data term that holds measurements out, or None for least squares."""
        if not self.held_out:
            return None
        return HeldOutLeastSquares(**{k: v for k, v in self.held_out.items() if k != PATIENCE})

    def criterion(self) -> Criterion | None:
        """Return when to stop, beside the limits."""
        return HeldOut(self.held_out.get(PATIENCE, DEFAULT_PATIENCE)) if self.held_out else None

    def weight(self, problem: InverseProblem) -> float | str:
        """Return the weight of the prior term as objectives take it."""
        if self.map_factor is not None:
            return self.map_factor * self._map_weight(problem)
        return "map" if self.lam is None else self.lam

    def _map_weight(self, problem: InverseProblem) -> float:
        """Return σ²/2 for least squares, ½ for a data term that is a negative log-likelihood."""
        squares = bool(self.held_out) or problem.noise.fidelity == "least_squares"
        return problem.sigma**2 / 2 if squares else 0.5

    def in_map_units(self, sigma: float) -> Stage:
        """Return the stage with its weight in units of σ²/2, for data terms that have the noise in them."""
        if self.lam is None or sigma == 0:
            return self
        return replace(self, lam=None, map_factor=self.lam / (sigma**2 / 2))

    def objective(self, problem: InverseProblem, prior: FlowPrior, load: LoadPrior) -> Objective:
        """Return what is minimised.

        Parameters
        ----------
        problem : InverseProblem
            The problem.
        prior : FlowPrior
            The caller's prior.
        load : callable
            Loads the prior of a name or path.
        """
        put_back = {"put_back": True} if self.put_back else {}
        return BY_NAME.get(self.formulation)(
            problem,
            self.own_prior(prior, load),
            phi=self.phi,
            lam=self.weight(problem),
            fidelity=self.fidelity(),
            **self.objective_options,
            **put_back,
        )

    def own_prior(self, prior: FlowPrior, load: LoadPrior) -> FlowPrior:
        """Return the prior of this stage, on the device and in the dtypes of the caller's."""
        if self.prior is None:
            return prior
        return load(self.prior)

    def make_solver(self) -> Solver:
        """Return the solver with its options."""
        return make_solver(self.solver, **self.options)

    def start(self, problem: InverseProblem, prior: FlowPrior, seed: int) -> Start:
        """Return the named start of a stage that does not go on from another.

        Parameters
        ----------
        problem : InverseProblem
            The problem.
        prior : FlowPrior
            The prior, at the size of the images.
        seed : int
            Seed of a random start.
        """
        name = self.init
        if name in baselines.registry and (self.init_options or name not in initialise.registry):
            x = baselines.registry.get(name)(problem, **self.init_options)  # type: ignore[call-arg]
            return Start(x=x, name=name, seed=seed)
        return make_start(name, problem, prior, seed=seed)

    def shortened(self, max_iter: int) -> Stage:
        """Return the stage with at most so many iterations, the length of its schedule likewise."""
        if max_iter >= self.max_iter:
            return self
        options = dict(self.options)
        if isinstance(options.get(HORIZON), int | float):
            options[HORIZON] = max(1, round(options[HORIZON] * max_iter / self.max_iter))
        return replace(self, max_iter=max_iter, options=options)

    def in_words(self) -> str:
        """Return one line that says what the stage does."""
        over = "latents" if issubclass(BY_NAME.get(self.formulation), Synthesis) else "images"
        name = "" if self.formulation in ("analysis", "synthesis") else f", loss {self.formulation}"
        phi = BY_NAME.get(self.formulation).default_phi if self.phi is None else self.phi
        weight = "at the MAP weight" if over == "latents" else "at the MAP weight (σ = 0: subject to Ax = y)"
        if self.lam is not None:
            weight = f"with λ = {self.lam:g}"
        elif self.map_factor is not None:
            weight = f"at {self.map_factor:g} of the MAP weight"
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        solver = f"{self.solver}({options})" if options else self.solver
        begin = "where the last stage ended" if self.continues else self.init
        if self.init.startswith(CHECKED):
            begin += f", or {self.init.removeprefix(CHECKED)} where that predicts what was held out better"
        if self.init.startswith(MIXED):
            begin = f"the mean of {begin} and {self.share:g} of {self.init.removeprefix(MIXED)}"
        elif self.init_options:
            begin += f" ({', '.join(f'{k}={v}' for k, v in self.init_options.items())})"
        if self.max_iter == 0:
            return f"{begin}; no iterations"
        parts = [
            f"over {over}{name}",
            f"{phi} {weight}",
            solver,
            f"from {begin}",
            f"{self.max_iter} iterations",
        ]
        if self.prior is not None:
            parts.append("the prior with raw latents" if self.prior == RAW else f"prior {self.prior}")
        if self.put_back:
            parts.append("measured values put back")
        if self.held_out:
            parts.append("until a part of the measurements, held out, is predicted no better")
        if self.keeps_best:
            parts.append(f"keeping the lowest {'misfit of those' if self.held_out else 'objective'}")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, of JSON types; `from_json` takes it."""
        default, given = asdict(Stage()), asdict(self)
        return {name: value for name, value in given.items() if value != default[name]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Stage:
        """Return the stage of a JSON object.

        Raises
        ------
        ArgumentError
            If it is no object, has a key that a stage does not have, or a bad value.
        """
        if not isinstance(document, Mapping):
            raise ArgumentError("stage", type(document).__name__, "a JSON object")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ArgumentError("stage", f"the key {unknown[0]!r}", ", ".join(sorted(known)))
        return cls(**document)


class PriorShelf:
    """Loads priors of stages once, on the device and in the dtypes of the caller's prior.

    Parameters
    ----------
    like : FlowPrior
        The caller's prior.
    hashes : mapping of str to str, optional
        SHA-256 by which priors are looked for, among those that are registered and that the caller has
        loaded. Names in a record, which may be paths, may come from anybody.
    """

    def __init__(self, like: FlowPrior, hashes: Mapping[str, str] | None = None) -> None:
        self.like, self.hashes = like, hashes
        self._loaded: dict[str, FlowPrior] = {}

    def __call__(self, name: str) -> FlowPrior:
        """Return the prior of a name or path; of ``raw:`` alone, the caller's with raw latents."""
        if name not in self._loaded:
            self._loaded[name] = raw_prior(self.like) if name == RAW else self._other(name)
        return self._loaded[name]

    def _other(self, name: str) -> FlowPrior:
        like = self.like
        if name == like.name and self._wanted(name) in (None, like.sha256):
            return like
        prior = self._found(name, device=str(like.device), dtype=like.dtype)
        return prior.as_recorded(like.settings(), like.dtype)

    def _wanted(self, name: str) -> str | None:
        return None if self.hashes is None else self.hashes.get(name)

    def _found(self, name: str, **where: Any) -> FlowPrior:
        if self.hashes is None:
            return load_prior(name, **where)
        if name not in self.hashes:
            raise ArgumentError("prior", repr(name), "one whose SHA-256 the record has")
        return find_prior(name, self.hashes[name], **where)


def _options_of(kind: Any) -> set[str]:
    """Return the names of a callable's parameters; of a class also those of the classes it is made from."""
    makers = [c.__init__ for c in kind.__mro__] if isinstance(kind, type) else [kind]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = [inspect.signature(maker).parameters.values() for maker in makers]
    return {p.name for parameters in found for p in parameters if p.kind in kinds} - {"self"}


def _check_options(argument: str, options: Mapping[str, Any], accepted: Collection[str]) -> None:
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise ArgumentError(argument, f"the option {unknown[0]!r}", ", ".join(sorted(accepted)) or "none")


def _weight(name: str, value: Any) -> float | None:
    number = None if value is None else as_real(value, name, "a finite number >= 0")
    if number is not None and number < 0:
        raise ArgumentError(name, repr(value), "a finite number >= 0")
    return number
