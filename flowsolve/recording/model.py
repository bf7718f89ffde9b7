"""What a record's configuration must be: one model, checked whenever a record is opened.

A record may come from anybody. What this version does not know is kept and ignored, so that later versions
can add to it; what it reads must have the type, the range and the size that it relies on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import RecordError

#: Most values that a configuration may consist of: each takes some tens of bytes once it is read.
MOST_VALUES = 200_000

#: Deepest nesting of a configuration; compositions of operators and solvers of solvers stay far below.
DEEPEST = 40

#: Most images of a batch, and most pixels along a side.
MOST = 1_000_000

#: Most stages of a method.
MOST_STAGES = 100

SHA256 = "^[0-9a-f]{64}$"

Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]
# Infinite limits are none: an older version recorded what it was given.
Limit = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, allow_inf_nan=True)]
Weight = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    """A part of the configuration: of JSON's types, without conversions, unknown keys ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Named(_Part):
    """An operator, a fidelity or a further term; what builds it checks its options."""

    name: Text


class NoiseConfig(_Part):
    """The noise that the problem assumes."""

    model: Text = "gaussian"
    sigma: float = Field(ge=0)
    parameters: dict[Text, Any] | None = None
    estimated: bool = False


class TaskConfig(_Part):
    """The task that the problem was one of."""

    name: Text
    options: dict[Text, Any] = {}


class MetricColumn(_Part):
    """A column of the trace that tells how good images are."""

    name: Text
    unit: Text = ""
    better: Literal["higher", "lower"] = "higher"


class MetricsConfig(_Part):
    """Which metrics were asked, and how often."""

    every: int = Field(default=1, ge=1)
    columns: list[MetricColumn] = Field(max_length=100)


class PriorConfig(_Part):
    """Which prior the run used: its name is for people, the hash says which it was."""

    name: Text
    source: Text | None = None
    sha256: str = Field(pattern=SHA256)
    kind: Text = "flow"
    memory: Text | None = None
    coupling_dtype: Literal["float32", "float64", "bfloat16"] | None = None


class ObjectiveConfig(_Part):
    """What was minimised."""

    formulation: Text
    phi: Text
    lam: Literal["map"] | Weight | list[Weight] | None
    lam_value: Weight | list[Weight] | None
    fidelity: Named = Named(name="least_squares")
    extra: Named | None = None
    options: dict[str, Any] = {}
    has_value: bool = True


class SolverConfig(_Part):
    """By what it was minimised."""

    name: Text
    options: dict[str, Any]


class InitialiserConfig(_Part):
    """From where it was minimised."""

    name: Text
    seed: Seed


class LimitsConfig(_Part):
    """The usual limits."""

    max_iter: Limit | None = None
    max_evaluations: Limit | None = None
    max_seconds: Limit | None = None
    rtol: Limit | None = None


class RecordConfig(_Part):
    """How the run was recorded, and shall be recorded on."""

    snapshot_every: int | None = Field(default=None, ge=1)
    checkpoint_seconds: float = Field(default=10.0, ge=0)
    flush_seconds: float = Field(default=1.0, ge=0)


class PriorName(_Part):
    """The prior that a method was given."""

    name: Text
    sha256: str = Field(pattern=SHA256)


class MethodConfig(_Part):
    """The method whose stage the run is; what builds the stages checks each of them."""

    name: Text
    reason: Text = ""
    guarded: bool = False
    stages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_STAGES)
    stage: int = Field(ge=0, lt=MOST_STAGES)
    last_iteration: int = Field(ge=0, lt=2**31)
    max_seconds: float | None = Field(default=None, gt=0)
    prior: PriorName
    priors: dict[Text, Annotated[str, Field(pattern=SHA256)]] = {}

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.stage >= len(self.stages):
            raise ValueError(f"stage {self.stage} of {len(self.stages)}")
        return self


