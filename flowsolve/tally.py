"""Counts of what a run cost: evaluations of E, D, their derivatives, A and its adjoint, per image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: What is counted. ``evaluations`` are calls for the objective's value (with or without its gradient),
#: ``gradients`` those with one, ``trials`` the evaluations that a line search or a backtracking spent,
#: accepted or not. ``E`` and ``D`` are passes through the encoder and the decoder, ``vjp_E`` and ``vjp_D``
#: their vector-Jacobian products, ``jvp_E`` and ``jvp_D`` their Jacobian-vector products, ``A`` and ``AT``
#: the operator and its adjoint, ``prox`` proximal steps.
COUNTED = (
    "evaluations",
    "gradients",
    "trials",
    "E",
    "vjp_E",
    "jvp_E",
    "D",
    "vjp_D",
    "jvp_D",
    "A",
    "AT",
    "prox",
)


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
    limit : int or None
        Evaluations that an image may take: solvers whose steps take many look at it within a step.
    """

    def __init__(self, n_images: int) -> None:
        self.counts = {name: np.zeros(n_images, dtype=np.int64) for name in COUNTED}
        self.limit: int | None = None

    def add(self, indices: np.ndarray, *names: str) -> None:
        """Add one to each of `names` for the images at `indices`, as often as an image is there."""
        for name in names:
            np.add.at(self.counts[name], indices, 1)

    def copy(self) -> dict[str, np.ndarray]:
        """Return the counts as they are now."""
        return {name: values.copy() for name, values in self.counts.items()}


def with_all_counts(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns of a trace with zeros for what the version that wrote them did not count.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray
        Columns of one shape; without ``evaluations`` there are no counts, and nothing is added.

    Returns
    -------
    dict of str to numpy.ndarray
        `columns`, then those of `COUNTED` that were missing.
    """
    missing = [name for name in COUNTED if name not in columns and "evaluations" in columns]
    return {**columns, **{name: np.zeros_like(columns["evaluations"]) for name in missing}}
