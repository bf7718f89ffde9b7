"""Batches without images: every operator and closed form maps them to such a batch, in every library."""

import numpy as np
import pytest
import torch

from flowsolve.errors import UnsupportedError


def maps(operator, x, y):
    dim, codim = operator.dim_shape, operator.codim_shape
    yield operator.apply(x), codim
    yield operator.adjoint(y), dim
    yield operator.gram().apply(x), dim
    yield operator.T.apply(y), dim
    yield operator.pinv(y), dim
    yield operator.tikhonov(y, 0.1), dim
    yield operator.prox_l2(x, y, 0.1), dim
    yield operator.prox_l2(x, y, float("inf")), dim
    yield operator.project_nullspace(x), dim
    if operator.has_closed_form:
        yield operator.cogram_function(lambda e: 1 / (1 + e), y), codim
        yield operator.gram_function(lambda e: 1 / (1 + e), x), dim


@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
def test_of_no_images_there_are_none(operator, library):
    batch = (0,) if operator.n_images is None else (0, operator.n_images)
    x = library.zeros((*batch, *operator.dim_shape), dtype=library.float32)
    y = library.zeros((*batch, *operator.codim_shape), dtype=library.float32)
    try:
        for found, shape in maps(operator, x, y):
            assert tuple(found.shape) == (*batch, *shape) and found.dtype == library.float32
    except UnsupportedError:
        pytest.skip("has no such form")
