"""Solvers of Pyxu: proximal gradient, Condat–Vũ, nonlinear conjugate gradients.

Pyxu computes in float64 on the host here, whatever the objective's dtype. Its stopping criteria are not used:
the driver has its own. Pyxu logs to a folder, here a temporary one, and swallows exceptions, here passed on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ...errors import ArgumentError
from ...functionals import TotalVariation
from ...functionals.total_variation import divergence, gradient
from ...objectives.base import Objective
from ...objectives.evaluation import Evaluation
from ..base import register_solver, require_choice, require_positive
from ..searches.base import initial_step
from .bridge import External, ExternalState
from .rendezvous import Oracle


class _Passed(BaseException):
    """An exception inside of a Pyxu solver, which would catch and print anything less."""


@dataclass(frozen=True)
class Pyxu(External):
    """A solver of ``pyxu.opt.solver``."""

    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Run the solver's steps; Pyxu has no say in when to stop, so this ends only by an error."""
        with tempfile.TemporaryDirectory(prefix="flowsolve-pyxu-") as folder:
            # Pyxu wants to make the folder itself.
            settings = {"folder": Path(folder) / "run", "show_progress": False, "stop_rate": 2**30}
            solver, start = self.build(_Functions(oracle, 1 / trial), objective, trial, settings)
            _pass_exceptions(solver)
            start["stop_crit"], start["mode"] = _never(), _manual()
            solver.fit(**start)
            try:
                for data in solver.steps():
                    x = torch.from_numpy(np.array(data["x"], dtype=np.float64)).reshape(oracle.start.shape)
                    oracle.iterate(x, self.residual(solver, x))
            except _Passed as passed:
                raise passed.args[0] from None
            finally:
                solver._cleanup_logger()
        return False

    def build(
        self, functions: _Functions, objective: Objective, trial: float, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return the Pyxu solver of one image and the arguments of its ``fit``."""
        raise NotImplementedError

    def residual(self, solver: Any, x: torch.Tensor) -> float | None:
        """Return a measure of how far x is from stationary, where that is not the gradient's norm."""
        return None

    def first_steps(self, objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """Return the inverse of the local curvature of the smooth part at the start."""
        return initial_step(lambda v: self.evaluate(objective, v, True), u, evaluation)


@register_solver("pyxu:NLCG")
@dataclass(frozen=True)
class NLCG(Pyxu):
    """Pyxu's NLCG: nonlinear conjugate gradients with backtracking.

    Parameters
    ----------
    variant : {"PR", "FR"}
        Polak–Ribière+ or Fletcher–Reeves.
    restart_rate : int, optional
        Iterations after which the direction is reset; the number of variables unless given.
    a0 : float, optional
        First trial of each search; the inverse of the curvature at the start unless given.
    r, c : float
        Factor of backtracking, and of sufficient decrease, in (0, 1).
    """

    variant: str = "PR"
    restart_rate: int | None = None
    a0: float | None = None
    r: float = 0.5
    c: float = 1e-4

    def __post_init__(self) -> None:
        require_choice("variant", self.variant, ("PR", "FR"))
        require_positive("r", self.r, below=1)
        require_positive("c", self.c, below=1)
        for name in ("restart_rate", "a0"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))

    def build(
        self, functions: _Functions, objective: Objective, trial: float, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return ``pyxu.opt.solver.NLCG``, which takes vectors only."""
        from pyxu.opt.solver import NLCG as Theirs

        x0 = functions.start.ravel()
        a0 = trial if self.a0 is None else self.a0
        start = {"x0": x0, "variant": self.variant, "restart_rate": self.restart_rate, "a0": a0}
        return Theirs(functions.smooth(x0.shape), **settings), start | {"r": self.r, "c": self.c}


@dataclass(frozen=True)
class Splitting(Pyxu):
    """A Pyxu solver for F = f + g, f smooth and g with a proximal operator."""

    searches = False
    takes_extra = True
    split: ClassVar[str] = "auto"

    #: A fixed step must suit the whole path, on which the flow's curvature is often larger than at the start.
    CAUTION: ClassVar[float] = 0.5

    def check(self, objective: Objective) -> None:
        """Refuse an objective without the split."""
        objective.split(self.split)

    def start(self, objective: Objective, u: torch.Tensor) -> torch.Tensor:
        """Return the start, moved to where g is finite."""
        split = objective.split(self.split)
        outside = torch.isinf(split.nonsmooth(u))
        if not outside.any():
            return u
        inside = split.prox(u, torch.ones(len(u), dtype=torch.float64, device=u.device))
        return torch.where(outside.reshape(-1, *[1] * (u.ndim - 1)), inside, u)

    def evaluate(self, objective: Objective, u: torch.Tensor, gradient: bool) -> Evaluation:
        """Return f alone."""
        return objective.split(self.split).smooth(u, gradient=gradient)

    def complete(self, objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
        """Return F at u, where f is known."""
        whole = objective.split(self.split).merge(u, evaluation)
        return replace(whole, grad=evaluation.grad)

    def first_steps(self, objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """Return half the inverse of the local curvature of f at the start."""
        return self.CAUTION * super().first_steps(objective, u, evaluation)

    def told(self, objective: Objective, state: ExternalState) -> Evaluation:
        """Return f alone at the iterates."""
        return self.evaluate(objective, state.u, True)

    def prox(self, objective: Objective, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of g."""
        return objective.split(self.split).prox(v, tau)


@register_solver("pyxu:PGD")
@dataclass(frozen=True)
class PGD(Splitting):
    """Pyxu's PGD: proximal gradient with Chambolle–Dossal acceleration and a fixed step.

    The record's value at an iterate costs one more evaluation without gradient where there is acceleration:
    PGD itself evaluates extrapolated points only.

    Parameters
    ----------
    split : str
        Split of the objective, as for ``forward_backward``.
    tau : float, optional
        Step; half the inverse of the curvature at the start unless given. Where it is too long F diverges.
    acceleration : bool
        Whether to extrapolate.
    d : float
        Chambolle–Dossal's parameter, > 2.
    """

    split: str = "auto"  # type: ignore[misc]
    tau: float | None = None
    acceleration: bool = True
    d: float = 75.0

    def __post_init__(self) -> None:
        if self.tau is not None:
            require_positive("tau", self.tau)
        require_positive("d", self.d)
        if self.d <= 2:
            raise ArgumentError("d", self.d, "a number > 2")

    @property
    def iterate_gradient(self) -> bool:  # type: ignore[override]
        """Whether iterates are evaluated with the gradient: it is the next step's where none extrapolates."""
        return not self.acceleration

    def build(
        self, functions: _Functions, objective: Objective, trial: float, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return ``pyxu.opt.solver.PGD``."""
        from pyxu.opt.solver import PGD as Theirs

        x0 = functions.start
        tau = trial if self.tau is None else self.tau
        solver = Theirs(functions.smooth(x0.shape), functions.proximable(x0.shape), **settings)
        return solver, {"x0": x0, "tau": tau, "acceleration": self.acceleration, "d": self.d}

    def residual(self, solver: Any, x: torch.Tensor) -> float:
        """Return the norm of the prox-gradient mapping, ‖y − x‖/τ from the extrapolated point y."""
        return float((solver._f.last.reshape(x.shape) - x).norm() / solver._mstate["tau"])


@register_solver("pyxu:CondatVu")
@dataclass(frozen=True)
class CondatVu(Splitting):
    """Pyxu's Condat–Vũ: primal-dual splitting; total variation by its dual, without inner iterations.

    Parameters
    ----------
    split : str
        Split of the objective, as for ``forward_backward``.
    tau, sigma : float, optional
        Primal and dual step, from `beta` unless given.
    rho : float, optional
        Relaxation.
    beta : float, optional
        Lipschitz constant of the gradient; twice the curvature at the start unless given.
    tuning_strategy : {1, 2, 3}
        How Pyxu chooses the steps.
    """

    split: str = "auto"  # type: ignore[misc]
    tau: float | None = None
    sigma: float | None = None
    rho: float | None = None
    beta: float | None = None
    tuning_strategy: int = 1

    def __post_init__(self) -> None:
        for name in ("tau", "sigma", "rho", "beta"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_choice("tuning_strategy", self.tuning_strategy, (1, 2, 3))  # type: ignore[arg-type]

    def build(
        self, functions: _Functions, objective: Objective, trial: float, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return ``pyxu.opt.solver.CondatVu``: f + g, or f + TV(∇ ·) where the extra term is that."""
        from pyxu.opt.solver import CondatVu as Theirs

        x0, extra = functions.start, getattr(objective, "extra", None)
        beta = 1 / trial if self.beta is None else self.beta
        start = {"x0": x0, "tau": self.tau, "sigma": self.sigma, "rho": self.rho, "beta": beta}
        start["tuning_strategy"] = self.tuning_strategy
        smooth = functions.smooth(x0.shape)
        if isinstance(extra, TotalVariation):
            norm, differences = _total_variation(extra, x0.shape)
            return Theirs(f=smooth, h=norm, K=differences, **settings), start
        return Theirs(f=smooth, g=functions.proximable(x0.shape), **settings), start

    def residual(self, solver: Any, x: torch.Tensor) -> float:
        """Return ‖x_k − x_{k+1}‖/τ."""
        return float((solver._f.last.reshape(x.shape) - x).norm() / solver._mstate["tau"])


class _Functions:
    """The parts of one image's objective as functionals of Pyxu."""

    def __init__(self, oracle: Oracle, lipschitz: float) -> None:
        self.oracle, self.lipschitz = oracle, lipschitz
        self.start = oracle.start.numpy()

    def smooth(self, shape: tuple[int, ...]) -> Any:
        """Return f as a ``pyxu.abc.DiffFunc``; its `last` is where the gradient was asked for last."""
        import pyxu.abc as pxa

        point = self._point

        class Smooth(pxa.DiffFunc):
            last: torch.Tensor

            def apply(self, arr: np.ndarray) -> np.ndarray:
                return np.array([float(oracle.evaluate(point(arr), gradient=False).value)])

            def grad(self, arr: np.ndarray) -> np.ndarray:
                self.last = point(arr)
                found = oracle.evaluate(self.last).grad
                assert found is not None
                # A copy: Pyxu works in place.
                return np.array(found.double().cpu().numpy()).reshape(shape)

        oracle = self.oracle
        f = Smooth(dim_shape=shape, codim_shape=1)
        f.diff_lipschitz = self.lipschitz
        return f

    def proximable(self, shape: tuple[int, ...]) -> Any:
        """Return g as a ``pyxu.abc.ProxFunc``; its value is never asked for."""
        import pyxu.abc as pxa

        oracle, point = self.oracle, self._point

        class Proximable(pxa.ProxFunc):
            def apply(self, arr: np.ndarray) -> np.ndarray:
                raise NotImplementedError

            def prox(self, arr: np.ndarray, tau: float) -> np.ndarray:
                return oracle.prox(point(arr), float(tau)).numpy().reshape(shape)

        return Proximable(dim_shape=shape, codim_shape=1)

    def _point(self, arr: np.ndarray) -> torch.Tensor:
        # Pyxu works in place: a point that is remembered must be a copy.
        return torch.from_numpy(np.array(arr, dtype=np.float64)).reshape(self.start.shape)


def _total_variation(extra: TotalVariation, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return weight · ‖·‖₂₁ and the forward differences, of which the composition is total variation."""
    import pyxu.abc as pxa
    import pyxu.operator as pxo

    field = (2, *shape)

    class Differences(pxa.LinOp):
        def apply(self, arr: np.ndarray) -> np.ndarray:
            return gradient(torch.from_numpy(np.ascontiguousarray(arr))[None])[:, 0].numpy()

        def adjoint(self, arr: np.ndarray) -> np.ndarray:
            return -divergence(torch.from_numpy(np.ascontiguousarray(arr))[:, None])[0].numpy()

    differences = Differences(dim_shape=shape, codim_shape=field)
    differences.lipschitz = np.sqrt(8)
    axes = (0, 1) if extra.coupled else (0,)
    return extra.weight * pxo.L21Norm(dim_shape=field, l2_axis=axes), differences


def _pass_exceptions(solver: Any) -> None:
    step: Callable[[], None] = solver.m_step

    def passing() -> None:
        try:
            step()
        except Exception as error:
            raise _Passed(error) from error

    solver.m_step = passing


def _never() -> Any:
    """Return a stopping criterion that never stops."""
    import pyxu.abc as pxa

    class Never(pxa.StoppingCriterion):
        def stop(self, state: Any) -> bool:
            return False

        def info(self) -> dict[str, float]:
            return {"never": 0.0}

    return Never()


def _manual() -> Any:
    from pyxu.abc import SolverMode

    return SolverMode.MANUAL
