"""Checks that any prior must pass, ours or a user's.

``check_prior(prior)`` runs them on a few images and returns reports; ``assert_prior_conforms`` raises if one
fails; ``flowsolve check-prior`` does it from the command line. Flows are asked for the round trip and the
log-determinant; every prior for batches, dtypes, its gradient, and that a run with it is recorded, found
again and repeated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, FlowsolveError
from ..objectives import Analysis
from ..operators import Identity
from ..operators.conformance_report import Report
from ..problem import InverseProblem
from .base import FlowPrior, Prior
from .terms import ImageTerm, PriorTerm, registry

SIDE = 8
"""Least height and width of the images that a prior of any size is checked on."""

DENSE = 256
"""Values of an image up to which the log-determinant is compared with that of the whole Jacobian."""

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
"""Relative error of what must agree, by dtype: about ten thousand roundings."""

STEP, SLOPE = 1e-5, 1e-4
"""Step of central differences, and the relative error of a gradient against them."""


def check_prior(prior: Prior, x: Tensor | None = None, seed: int = 0) -> list[Report]:
    """Run every check.

    Parameters
    ----------
    prior : Prior
        The prior; one of any size is taken at that of the images.
    x : torch.Tensor, shape (N, C, H, W), optional
        At least two images to check at; unless given, samples of a flow, or smooth images.
    seed : int
        Seed of samples and directions.

    Returns
    -------
    list of Report
        Of all the checks; those with ``passed`` false say what was expected and found.

    Raises
    ------
    ArgumentError
        If `prior` is none, or the images do not fit.

    Examples
    --------
    >>> from flowsolve.priors import EnergyPrior
    >>> reports = check_prior(EnergyPrior(lambda x: x.square().sum((1, 2, 3))))
    >>> all(report.passed for report in reports)
    True
    """
    if not isinstance(prior, Prior):
        raise ArgumentError("prior", type(prior).__name__, "a flowsolve.priors.Prior")
    if x is not None and len(x) < 2:
        raise ArgumentError("x", f"{len(x)} image", "at least two, to tell a batch from its images")
    prior = _sized(prior, x)
    x = _images(prior, seed) if x is None else x
    prior.check_image(x)
    reports = _guarded(check_identity, prior, x)
    if isinstance(prior, FlowPrior):
        reports += _guarded(check_round_trip, prior, x) + _guarded(check_log_det, prior, x)
    for term in _terms_of(prior):
        for check in (check_batch, check_dtype, check_gradient):
            reports += _guarded(check, prior, x, term)
    return reports + _guarded(check_record, prior, x)


def assert_prior_conforms(prior: Prior, x: Tensor | None = None, seed: int = 0) -> None:
    """Run every check and raise `AssertionError` with the failures, if there are any."""
    failed = [str(report) for report in check_prior(prior, x, seed) if not report.passed]
    if failed:
        raise AssertionError("\n".join(failed))


def check_identity(prior: Prior, x: Tensor) -> list[Report]:
    """The identity has 64 hexadecimal digits and stays the same on the way to another dtype and back."""
    moved = prior.to(dtype=_other(prior.dtype)).to(dtype=prior.dtype)
    digits = len(prior.sha256) == 64 and set(prior.sha256) <= set("0123456789abcdef")
    same = moved.sha256 == prior.sha256 and moved.dtype == prior.dtype and moved.device == prior.device
    return [
        Report("identity", digits, "64 hexadecimal digits", prior.sha256, prior.name),
        Report("to and back", same, prior.sha256[:12], moved.sha256[:12], prior.name),
    ]


def check_round_trip(prior: FlowPrior, x: Tensor) -> list[Report]:
    """D(E(x)) = x and E(D(z)) = z, and latents of the sizes that the prior says."""
    with torch.no_grad():
        z = prior.encode(x)
        back, again = prior.decode(z), prior.encode(prior.decode(z))
    sizes = tuple(z.shape) == (len(x), prior.n) and sum(prior.latent_sizes) == prior.n
    shape = Report("latent shape", sizes, f"({len(x)}, {prior.n})", str(tuple(z.shape)), _case(prior))
    tolerance = TOLERANCE[prior.dtype]
    return [
        shape,
        _close("D(E(x))", back, x, tolerance, prior),
        _close("E(D(z))", again, z, tolerance, prior),
    ]


def check_log_det(prior: FlowPrior, x: Tensor) -> list[Report]:
    """log|det J| is that of the Jacobian by autograd, and that of D is minus that of E."""
    with torch.no_grad():
        z, there = prior.encode(x, log_det=True)
        back = prior.decode(z, log_det=True)[1]
    tolerance = TOLERANCE[prior.dtype]
    reports = [_close("log-det of D", back, -there, tolerance, prior)]
    if prior.n > DENSE or prior.n != x[0].numel():
        why = f"the Jacobian has {prior.n} x {x[0].numel()} values; check it on small images"
        return [*reports, Report("log-det of E", True, "", why, _case(prior), skipped=True)]
    jacobian = torch.autograd.functional.jacobian(lambda a: prior.encode(a[None])[0], x[0])
    exact = torch.linalg.slogdet(jacobian.reshape(prior.n, -1).double())[1]
    return [*reports, _close("log-det of E", there[0].double(), exact, tolerance, prior)]


def check_batch(prior: Prior, x: Tensor, phi: str) -> list[Report]:
    """Images in a batch are judged as they are alone."""
    whole = _answers(prior, x, phi)
    alone = [_answers(prior, x[i : i + 1], phi) for i in range(len(x))]
    tolerance = TOLERANCE[prior.dtype]
    return [
        _close(f"batch: {what}", found, torch.cat([one[what] for one in alone]), tolerance, prior, phi)
        for what, found in whole.items()
    ]


def check_dtype(prior: Prior, x: Tensor, phi: str) -> list[Report]:
    """Both dtypes are kept, and say the same up to the rounding of float32."""
    other = prior.to(dtype=_other(prior.dtype))
    here, there = _answers(prior, x, phi), _answers(other, x.to(other.dtype), phi)
    kept = [name for name, out in there.items() if name != "value" and out.dtype != other.dtype]
    reports = [
        Report(
            "dtype kept", not kept, str(other.dtype), ", ".join(kept) or str(other.dtype), _case(prior, phi)
        )
    ]
    tolerance = TOLERANCE[torch.float32]
    return reports + [
        _close(f"dtypes: {what}", there[what].double(), out.double(), tolerance, prior, phi)
        for what, out in here.items()
    ]


def check_gradient(prior: Prior, x: Tensor, phi: str) -> list[Report]:
    """The gradient of the prior term is that of its values, by central differences in a random direction."""
    # In float64 whatever the prior's dtype: differences of float32 values say little.
    x, prior = x.double(), prior.to(dtype=torch.float64)
    objective = _objective(prior, x, phi)
    if not (objective.has_value and objective.term.has_gradient):
        lacks = "value" if not objective.has_value else "gradient"
        return [Report("gradient", True, "", f"the term has no {lacks}", _case(prior, phi), skipped=True)]
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    ahead, behind = (objective.evaluate(x + s * STEP * v, gradient=False).value for s in (1, -1))
    grad = objective.evaluate(x).grad
    assert grad is not None
    slope = (grad * v).flatten(1).sum(1)
    return [_close("gradient", slope, (ahead - behind) / (2 * STEP), SLOPE, prior, phi)]


def check_record(prior: Prior, x: Tensor) -> list[Report]:
    """A run with the prior is recorded, and repeated from its record to the last bit."""
    from ..driver import solve
    from ..recording.resume import rerun

    objective = _objective(prior, x, None)
    solver = "hqs" if not objective.term.has_gradient else "adam"
    with tempfile.TemporaryDirectory(prefix="flowsolve-check-") as folder:
        path = Path(folder) / "run.h5"
        solve(objective, solver, x, max_iter=3, rtol=None, record=path)
        again = rerun(path, prior=prior)
    found = "the same trace" if again.identical else f"differences in {', '.join(again.differences)}"
    return [Report("record and rerun", again.identical, "the same trace", found, f"{prior.name}, {solver}")]


def _answers(prior: Prior, x: Tensor, phi: str) -> dict[str, Tensor]:
    """Return what a prior term says at images: value, gradient and proximal step, as far as it has them."""
    objective = _objective(prior, x, phi)
    evaluation = objective.evaluate(x, gradient=objective.term.has_gradient)
    answers = {"value": evaluation.prior} if objective.has_value else {}
    if evaluation.grad is not None:
        answers["gradient"] = evaluation.grad
    if isinstance(objective.term, ImageTerm) and objective.term.has_prox():
        tau = torch.full((len(x),), 0.005, dtype=torch.float64, device=x.device)
        answers["prox"] = objective.term.prox(x, tau)
    return answers


def _objective(prior: Prior, x: Tensor, phi: str | None) -> Analysis:
    """Return the problem whose measurements the images are: there the prior alone pulls."""
    problem = InverseProblem(Identity(dim_shape=tuple(x.shape[1:])), x, sigma=0.05)
    return Analysis(problem, prior, phi=phi, lam=0.01)


def _terms_of(prior: Prior) -> list[str]:
    """Return the names of the terms to check: of a flow the one that uses all of it, else all."""
    if isinstance(prior, FlowPrior):
        return ["nll"]
    return [name for name in Analysis.phis(PriorTerm) if registry.get(name).suits(prior)]


def _other(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float32 else torch.float32


def _sized(prior: Prior, x: Tensor | None) -> Prior:
    if not prior.any_size:
        return prior
    side = -(-SIDE // prior.multiple) * prior.multiple
    return prior.at_size(side, side) if x is None else prior.at_size(x.shape[-2], x.shape[-1])


def _images(prior: Prior, seed: int) -> Tensor:
    """Return two samples of a flow, or two smooth images."""
    if isinstance(prior, FlowPrior):
        return prior.sample(2, seed, 0.7)
    height, width = prior._chosen_size()
    channels = 3 if prior.channels is None else prior.channels
    row = torch.linspace(0, 3, height, dtype=torch.float64)[:, None]
    column = torch.linspace(0, 3, width, dtype=torch.float64)
    images = [
        [0.5 + 0.3 * torch.sin(row * (1 + i) + c) * torch.cos(column + 0.5 * i) for c in range(channels)]
        for i in range(2)
    ]
    return torch.stack([torch.stack(image) for image in images]).to(prior.device, prior.dtype)


def _guarded(check: Callable[..., list[Report]], *arguments: Any) -> list[Report]:
    """Return a check's reports, or one that failed where the prior raised instead of answering."""
    try:
        return check(*arguments)
    except Exception as error:
        text = str(error) if isinstance(error, FlowsolveError) else f"{type(error).__name__}: {error}"
        name = check.__name__.removeprefix("check_").replace("_", " ")
        return [Report(name, False, "an answer", text, str(arguments[0].name))]


def _close(
    name: str, found: Tensor, expected: Tensor, tolerance: float, prior: Prior, phi: str = ""
) -> Report:
    """Report whether tensors agree, relative to what is expected, or to 1e-3 a value."""
    found, expected = found.detach().double(), expected.detach().double()
    scale = max(float(expected.norm()), 1e-3 * expected.numel() ** 0.5)
    error = float((found - expected).norm()) / scale if found.shape == expected.shape else float("inf")
    passed = error <= tolerance
    said = (
        f"a relative error of {error:.1e}" if found.shape == expected.shape else f"shape {tuple(found.shape)}"
    )
    return Report(name, passed, f"at most {tolerance:.0e}", said, _case(prior, phi), error=error)


def _case(prior: Prior, phi: str = "") -> str:
    return ", ".join(filter(None, [prior.name, phi, str(prior.dtype).removeprefix("torch.")]))
