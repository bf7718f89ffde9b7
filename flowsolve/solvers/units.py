"""Units a descent works in: a change of variable u = S v with S symmetric, of which S and S⁻¹ are needed.

In good units an objective bends about as much in every direction (preconditioning; Nocedal & Wright, 2006,
section 5.1). S is a positive weight for each value, either of the variable itself or of its cosine transform.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Units:
    """The matrix S.

    Attributes
    ----------
    weights : torch.Tensor, shape (N or 1, d)
        Positive weights.
    spectral : bool
        Whether they weigh the cosine transform of images (N, C, H, W), and not the variable itself.
    """

    weights: torch.Tensor
    spectral: bool = False

    def apply(self, v: torch.Tensor) -> torch.Tensor:
        """Return S v, of the shape of v."""
        return self._weighed(v, self.weights)

    def inverse(self, v: torch.Tensor) -> torch.Tensor:
        """Return S⁻¹ v, of the shape of v."""
        return self._weighed(v, 1 / self.weights)

    def _weighed(self, v: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        weights = weights.reshape(len(weights), *v.shape[1:])
        if not self.spectral:
            return v * weights
        return from_cosines(to_cosines(v) * weights)


def to_cosines(x: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal cosine transform (DCT-II) of images (N, C, H, W)."""
    rows, columns = (_cosines(side, x.dtype, x.device) for side in x.shape[-2:])
    return rows @ x @ columns.T


def from_cosines(c: torch.Tensor) -> torch.Tensor:
    """Return the images (N, C, H, W) that have the cosine transform c, which is also the adjoint."""
    rows, columns = (_cosines(side, c.dtype, c.device) for side in c.shape[-2:])
    return rows.T @ c @ columns


def root_spectrum(u: torch.Tensor) -> torch.Tensor:
    """Return (1 + |k|)^(-1/2) for each cosine frequency k, in half periods an image, of images like u.

    The amplitudes of photographs fall about like 1/|k| (Field, "Relations between the statistics of natural
    images and the response properties of cortical cells", JOSA A 1987), and a prior of images bends the more
    the less of a frequency there is. The root of that law is between it and no change of units: of the two
    ends the law itself fits the prior alone, the other a data term that measures all frequencies alike.

    Parameters
    ----------
    u : torch.Tensor, shape (N, C, H, W)
        Images.

    Returns
    -------
    torch.Tensor, shape (1, C·H·W)
        Weights of `Units` with ``spectral=True``.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64, device=u.device) for side in u.shape[-2:])
    radius = (rows[:, None] ** 2 + columns**2).sqrt()
    return (1 + radius).rsqrt().expand(u.shape[1:]).reshape(1, -1).to(u.dtype)


@functools.lru_cache(maxsize=16)
def _cosines(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the orthonormal cosine transform (DCT-II) as a matrix (n, n): two products transform images."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * k + 1) * k[:, None] / (2 * n)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.to(device=device, dtype=dtype)
