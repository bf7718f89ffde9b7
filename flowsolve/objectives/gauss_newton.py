"""The Gauss-Newton operator of an objective at a point, without a matrix.

Both formulations are F(u) = f(A x(u); y) + w psi(z(u)), where one of the image x(u) and the latent z(u)
is u itself and the other comes from the flow. The Gauss-Newton approximation of the Hessian keeps the
curvature of f and of the squares that psi is made of, and drops that of the flow (Nocedal & Wright,
"Numerical Optimization", 2006, section 10.3):

    H = J_x^T A^T f'' A J_x + w J_z^T G J_z,    G = 2 I for psi = ||z||^2.

One of J_x and J_z is the identity, the other the Jacobian of D or E. For ``phi="typical"``, a sum of
squares r_l^2 with r_l = (||z_l||^2 - n_l) / sqrt(2 n_l), G is the sum of 2 grad r_l grad r_l^T. For
``phi="nll"`` the curvature of log|det J| is dropped too: it is no square and may be negative. So H is
positive semidefinite; it is block-diagonal over the images.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import torch

from ..errors import UnsupportedError
from ..fidelities import LeastSquares
from ..flows.derivatives import jvp
from ..flows.linearize import Linearized, require_like
from ..numbers import as_count
from .base import Objective, inner
from .evaluation import Evaluation


class GaussNewton:
    """H(u), its products with vectors, and F with its gradient from the same pass through the flow.

    Parameters
    ----------
    objective : Objective
        `Analysis` (also with a hard constraint) or `Synthesis`, without an `extra` term.
    u : torch.Tensor, shape (N, ...)
        Variable of each image.

    Attributes
    ----------
    objective : Objective
        The objective.
    u : torch.Tensor
        Where H is taken.

    Raises
    ------
    ArgumentError
        If `u` is not a variable of the objective.
    UnsupportedError
        If the objective has an `extra` term, or is no F of an image and its latent (`Objective.of_pair`).

    Notes
    -----
    Costs one pass through E or D when made (counted as ``E`` or ``D``), one reverse pass before the first
    :meth:`matvec` (``vjp_E`` or ``vjp_D``), and then a pass for each product with J or its transpose
    (``jvp_*``, ``vjp_*``). It holds the activations of the first two until it is deleted.
    """

    def __init__(self, objective: Objective, u: torch.Tensor) -> None:
        objective.require_smooth("GaussNewton")
        if not objective.of_pair or not objective.latent_term.has_curvature():
            raise UnsupportedError(
                f"GaussNewton: {type(objective).__name__} with phi={objective.phi!r} is not made of the "
                "squares it knows; use Analysis or Synthesis with another phi, or a solver that needs "
                "gradients only (lbfgs, adam)"
            )
        self.objective, self.u = objective, objective._check_variable(u).detach()
        self._letter, self._recorded = objective.map, False
        point = self.u if self._letter == "D" else objective.image(self.u).detach()
        if objective.constrained:
            objective.count("A", "AT")
        objective.count(self._letter)
        self._point = point
        self._flow = Linearized(objective._pass, point)

    @cached_property
    def evaluation(self) -> Evaluation:
        """``objective.evaluate(u)``, gradient included, for the price of one vector-Jacobian product."""
        objective = self.objective
        objective.count("evaluations", "gradients", f"vjp_{self._letter}")
        reading = objective.read(self._point, self._flow.value)
        grad = self._flow.vjp(reading.cotangents)
        if objective.constrained:
            grad = self._project(grad)
        elif reading.direct is not None:
            grad = grad + reading.direct
        return dataclasses.replace(reading.evaluation, grad=grad)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """Return H v.

        Parameters
        ----------
        v : torch.Tensor
            Shape, dtype and device of `u`.

        Returns
        -------
        torch.Tensor
            Of the same kind.

        Raises
        ------
        ArgumentError
            If v is another kind of tensor.
        """
        require_like("v", v, self.u)
        if self._letter == "D":
            return self._pull(self._data(self._push(v))) + self._prior(v)
        if self.objective.constrained:
            return self._project(self._pull(self._prior(self._push(self._project(v)))))
        return self._data(v) + self._pull(self._prior(self._push(v)))

    def model_decrease(self, v: torch.Tensor, product: torch.Tensor) -> torch.Tensor:
        """Return the decrease that the model promises, -<g, v> - 1/2 <v, H v>, of every image.

        Parameters
        ----------
        v : torch.Tensor
            A step.
        product : torch.Tensor
            ``matvec(v)``.

        Returns
        -------
        torch.Tensor, shape (N,), float64
            F(u) minus the model of F(u + v).
        """
        assert self.evaluation.grad is not None
        return -inner(self.evaluation.grad + 0.5 * product, v)

    def diagonal_estimate(self, samples: int = 8, seed: int = 0) -> torch.Tensor:
        """Return an estimate of the diagonal of H from products with random signs.

        Parameters
        ----------
        samples : int
            Number of products.
        seed : int
            Seed of the signs; the same on every device, and for an image wherever it stands in a batch.

        Returns
        -------
        torch.Tensor
            Shape of `u`; unbiased, the squared error of an entry being that row's squared
            off-diagonal entries summed, over `samples` (Bekas, Kokiopoulou & Saad, "An estimator for the
            diagonal of a matrix", Applied Numerical Mathematics 57, 2007, eq. 4).

        Raises
        ------
        ArgumentError
            If `samples` is not a positive integer.
        """
        samples = as_count(samples, "samples", least=1)
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(self.u)
        for _ in range(samples):
            signs = 2 * torch.randint(2, self.u.shape[1:], generator=generator) - 1
            r = signs.to(self.u).expand_as(self.u).contiguous()
            total += r * self.matvec(r)
        return total / samples

    def _push(self, v: torch.Tensor) -> torch.Tensor:
        """Return J v, J that of E or D."""
        if not self._recorded:
            # The reverse pass that jvp runs backwards is recorded with the first product.
            self.objective.count(f"vjp_{self._letter}")
            self._recorded = True
        self.objective.count(f"jvp_{self._letter}")
        return self._flow.jvp(v)[0]

    def _pull(self, w: torch.Tensor) -> torch.Tensor:
        """Return J^T w."""
        self.objective.count(f"vjp_{self._letter}")
        return self._flow.vjp((w, *(None for _ in self._flow.value[1:])))

    def _data(self, x: torch.Tensor) -> torch.Tensor:
        """Return A^T f'' A x."""
        operator = self.objective.problem.operator
        self.objective.count("A", "AT")
        return operator.adjoint(self._curve(operator.apply(x)))

    def _prior(self, v: torch.Tensor) -> torch.Tensor:
        """Return w G v for a direction v of latents."""
        objective = self.objective
        z = self.u if self._letter == "D" else self._flow.value[0]
        return objective.weigh(objective.latent_term.curvature(z, v, objective.flow.latent_sizes))

    def _curve(self, t: torch.Tensor) -> torch.Tensor:
        """Return f'' t: t itself for least squares."""
        fidelity, y = self.objective.fidelity, self.objective.problem.y
        if type(fidelity) is LeastSquares:
            return t
        return jvp(lambda m: fidelity.grad(m, y), self._measured, t)[1]

    @cached_property
    def _measured(self) -> torch.Tensor:
        """A x(u)."""
        self.objective.count("A")
        return self.objective.problem.operator.apply(self._image)

    @property
    def _image(self) -> torch.Tensor:
        return self._flow.value[0] if self._letter == "D" else self._point

    def _project(self, v: torch.Tensor) -> torch.Tensor:
        self.objective.count("A", "AT")
        return self.objective.problem.operator.project_nullspace(v)
