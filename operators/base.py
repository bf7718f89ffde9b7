"""The base class of every measurement operator.

A subclass says what the map and its adjoint do to raw arrays; this class adds what must
be the same for all: checks, batches, gradients, norms, transposes, arithmetic. What needs
A Aᵀ inverted lives in :mod:`.closedform`.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import Array, is_torch, to_numpy
from ..errors import ArgumentError, UnsupportedError
from ..numbers import plain
from .checks import as_shape, check_array, is_empty
from .closedform import ClosedForms
from .config import decode_options
from .iterative import power_iteration
from .registration import key_of, registered_name

if TYPE_CHECKING:
    from typing_extensions import Self

ESTIMATE_MARGIN = 1.01
"""An estimated norm is raised by this factor, since a power iteration ends below."""


class LinearOperator(ClosedForms):
    """A linear map A on batches of images.

    Operators take float32 or float64 arrays of NumPy, CuPy, torch or another array-API
    library, with any number of leading batch axes, and return the same library, dtype and
    device; inputs are never written to. A batch without images has measurements without
    images. On torch tensors, gradients of every order and mode go through the explicit adjoint.

    A subclass implements ``_apply`` and ``_adjoint`` in array-API code on raw arrays, and
    may implement ``_gram``, ``_cogram_function`` (with ``has_closed_form``), ``_lipschitz``,
    ``_select`` (where it has parameters per image) and ``_options``.

    Parameters
    ----------
    dim_shape : tuple of int
        Shape of one image, for example ``(3, 64, 64)``.
    codim_shape : tuple of int
        Shape of one measurement.
    n_images : int, optional
        Number of images that the operator has parameters for. Default ``None``: the
        parameters are shared by all images.
    """

    name: ClassVar[str] = ""
    # NumPy scalars and arrays on the left leave the multiplication to this class.
    __array_ufunc__ = None

    def __init__(
        self, dim_shape: Sequence[int], codim_shape: Sequence[int], *, n_images: int | None = None
    ) -> None:
        self._dim_shape = as_shape(dim_shape, "dim_shape")
        self._codim_shape = as_shape(codim_shape, "codim_shape")
        self._n_images = n_images
        self._norm: tuple[float, str] | None = None
        self._key = key_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle or a copy, under a key of its own."""
        self.__dict__.update(state)
        self._key = key_of(self)

    # What a subclass provides -------------------------------------------------------------

    def _apply(self, x: Array) -> Array:
        """Return A x for a raw array; may not mutate or return `x`."""
        raise NotImplementedError

    def _adjoint(self, y: Array) -> Array:
        """Return Aᵀ y for a raw array; may not mutate or return `y`."""
        raise NotImplementedError

    def _gram(self, x: Array) -> Array:
        """Return AᵀA x for a raw array, where it can be had for less than both maps."""
        return self._adjoint(self._apply(x))

    def _lipschitz(self) -> tuple[float, str]:
        """Return the norm and its kind; by default a seeded power iteration."""
        x = self._example(seed=0)
        squared = power_iteration(self._gram, x)
        return ESTIMATE_MARGIN * float(np.sqrt(squared)), "estimate"

    def _select(self, indices: list[int]) -> LinearOperator:
        """Return the operator for these images; only called where `n_images` is set."""
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-able values."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot be described, as a record does: it defines no _options(), which "
            "returns the constructor's arguments"
        )

    def _example(self, seed: int = 0) -> Array:
        """Return a random float64 image, or one per image, of a library the map works on."""
        batch = () if self.n_images is None else (self.n_images,)
        return np.random.default_rng(seed).standard_normal((*batch, *self.dim_shape))

    # What a user calls --------------------------------------------------------------------

    @property
    def dim_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self._dim_shape

    @property
    def codim_shape(self) -> tuple[int, ...]:
        """Shape of one measurement."""
        return self._codim_shape

    @property
    def n_images(self) -> int | None:
        """Number of images the parameters are for, or ``None`` where all share them."""
        return self._n_images

    @property
    def support(self) -> np.ndarray | None:
        """Which measured values depend on the image: booleans that broadcast to a measurement.

        ``None`` where all do. Where it is False the operator hides what is there, as a mask's holes do, and a
        measurement carries neither signal nor noise.
        """
        return None

    @property
    def frame(self) -> tuple[slice, slice] | None:
        """Rows and columns of the image that measurements show; ``None`` where they show all, or no image.

        Beyond it an image is only there to be blurred into the frame: nobody asks how well it is restored.
        """
        return None

    def apply(self, x: Array) -> Array:
        """Return A x.

        Parameters
        ----------
        x : array
            Images, float32 or float64, shape ``(..., *dim_shape)``.

        Returns
        -------
        array
            Shape ``(..., *codim_shape)``; library, dtype and device of `x`.

        Raises
        ------
        ArgumentError
            If the type, dtype or shape is wrong.
        """
        xp = check_array(x, "x", self._dim_shape, self._n_images)
        if is_empty(x):
            batch = tuple(x.shape)[: x.ndim - len(self._dim_shape)]
            return xp.zeros((*batch, *self._codim_shape), dtype=x.dtype, device=x.device)
        return _call(self, x, transposed=False)

    __call__ = apply

    def adjoint(self, y: Array) -> Array:
        """Return Aᵀ y.

        Parameters
        ----------
        y : array
            Measurements, float32 or float64, shape ``(..., *codim_shape)``.

        Returns
        -------
        array
            Shape ``(..., *dim_shape)``; library, dtype and device of `y`.

        Raises
        ------
        ArgumentError
            If the type, dtype or shape is wrong.
        """
        xp = check_array(y, "y", self._codim_shape, self._n_images)
        if is_empty(y):
            batch = tuple(y.shape)[: y.ndim - len(self._codim_shape)]
            return xp.zeros((*batch, *self._dim_shape), dtype=y.dtype, device=y.device)
        return _call(self, y, transposed=True)

    @property
    def T(self) -> LinearOperator:
        """The adjoint as an operator; ``op.T.T`` is ``op``."""
        from .views import Adjoint

        return Adjoint(self)

    @property
    def H(self) -> LinearOperator:
        """The same as ``T``: all operators are real."""
        return self.T

    def gram(self) -> LinearOperator:
        """Return AᵀA as an operator."""
        from .views import Gram

        return Gram(self)

    def cogram(self) -> LinearOperator:
        """Return AAᵀ as an operator."""
        from .views import Gram

        return Gram(self.T)

    @property
    def lipschitz(self) -> float:
        """The norm ‖A‖, the largest over the images; see `lipschitz_kind`. Cached."""
        if self._norm is None:
            self._norm = self._lipschitz()
        return self._norm[0]

    @property
    def lipschitz_kind(self) -> str:
        """What `lipschitz` is.

        ``"exact"``, ``"bound"`` (never below the norm), or ``"estimate"``: a seeded power
        iteration raised by 1 %, which is close to the norm but guarantees nothing.
        """
        if self._norm is None:
            self._norm = self._lipschitz()
        return self._norm[1]

    def select(self, indices: Any) -> LinearOperator:
        """Return the operator for some images of the batch.

        Parameters
        ----------
        indices : sequence or array of int
            Positions along the batch axis, in the order wanted.

        Returns
        -------
        LinearOperator
            This operator itself where all images share its parameters.

        Raises
        ------
        ArgumentError
            If an index is not an integer in ``[0, n_images)``, or there is none.
        """
        if self.n_images is None:
            return self
        items = np.ravel(to_numpy(indices)).tolist()
        accepted = f"one or more integers from 0 to {self.n_images - 1}"
        if not items or not all(
            isinstance(i, Integral) and not isinstance(i, bool) and 0 <= int(i) < self.n_images for i in items
        ):
            raise ArgumentError("indices", indices, accepted)
        return self._select([int(i) for i in items])

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description that :func:`from_config` turns back into an operator."""
        name = self.name or registered_name(type(self))
        if not name:
            raise UnsupportedError(
                f"{type(self).__name__} cannot be described, as a record does: it is not registered; put "
                '@flowsolve.operators.register_operator("name") before the class, and define _options()'
            )
        return {"name": name, **plain(self._options(), name)}

    @classmethod
    def from_config(cls, options: dict[str, Any]) -> Self:
        """Return an operator from the options of its ``config()`` (without the name)."""
        return cls(**decode_options(cls, options))

    def to_dense(self, dtype: Any = np.float64) -> np.ndarray:
        """Return the matrix of A as NumPy, column by column; for tests on small cases.

        Parameters
        ----------
        dtype : numpy dtype, optional
            float32 or float64.

        Returns
        -------
        numpy.ndarray
            Shape ``(m, n)``, or ``(n_images, m, n)`` where parameters are per image.
        """
        n = int(np.prod(self.dim_shape))
        basis = np.eye(n, dtype=dtype).reshape(n, *self.dim_shape)
        if self.n_images is None:
            return self._apply(basis).reshape(n, -1).T
        basis = np.repeat(basis[:, None], self.n_images, axis=1)
        return np.moveaxis(self._apply(basis).reshape(n, self.n_images, -1), 0, -1)

    # Arithmetic ---------------------------------------------------------------------------

    def __matmul__(self, other: Any) -> LinearOperator:
        from .algebra import compose

        return compose(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: Any) -> LinearOperator:
        from .algebra import Sum

        return Sum([self, other]) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: Any) -> LinearOperator:
        return self + (-other) if isinstance(other, LinearOperator) else NotImplemented

    def __mul__(self, scalar: Any) -> LinearOperator:
        from .algebra import scale

        return scale(self, float(scalar)) if isinstance(scalar, Real) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> LinearOperator:
        return self * -1.0

    def __repr__(self) -> str:
        per_image = "" if self.n_images is None else f", n_images={self.n_images}"
        return f"{type(self).__name__}({self.dim_shape} -> {self.codim_shape}{per_image})"


def _call(operator: LinearOperator, x: Array, *, transposed: bool) -> Array:
    if is_torch(x):
        from .autograd import operator_call

        return operator_call(operator, x, transposed)
    return operator._adjoint(x) if transposed else operator._apply(x)
