"""Counts of what a run cost: evaluations of E, D, their derivatives, A and its adjoint, per image."""

from __future__ import annotations

import numpy as np

#: What is counted. ``evaluations`` are calls for the objective's value (with or without its gradient),
#: ``gradients`` those with one, ``trials`` the evaluations that a line search or a backtracking spent,
#: accepted or not. ``E`` and ``D`` are passes through the encoder and the decoder, ``vjp_E`` and ``vjp_D``
#: their vector-Jacobian products, ``A`` and ``AT`` the operator and its adjoint, ``prox`` proximal steps.
COUNTED = ("evaluations", "gradients", "trials", "E", "vjp_E", "D", "vjp_D", "A", "AT", "prox")


class Tally:
    """Per-image counters.

    Parameters
    ----------
    n_images : int
        Number of images.

    Attributes
    ----------
    counts : dict of str to numpy.ndarray
        For each name of `COUNTED` an int64 array of shape (n_images,).
    """

    def __init__(self, n_images: int) -> None:
        self.counts = {name: np.zeros(n_images, dtype=np.int64) for name in COUNTED}

    def add(self, indices: np.ndarray, *names: str) -> None:
        """Add one to each of `names` for the images at `indices`."""
        for name in names:
            self.counts[name][indices] += 1

    def copy(self) -> dict[str, np.ndarray]:
        """Return the counts as they are now."""
        return {name: values.copy() for name, values in self.counts.items()}
