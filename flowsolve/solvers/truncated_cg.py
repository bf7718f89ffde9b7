"""Conjugate gradients for a batch of quadratic models, truncated, and what they have explored.

The model of an image is ⟨g, p⟩ + ½⟨p, B p⟩ with B known by its products. Conjugate gradients explore a
subspace of a few directions. In it the model is small and dense, so that the best point for another damping
or radius, after a step was rejected, costs no further product: without preconditioner the subspace of B + μI
is the same for every μ, as in the Lanczos trust region of Gould, Lucidi, Roma & Toint (1999).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..objectives.base import inner, per_image, sum_squares

#: ``product(index, v) -> B v`` for the images at `index`.
Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: ``precondition(index, r) -> M r``, M positive definite and near B⁻¹.
Preconditioner = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Subspace:
    """What conjugate gradients explored, and the model there.

    Attributes
    ----------
    directions, products : torch.Tensor, shape (N, k, d)
        Directions p of length 1 and B p; zero for those an image did not explore.
    used : torch.Tensor, shape (N,), int64
        Number of directions of each image.
    basis : torch.Tensor, shape (N, k, k), float64
        Coefficients over `directions` of the vectors that make the model diagonal and are orthonormal.
    curvature, slope : torch.Tensor, shape (N, k), float64
        The model along those vectors: curvature, at least 0, and slope.
    """

    directions: torch.Tensor
    products: torch.Tensor
    used: torch.Tensor
    basis: torch.Tensor
    curvature: torch.Tensor
    slope: torch.Tensor

    def damped(self, index: torch.Tensor, damping: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the minimiser of the model plus damping/2 ‖p‖², and by how much the plain model falls there.

        Parameters
        ----------
        index : torch.Tensor, shape (n,), int64
            Images.
        damping : torch.Tensor, shape (n,), float64
            Of each, at least 0.
        """
        slope, curvature = self.slope[index], self.curvature[index]
        return self._move(index, self._coordinates(slope, curvature, damping))

    def within(self, index: torch.Tensor, radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the minimiser of the model within ‖p‖ ≤ radius, and by how much the model falls there.

        Parameters
        ----------
        index : torch.Tensor, shape (n,), int64
            Images.
        radius : torch.Tensor, shape (n,), float64
            Of each.
        """
        slope, curvature = self.slope[index], self.curvature[index]
        # ‖p‖ falls with the damping, and is at most ‖slope‖ / damping: bisection on the logarithm.
        norm = slope.square().sum(1).sqrt()
        high = norm / radius
        low = torch.zeros_like(high)
        inside = self._coordinates(slope, curvature, low).square().sum(1).sqrt() <= radius
        for k in range(60):
            middle = torch.where(low > 0, (low * high).sqrt(), high * 10.0 ** -(k + 1))
            short = self._coordinates(slope, curvature, middle).square().sum(1).sqrt() <= radius
            low, high = torch.where(short, low, middle), torch.where(short, middle, high)
        return self._move(index, self._coordinates(slope, curvature, torch.where(inside, 0.0, high)))

    @staticmethod
    def _coordinates(slope: torch.Tensor, curvature: torch.Tensor, damping: torch.Tensor) -> torch.Tensor:
        total = curvature + damping[:, None]
        # Vectors that the subspace lacks have neither slope nor curvature.
        return torch.where(total > 0, -slope / total, 0.0)

    def _move(self, index: torch.Tensor, along: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        falls = -(self.slope[index] * along + 0.5 * self.curvature[index] * along.square()).sum(1)
        weights = torch.bmm(self.basis[index], along[:, :, None])[:, :, 0].to(self.directions.dtype)
        return torch.bmm(weights[:, None], self.directions[index])[:, 0], falls


def explore(
    product: Product,
    grad: torch.Tensor,
    *,
    tolerance: torch.Tensor,
    damping: torch.Tensor,
    radius: torch.Tensor,
    iterations: int,
    precondition: Preconditioner | None = None,
) -> Subspace:
    """Run conjugate gradients on (B + μI) p = −g, each image until it has what it needs.

    An image is finished when ‖r‖ ≤ tolerance · ‖g‖ (Dembo & Steihaug, 1983), when p has left the radius
    (Steihaug, 1983), when B shows no curvature along a direction, or when a product is not finite.

    Parameters
    ----------
    product : callable
        Products with B; asked only of images that are not finished.
    grad : torch.Tensor, shape (N, d)
        g.
    tolerance, damping, radius : torch.Tensor, shape (N,), float64
        Relative residual, μ, and longest ‖p‖ of each image.
    iterations : int
        Most products for each image.
    precondition : callable, optional
        M; the identity unless given.
    """
    n = len(grad)
    apply = precondition if precondition is not None else (lambda index, r: r)
    running = torch.arange(n, device=grad.device)
    p_total, r = torch.zeros_like(grad), -grad
    z = apply(running, r)
    p, rz = z.clone(), inner(r, z)
    norm = sum_squares(grad).sqrt()
    directions, products = [], []
    used = torch.zeros(n, dtype=torch.int64, device=grad.device)
    for _ in range(iterations):
        length = sum_squares(p[running]).sqrt()
        running = running[torch.isfinite(length) & (length > 0) & (rz[running] > 0)]
        if len(running) == 0:
            break
        i = running
        unit = p[i] / per_image(sum_squares(p[i]).sqrt(), p)
        times = product(i, unit)
        bend = inner(unit, times)
        sound = torch.isfinite(sum_squares(times)) & (bend >= 0)
        i, unit, times, bend = i[sound], unit[sound], times[sound], bend[sound]
        column, column_product = torch.zeros_like(grad), torch.zeros_like(grad)
        column[i], column_product[i] = unit, times
        directions.append(column)
        products.append(column_product)
        used[i] += 1

        total = bend + damping[i]
        step = inner(unit, r[i]) / total
        curved = total > 0
        i, unit, times, step = i[curved], unit[curved], times[curved], step[curved]
        p_total[i] += per_image(step, unit) * unit
        r[i] -= per_image(step, unit) * (times + per_image(damping[i], unit) * unit)
        z_new = apply(i, r[i])
        rz_new = inner(r[i], z_new)
        p[i] = z_new + per_image(rz_new / rz[i], unit) * p[i]
        rz[i] = rz_new
        small = sum_squares(r[i]).sqrt() <= tolerance[i] * norm[i]
        far = sum_squares(p_total[i]).sqrt() >= radius[i]
        running = i[~(small | far)]
    return _subspace(grad, directions, products, used)


def _subspace(
    grad: torch.Tensor, directions: list[torch.Tensor], products: list[torch.Tensor], used: torch.Tensor
) -> Subspace:
    """Diagonalise the model over the directions; they need not be conjugate, as rounding leaves them."""
    if not directions:
        directions, products = [torch.zeros_like(grad)], [torch.zeros_like(grad)]
    s, y = torch.stack(directions, 1), torch.stack(products, 1)
    overlap = torch.bmm(s, s.transpose(1, 2)).double()
    scale, rotation = torch.linalg.eigh(overlap)
    # Directions that others span already, and those of zeros, are left out.
    keep = scale > 1e-6 * scale.amax(1, keepdim=True)
    whiten = rotation * torch.where(keep, scale.clamp(min=1e-300).rsqrt(), 0.0)[:, None]
    bend = torch.bmm(s, y.transpose(1, 2)).double()
    bend = 0.5 * (bend + bend.transpose(1, 2))
    curvature, turn = torch.linalg.eigh(whiten.transpose(1, 2) @ bend @ whiten)
    basis = whiten @ turn
    slope = torch.bmm(torch.bmm(s, grad[:, :, None]).double().transpose(1, 2), basis)[:, 0]
    return Subspace(s, y, used, basis, curvature.clamp(min=0), slope)
