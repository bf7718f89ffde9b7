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
        """Return H v, of the shape of v (N, ...): the two-loop recursion of Nocedal & Wright, algorithm 7.4.

        Without pairs H is the identity.
        """
        m, rows = self.pairs.shape[1] // 2, torch.arange(len(v), device=v.device)
        flat = v.flatten(1)
        against = torch.bmm(self.pairs, flat[:, :, None])[:, :, 0].double()
        # Coefficients over the pairs; that of v itself is kept apart.
        c = torch.zeros_like(against)
        c_v = torch.ones(len(v), dtype=torch.float64, device=v.device)
        alphas = []
        longest = int(self.used.max()) if len(v) else 0
        for back in range(1, longest + 1):
            s = (self.head - back) % m
            valid = back <= self.used
            along = (c * self.gram[rows, s]).sum(1) + c_v * against[rows, s]
            alpha = torch.where(valid, along / self.gram[rows, s, s + m], 0.0)
            c[rows, s + m] -= alpha
            alphas.append(alpha)
        if longest:
            last = (self.head - 1) % m
            gamma = self.gram[rows, last, last + m] / self.gram[rows, last + m, last + m]
            gamma = torch.where(self.used > 0, gamma, 1.0)
            c, c_v = c * gamma[:, None], c_v * gamma
        for back in range(longest, 0, -1):
            s = (self.head - back) % m
            valid = back <= self.used
            along = (c * self.gram[rows, s + m]).sum(1) + c_v * against[rows, s + m]
            beta = torch.where(valid, along / self.gram[rows, s, s + m], 0.0)
            c[rows, s] += alphas[back - 1] - beta
        product = torch.bmm(c[:, None].to(flat.dtype), self.pairs)[:, 0] + c_v[:, None].to(flat.dtype) * flat
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
