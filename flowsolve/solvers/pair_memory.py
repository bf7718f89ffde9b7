"""The L-BFGS approximation of the inverse Hessian, every image with its own pairs.

The two-loop recursion runs on coefficients of the basis {s₁…s_m, y₁…y_m, g} (Chen, Wang & Zhou, "Large-scale
L-BFGS using MapReduce", NeurIPS 2014): a product reads the stored pairs twice, in batched matrix products,
instead of once for every pair and loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..objectives.base import inner, sum_squares


@dataclass
class PairMemory:
    """Steps and gradient differences of each image, as a ring; changed in place.

    Attributes
    ----------
    pairs : torch.Tensor, shape (N, 2 m, d)
        The last m steps s, then the last m gradient differences y.
    gram : torch.Tensor, shape (N, 2 m, 2 m), float64
        Inner products of `pairs`.
    head, used : torch.Tensor, shape (N,), int64
        Where the next pair goes, and how many there are.
    """

    pairs: torch.Tensor
    gram: torch.Tensor
    head: torch.Tensor
    used: torch.Tensor

    @classmethod
    def empty(cls, u: torch.Tensor, history: int) -> PairMemory:
        """Return a memory of `history` pairs for each image of the batch u."""
        n, m = len(u), history
        return cls(
            pairs=u.new_zeros(n, 2 * m, u[0].numel()),
            gram=u.new_zeros(n, 2 * m, 2 * m, dtype=torch.float64),
            head=torch.zeros(n, dtype=torch.int64, device=u.device),
            used=torch.zeros(n, dtype=torch.int64, device=u.device),
        )

    def multiply(self, v: torch.Tensor) -> torch.Tensor:
        """Return H v, of the shape of v (N, ...); without pairs H is the identity.

        Both loops of Nocedal & Wright, algorithm 7.4, are triangular systems in the inner products ⟨sᵢ, yⱼ⟩
        (Byrd, Nocedal & Schnabel, "Representations of quasi-Newton matrices", Mathematical Programming 1994),
        solved at once, so that many pairs cost little more than reading them.
        """
        longest, flat = int(self.used.max()) if len(v) else 0, v.flatten(1)
        if longest == 0:
            return v.clone()
        m, rows = self.pairs.shape[1] // 2, torch.arange(len(v), device=v.device)[:, None]
        age = torch.arange(longest, 0, -1, device=v.device)
        valid = age <= self.used[:, None]
        s = (self.head[:, None] - age) % m
        against = torch.bmm(self.pairs, flat[:, :, None])[:, :, 0].double()
        s_v, y_v = (torch.where(valid, against[rows, at], 0.0) for at in (s, s + m))
        both = valid[:, :, None] & valid[:, None, :]
        upper = torch.where(both, self.gram[rows[:, :, None], s[:, :, None], (s + m)[:, None, :]], 0.0).triu()
        y_y = torch.where(both, self.gram[rows[:, :, None], (s + m)[:, :, None], (s + m)[:, None, :]], 0.0)
        curvature = upper.diagonal(dim1=1, dim2=2).clone()
        gamma = torch.where(self.used > 0, curvature[:, -1] / y_y[:, -1, -1], 1.0)[:, None]
        # What is not a pair stands as the identity: it has coefficient 0 and touches no other.
        upper.diagonal(dim1=1, dim2=2).add_((~valid).double())
        alpha = torch.linalg.solve_triangular(upper, s_v[:, :, None], upper=True)
        remainder = y_v - torch.bmm(y_y, alpha)[:, :, 0]
        along = curvature * alpha[:, :, 0] - gamma * remainder
        of_s = torch.linalg.solve_triangular(upper.mT, along[:, :, None], upper=False)[:, :, 0]
        c = torch.zeros_like(against)
        c[rows, s], c[rows, s + m] = of_s, -gamma * alpha[:, :, 0]
        product = torch.bmm(c[:, None].to(flat.dtype), self.pairs)[:, 0] + gamma.to(flat.dtype) * flat
        return product.reshape(v.shape)

    def remember(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Store the pairs (s, y), shape (N, ...), of the images whose curvature ⟨s, y⟩ is safely positive."""
        curvature = inner(s, y)
        keep = curvature > 1e-10 * (sum_squares(s) * sum_squares(y)).sqrt()
        rows = keep.nonzero()[:, 0]
        if len(rows) == 0:
            return
        m, head = self.pairs.shape[1] // 2, self.head[rows]
        self.pairs[rows, head] = s.flatten(1)[rows]
        self.pairs[rows, head + m] = y.flatten(1)[rows]
        new = torch.stack([s.flatten(1), y.flatten(1)], 2)
        products = torch.bmm(self.pairs, new).double()[rows]
        for offset, column in ((0, products[:, :, 0]), (m, products[:, :, 1])):
            self.gram[rows, :, head + offset] = column
            self.gram[rows, head + offset, :] = column
        self.head[rows] = (head + 1) % m
        self.used[rows] = (self.used[rows] + 1).clamp(max=m)
