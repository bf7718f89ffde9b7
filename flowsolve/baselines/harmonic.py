"""Harmonic inpainting: Laplace's equation in the holes of a mask."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from ..errors import UnsupportedError
from ..operators import Mask
from ..problem import InverseProblem
from .base import registry


@registry.register("harmonic")
def harmonic_fill(problem: InverseProblem) -> torch.Tensor:
    """Missing pixels by Laplace's equation from the known ones (masks only).

    Each unknown pixel is the mean of its neighbours, with reflecting image borders; known pixels
    are as measured, over their weight. Pixels whose weight is below the noise level, so that their noise
    is wider than the range of images, count as unknown. Solved exactly, with one factorisation for each
    distinct mask.

    Raises
    ------
    UnsupportedError
        If the operator is not a mask.
    """
    operator = problem.operator
    if not isinstance(operator, Mask):
        raise UnsupportedError(f"harmonic: works for a Mask, not for {type(operator).__name__}")
    y = problem.y.detach().cpu().double().numpy()
    n, channels, height, width = y.shape
    weights = np.broadcast_to(operator.mask, y.shape).reshape(n * channels, -1)
    planes = y.reshape(n * channels, -1)
    # Not where that would leave nothing of an image.
    size = np.abs(weights).reshape(n, -1)
    least = np.minimum(problem.sigma, size.max(1, keepdims=True) / 2)
    known = (size > least).reshape(weights.shape)
    divided = np.divide(planes, weights, out=np.zeros_like(planes), where=known)
    filled = divided.copy()
    groups: dict[bytes, list[int]] = {}
    for row in range(len(planes)):
        groups.setdefault(np.packbits(known[row]).tobytes(), []).append(row)
    laplacian = _laplacian(height, width)
    for rows in map(np.array, groups.values()):
        unknown = np.flatnonzero(~known[rows[0]])
        given = np.flatnonzero(known[rows[0]])
        if not len(given):
            # A channel that is hidden altogether takes the mean of the image's known pixels.
            for row in rows:
                image = slice(row // channels * channels, (row // channels + 1) * channels)
                filled[row] = divided[image][known[image]].mean()
        elif len(unknown):
            across = laplacian[unknown]
            right = -(across[:, given] @ filled[np.ix_(rows, given)].T)
            filled[np.ix_(rows, unknown)] = splu(across[:, unknown].tocsc()).solve(right).T
    return torch.as_tensor(filled.reshape(y.shape)).to(problem.y)


def _laplacian(height: int, width: int) -> csr_array:
    """Return the graph Laplacian of the grid of pixels; leaving out neighbours beyond reflects borders."""
    index = np.arange(height * width).reshape(height, width)
    a = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    b = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    n = height * width
    one_way = coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    adjacency = (one_way + one_way.T).tocsr()
    return (diags_array(adjacency.sum(axis=1)) - adjacency).tocsr()
