"""Operators made of operators: products, sums, multiples, stacks, direct sums."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .config import from_config
from .identity import Identity
from .registration import register_composite


def _check_operators(operators: Any) -> list[LinearOperator]:
    items = list(operators) if isinstance(operators, Sequence) else []
    if not items or not all(isinstance(op, LinearOperator) for op in items):
        raise ArgumentError("operators", operators, "a list of one or more linear operators")
    return items


def _common_n_images(operators: Sequence[LinearOperator]) -> int | None:
    counts = {op.n_images for op in operators} - {None}
    if len(counts) > 1:
        given = f"parameters for {sorted(c for c in counts if c is not None)} images"
        raise ArgumentError("operators", given, "operators for the same number of images")
    return counts.pop() if counts else None


def _numbers(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


class _Composite(LinearOperator):
    """An operator made of a list of operators."""

    def __init__(self, operators: Sequence[LinearOperator], dim_shape: Any, codim_shape: Any) -> None:
        super().__init__(dim_shape, codim_shape, n_images=_common_n_images(operators))
        self.operators = tuple(operators)

    def _select(self, indices: list[int]) -> LinearOperator:
        return type(self)([op.select(indices) for op in self.operators])  # type: ignore[call-arg]

    def _bound(self, norms: list[float]) -> float:
        """Return a bound on the norm from the norms of the parts."""
        raise NotImplementedError

    def _lipschitz(self) -> tuple[float, str]:
        kinds = {op.lipschitz_kind for op in self.operators}
        if "estimate" in kinds:
            return super()._lipschitz()
        return self._bound([op.lipschitz for op in self.operators]), "bound"

    def _options(self) -> dict[str, Any]:
        return {"operators": [op.config() for op in self.operators]}

    @classmethod
    def from_config(cls, options: dict[str, Any]) -> Any:
        """Return the composite of the operators that the options describe."""
        return cls([from_config(item) for item in options["operators"]])  # type: ignore[call-arg]


@register_composite("compose")
class Composition(_Composite):
    """The product of operators, applied from right to left.

    Parameters
    ----------
    operators : sequence of LinearOperator
        ``[A, B]`` for A B.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        parts = _check_operators(operators)
        for left, right in itertools.pairwise(parts):
            if left.dim_shape != right.codim_shape:
                raise ArgumentError(
                    "operators",
                    f"a right operator with measurements of shape {right.codim_shape}",
                    f"one of shape {left.dim_shape}, which the left operator takes",
                )
        super().__init__(parts, parts[-1].dim_shape, parts[0].codim_shape)

    @property
    def support(self) -> np.ndarray | None:
        """The support of the operator applied last."""
        return self.operators[0].support

    def _apply(self, x: Array) -> Array:
        for op in reversed(self.operators):
            x = op._apply(x)
        return x

    def _adjoint(self, y: Array) -> Array:
        for op in self.operators:
            y = op._adjoint(y)
        return y

    def _bound(self, norms: list[float]) -> float:
        return math.prod(norms)


