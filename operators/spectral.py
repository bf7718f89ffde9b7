"""Functions of eigenvalues where an image and its measurement differ in their number of axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array, namespace

Scalar = Callable[[Array], Array]


def with_axes(f: Scalar, given: int, wanted: int) -> Scalar:
    """Return a function of eigenvalues that lays them out with other axes before it calls `f`.

    A function that differs from image to image holds its numbers with as many axes of length
    one after the batch as the space has that it acts on. AᵀA acts on images, but its
    eigenvalues are those of A Aᵀ and come with the axes of a measurement: numbers for the one
    would meet the wrong axes of the other, and silently where lengths happen to agree.

    Parameters
    ----------
    f : callable
        Takes eigenvalues whose last `wanted` axes are not the batch's.
    given, wanted : int
        Number of those axes in what the returned function takes, and in what `f` takes.

    Returns
    -------
    callable
        Of eigenvalues and results with `given` axes after the batch.
    """
    if given == wanted:
        return f

    def laid_out(e: Array) -> Array:
        xp, shape = namespace(e), tuple(e.shape)
        batch, own = shape[: len(shape) - given], shape[len(shape) - given :]
        if wanted > given:
            shown = (1,) * (wanted - given) + own
        else:
            merged = given - wanted + 1
            shown = (math.prod(own[:merged]), *own[merged:])
        result = f(xp.reshape(e, (*batch, *shown)))
        leading = np.broadcast_shapes(tuple(result.shape), (*batch, *shown))[:-wanted]
        return xp.reshape(xp.broadcast_to(result, (*leading, *shown)), (*leading, *own))

    return laid_out
