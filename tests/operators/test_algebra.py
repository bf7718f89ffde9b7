"""Arithmetic of operators against arithmetic of their matrices."""

import copy
import pickle

import numpy as np
import pytest

from flowsolve.errors import UnsupportedError
from flowsolve.operators import (
    Blur,
    Downsample,
    Identity,
    LinearOperator,
    Mask,
    block_diag,
    registry,
    stack,
)

SHAPE = (1, 4, 6)
A = Blur(np.random.default_rng(0).standard_normal((3, 2)), SHAPE)
B = Mask(np.random.default_rng(1).standard_normal(SHAPE))
D = Downsample(2, SHAPE)


@pytest.mark.parametrize(
    ("operator", "matrix"),
    [
        (A @ B, A.to_dense() @ B.to_dense()),
        (D @ A @ B, D.to_dense() @ A.to_dense() @ B.to_dense()),
        (A + B, A.to_dense() + B.to_dense()),
        (A - B, A.to_dense() - B.to_dense()),
        (2 * A, 2 * A.to_dense()),
        (A * np.float64(-0.5), -0.5 * A.to_dense()),
        (np.float32(2) * A, 2 * A.to_dense()),
        (-A, -A.to_dense()),
        (A.T, A.to_dense().T),
        (D.H, D.to_dense().T),
        (A.gram(), A.to_dense().T @ A.to_dense()),
        (D.cogram(), D.to_dense() @ D.to_dense().T),
        (stack([A, D]), np.vstack([A.to_dense(), D.to_dense()])),
        (
            block_diag([A, D]),
            np.block([[A.to_dense(), np.zeros((24, 24))], [np.zeros((6, 24)), D.to_dense()]]),
        ),
    ],
)
def test_matrix(operator, matrix):
    np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-14)


def test_simplifications():
    gram = A.gram()
    assert A.T.T is A and gram.T is gram
    assert (A @ Identity(SHAPE)) is A and (Identity(D.codim_shape) @ D) is D
    assert (2 * (0.5 * A)) is A
    assert (0 * A).pinv(np.ones(SHAPE)).max() == 0


def test_closed_forms_only_where_true():
    assert (2 * A).has_closed_form and A.T.has_closed_form and A.gram().has_closed_form
    assert not (A @ B).has_closed_form and not (A + B).has_closed_form and not stack([A, D]).has_closed_form
    with pytest.raises(UnsupportedError, match="Sum has no closed form"):
        (A + B).cogram_function(lambda e: e, np.ones(SHAPE))
    with pytest.raises(UnsupportedError, match="Sum has no closed form"):
        (A + B).gram_function(lambda e: e, np.ones(SHAPE))


def test_split_gives_back_the_measurements():
    x = np.random.default_rng(2).standard_normal((3, *SHAPE))
    first, second = stack([A, D]).split(stack([A, D])(x))
    np.testing.assert_array_equal(first, A(x))
    np.testing.assert_array_equal(second, D(x))


def test_select_reaches_the_parts():
    masks = Mask.random(0.4, dim_shape=SHAPE, n_images=4)
    x = np.random.default_rng(2).standard_normal((4, *SHAPE))
    for op in (masks @ A, masks + B, 2 * masks, stack([A, masks]), masks.T, masks.gram(), A @ masks @ B):
        assert op.n_images == 4
        part = op.select([3, 1])
        assert part.n_images == 2
        np.testing.assert_allclose(part(x[[3, 1]]), op(x)[[3, 1]], atol=1e-14)
    assert A.select([0, 5]) is A
    assert (A @ B).select([0]).n_images is None


def test_per_image_matrix():
    masks = Mask.random(0.4, dim_shape=SHAPE, n_images=2)
    dense = (masks @ A).to_dense()
    assert dense.shape == (2, 24, 24)
    np.testing.assert_allclose(dense[1], masks.select([1]).to_dense()[0] @ A.to_dense(), atol=1e-14)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda op: pickle.loads(pickle.dumps(op))])
def test_copies_work_and_leave_caches_behind(duplicate):
    op = stack([A, 2 * B])
    op(np.ones(SHAPE, dtype=np.float32))
    again = duplicate(op)
    assert again.operators[0]._convolution.spectrum._cache == {}
    np.testing.assert_array_equal(again(np.ones(SHAPE)), op(np.ones(SHAPE)))


def test_norms_of_composites():
    assert (-3 * A).lipschitz == pytest.approx(3 * A.lipschitz) and (-3 * A).lipschitz_kind == "exact"
    assert (A @ B).lipschitz_kind == "bound" and stack([A, B]).lipschitz_kind == "bound"
    assert A.gram().lipschitz == pytest.approx(A.lipschitz**2)
    assert block_diag([A, D]).lipschitz_kind == "exact"


class Shear(LinearOperator):
    """An operator that knows nothing but itself and its adjoint."""

    def __init__(self):
        super().__init__((5,), (5,))

    def _apply(self, x):
        return x + np.roll(x, 1, axis=-1) * np.arange(5.0)

    def _adjoint(self, y):
        return y + np.roll(y * np.arange(5.0), -1, axis=-1)


def test_estimated_norm_is_seeded_and_near():
    norm = np.linalg.norm(Shear().to_dense(), 2)
    assert Shear().lipschitz == Shear().lipschitz
    assert Shear().lipschitz_kind == "estimate"
    assert norm <= Shear().lipschitz <= 1.011 * norm
    assert (Shear() @ Shear()).lipschitz_kind == "estimate"
    with pytest.raises(UnsupportedError, match="Shear cannot be described"):
        Shear().config()


def test_lists_show_first_lines():
    names = "blur downsample fourier gradient grey identity mask mosaic radon random_projection resize "
    assert set(registry.names()) >= set((names + "scaling separable_blur varying_blur").split())
    assert registry.summary("mask").startswith("Multiply by a mask")


def test_repr():
    assert repr(D) == "Downsample((1, 4, 6) -> (1, 2, 3))"
    assert repr(Mask.random(dim_shape=SHAPE, n_images=2)).endswith("n_images=2)")


def test_not_operators():
    with pytest.raises(TypeError):
        A @ np.ones(SHAPE)
    with pytest.raises(TypeError):
        A + 1
    with pytest.raises(TypeError):
        A * "2"