@register_composite("sum")
class Sum(_Composite):
    """The sum of operators between the same spaces.

    Parameters
    ----------
    operators : sequence of LinearOperator
        All with the same `dim_shape` and `codim_shape`.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        parts = _check_operators(operators)
        first = parts[0]
        for op in parts[1:]:
            if (op.dim_shape, op.codim_shape) != (first.dim_shape, first.codim_shape):
                accepted = f"{first.dim_shape} -> {first.codim_shape}, as the first operator"
                raise ArgumentError("operators", f"{op.dim_shape} -> {op.codim_shape}", accepted)
        super().__init__(parts, first.dim_shape, first.codim_shape)

    def _apply(self, x: Array) -> Array:
        total = self.operators[0]._apply(x)
        for op in self.operators[1:]:
            total = total + op._apply(x)
        return total

    def _adjoint(self, y: Array) -> Array:
        total = self.operators[0]._adjoint(y)
        for op in self.operators[1:]:
            total = total + op._adjoint(y)
        return total

    def _bound(self, norms: list[float]) -> float:
        return math.fsum(norms)


@register_composite("scale")
class Scaled(LinearOperator):
    """A multiple of an operator; it keeps the closed forms.

    Parameters
    ----------
    operator : LinearOperator
        The operator A.
    scalar : float
        The factor c of c A, any finite number.
    """

    def __init__(self, operator: LinearOperator, scalar: float) -> None:
        if not math.isfinite(scalar):
            raise ArgumentError("scalar", scalar, "a finite number")
        super().__init__(operator.dim_shape, operator.codim_shape, n_images=operator.n_images)
        self.operator, self.scalar = operator, float(scalar)

    @property
    def has_closed_form(self) -> bool:
        """Whether the operator behind has one."""
        return self.operator.has_closed_form

    @property
    def support(self) -> np.ndarray | None:
        """The support of the operator that is scaled."""
        return self.operator.support

    def _apply(self, x: Array) -> Array:
        return self.scalar * self.operator._apply(x)

    def _adjoint(self, y: Array) -> Array:
        return self.scalar * self.operator._adjoint(y)

    def _gram(self, x: Array) -> Array:
        return self.scalar**2 * self.operator._gram(x)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return self.operator._cogram_function(lambda e: f(self.scalar**2 * e), y)

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        return self.scalar * self.operator._adjoint_cogram_function(lambda e: f(self.scalar**2 * e), y)

    def _lipschitz(self) -> tuple[float, str]:
        return abs(self.scalar) * self.operator.lipschitz, self.operator.lipschitz_kind

    def _select(self, indices: list[int]) -> LinearOperator:
        return Scaled(self.operator.select(indices), self.scalar)

    def _options(self) -> dict[str, Any]:
        return {"operator": self.operator.config(), "scalar": self.scalar}

    @classmethod
    def from_config(cls, options: dict[str, Any]) -> Any:
        """Return the multiple of the operator that the options describe."""
        return cls(from_config(options["operator"]), options["scalar"])


class _Blocks(_Composite):
    """Operators side by side, whose operands are laid out one after the other, flat."""

    def _split(self, z: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
        xp = namespace(z)
        batch, parts, start = tuple(z.shape)[:-1], [], 0
        for shape in shapes:
            stop = start + _numbers(shape)
            parts.append(xp.reshape(z[..., start:stop], (*batch, *shape)))
            start = stop
        return parts

    def _join(self, parts: list[Array], shapes: list[tuple[int, ...]]) -> Array:
        xp = namespace(parts[0])
        flat = [
            xp.reshape(p, (*tuple(p.shape)[: p.ndim - len(s)], _numbers(s)))
            for p, s in zip(parts, shapes, strict=True)
        ]
        return xp.concat(flat, axis=-1)

    def split(self, y: Array) -> list[Array]:
        """Return the measurement of each part, in its own shape, from the flat measurement.

        Parameters
        ----------
        y : array
            Shape ``(..., m)``.

        Returns
        -------
        list of array
            One per operator, shape ``(..., *codim_shape)`` of that operator.
        """
        return self._split(y, [op.codim_shape for op in self.operators])


@register_composite("stack")
class Stack(_Blocks):
    """Several measurements of one image, one after the other in a flat vector.

    Parameters
    ----------
    operators : sequence of LinearOperator
        All with the same `dim_shape`; the result's `codim_shape` is ``(m,)``.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        parts = _check_operators(operators)
        for op in parts[1:]:
            if op.dim_shape != parts[0].dim_shape:
                accepted = f"operators on images of shape {parts[0].dim_shape}"
                raise ArgumentError("operators", f"one on images of shape {op.dim_shape}", accepted)
        super().__init__(parts, parts[0].dim_shape, (sum(_numbers(op.codim_shape) for op in parts),))

    def _apply(self, x: Array) -> Array:
        return self._join([op._apply(x) for op in self.operators], [op.codim_shape for op in self.operators])

    def _adjoint(self, y: Array) -> Array:
        parts = self.split(y)
        total = self.operators[0]._adjoint(parts[0])
        for op, part in zip(self.operators[1:], parts[1:], strict=True):
            total = total + op._adjoint(part)
        return total

    def _gram(self, x: Array) -> Array:
        total = self.operators[0]._gram(x)
        for op in self.operators[1:]:
            total = total + op._gram(x)
        return total

    def _bound(self, norms: list[float]) -> float:
        return float(np.linalg.norm(norms))


@register_composite("block_diag")
class BlockDiagonal(_Blocks):
    """The direct sum of operators: each acts on its own part of a flat vector.

    Parameters
    ----------
    operators : sequence of LinearOperator
        Any; the result maps shape ``(n,)`` to shape ``(m,)``.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        parts = _check_operators(operators)
        n, m = (sum(_numbers(s) for s in shapes) for shapes in self._shapes(parts))
        super().__init__(parts, (n,), (m,))

    @staticmethod
    def _shapes(parts: Sequence[LinearOperator]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        return [op.dim_shape for op in parts], [op.codim_shape for op in parts]

    def _apply(self, x: Array) -> Array:
        dims, codims = self._shapes(self.operators)
        parts = self._split(x, dims)
        return self._join([op._apply(p) for op, p in zip(self.operators, parts, strict=True)], codims)

    def _adjoint(self, y: Array) -> Array:
        dims, codims = self._shapes(self.operators)
        parts = self._split(y, codims)
        return self._join([op._adjoint(p) for op, p in zip(self.operators, parts, strict=True)], dims)

    def _lipschitz(self) -> tuple[float, str]:
        norm, kind = super()._lipschitz()
        exact = all(op.lipschitz_kind == "exact" for op in self.operators)
        return (norm, "exact") if exact else (norm, kind)

    def _bound(self, norms: list[float]) -> float:
        return max(norms)


def compose(left: LinearOperator, right: LinearOperator) -> LinearOperator:
    """Return the product of two operators; what is merely identity disappears.

    Raises
    ------
    ArgumentError
        If the right operator's measurements are not what the left operator takes.
    """
    product = Composition([left, right])
    if isinstance(left, Identity):
        return right
    if isinstance(right, Identity):
        return left
    return product


def scale(operator: LinearOperator, scalar: float) -> LinearOperator:
    """Return a multiple of an operator; multiples of multiples are merged."""
    if isinstance(operator, Scaled):
        return scale(operator.operator, scalar * operator.scalar)
    return operator if scalar == 1.0 else Scaled(operator, scalar)


def stack(operators: Sequence[LinearOperator]) -> Stack:
    """Return the operator that takes all the measurements of one image.

    Parameters
    ----------
    operators : sequence of LinearOperator
        All with the same `dim_shape`.

    Returns
    -------
    Stack
        With flat measurements of shape ``(m,)``, in the order given; see ``Stack.split``.

    Raises
    ------
    ArgumentError
        If there is none, or their images differ in shape.
    """
    return Stack(operators)


def block_diag(operators: Sequence[LinearOperator]) -> BlockDiagonal:
    """Return the direct sum of operators, between flat vectors.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    return BlockDiagonal(operators)