class RunConfig(_Part):
    """The configuration of a run, or of a method's stage that runs."""

    operator: Named
    noise: NoiseConfig
    task: TaskConfig | None = None
    frame: list[list[Annotated[int, Field(ge=0, le=MOST)]]] | None = None
    n_images: Count
    image_shape: list[Count] = Field(min_length=1, max_length=8)
    prior: PriorConfig
    objective: ObjectiveConfig
    solver: SolverConfig
    initialiser: InitialiserConfig
    limits: LimitsConfig
    metrics: MetricsConfig | None = None
    stopping: dict[str, Any]
    dtype: Literal["float32", "float64"]
    device: str = Field(pattern="^[a-z]{1,16}(:[0-9]{1,3})?$")
    threads: int = Field(ge=1, le=1024)
    versions: dict[Text, Text | None] = {}
    record: RecordConfig = RecordConfig()
    restarted_at: list[Annotated[int, Field(ge=0)]] = []
    method: MethodConfig | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.frame is not None and [len(side) for side in self.frame] != [2, 2]:
            raise ValueError("frame: not first and last of rows and columns")
        for name in ("lam", "lam_value"):
            weights = getattr(self.objective, name)
            if isinstance(weights, list) and len(weights) != self.n_images:
                raise ValueError(f"objective.{name} has {len(weights)} weights for {self.n_images} images")
        return self


def parse_config(text: str, path: Path) -> dict[str, Any]:
    """Return the document of a configuration, of any schema.

    Raises
    ------
    RecordError
        If it is not JSON, no object, or larger or deeper than any configuration.
    """
    values = sum(text.count(sign) for sign in ",[{")
    if values > MOST_VALUES:
        raise RecordError(f"record: {path}: its configuration has more than {MOST_VALUES} values")
    if _depth(text) > DEEPEST:
        raise RecordError(f"record: {path}: its configuration is nested deeper than {DEEPEST} levels")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"record: {path}: its configuration is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RecordError(f"record: {path}: its configuration is not a JSON object")
    return document


def check_config(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a configuration of the present schema, with what older versions did not write filled in.

    Raises
    ------
    RecordError
        If it is not one; the message names the first key that is wrong.
    """
    try:
        checked = RunConfig.model_validate(document)
    except ValidationError as error:
        raise RecordError(f"record: {path}: its configuration: {_first_problem(error)}") from error
    filled = {"versions": checked.versions}
    objective = {"options": {}, "extra": None, **document["objective"]}
    objective.setdefault("fidelity", checked.objective.fidelity.model_dump())
    limits = {name: document["limits"].get(name) for name in LimitsConfig.model_fields}
    record = checked.record.model_dump()
    if checked.method is not None:
        document = {**document, "method": {**document["method"], **_filled(checked.method)}}
    return {**document, **filled, "objective": objective, "limits": limits, "record": record}


class OutcomeConfig(_Part):
    """What was said of a method's outcome."""

    notes: list[Annotated[str, Field(max_length=4000)]] = Field(default=[], max_length=100)
    fallback: list[bool] | None = None


def parse_outcome(text: Any, n_images: int, path: Path) -> dict[str, Any]:
    """Return ``notes`` and ``fallback`` of an outcome; empty where there is none.

    Raises
    ------
    RecordError
        If it is not one, or of another number of images.
    """
    if text is None:
        return {}
    try:
        outcome = OutcomeConfig.model_validate_json(text)
    except (ValidationError, TypeError) as error:
        raise RecordError(f"record: {path}: its outcome is not one") from error
    if outcome.fallback is not None and len(outcome.fallback) != n_images:
        raise RecordError(f"record: {path}: its outcome is of {len(outcome.fallback)} of {n_images} images")
    return outcome.model_dump()


def _filled(method: MethodConfig) -> dict[str, Any]:
    return {name: getattr(method, name) for name in ("reason", "guarded", "max_seconds", "priors")}


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    # Branches of a union are no keys of the document.
    keys = [str(part) for part in problem["loc"] if not set(str(part)) & set("[]()'")]
    where = ".".join(keys)
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")[:200]


def _depth(text: str) -> int:
    """Return how deep brackets are nested, at least: those inside of strings count too."""
    codes = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    brackets = codes[np.isin(codes, np.frombuffer(b"[]{}", dtype=np.uint8))]
    steps = np.where(np.isin(brackets, np.frombuffer(b"[{", dtype=np.uint8)), 1, -1)
    return int(np.cumsum(steps).max(initial=0))
