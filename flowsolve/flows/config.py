"""The numbers that fix a Glow: stored in every checkpoint, checked before any tensor is made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from ..errors import ArgumentError

FOREIGN_FIELDS = ("last_steps", "border", "changed", "shift", "scale_offset", "last_scale_offset")
"""Fields that only flows of other programs need."""


class GlowConfig(BaseModel):
    """Architecture of a Glow.

    Parameters
    ----------
    channels : int
        Colour channels of the images: 3 for RGB, 1 for grey.
    image_size : int or (int, int) or None
        Height and width of the images, each a multiple of ``2**levels``; one number for
        square images; None for a flow that takes any such size.
    levels : int
        Number of levels; each halves the height and the width.
    steps : int
        Steps (ActNorm, 1x1 convolution, coupling) a level.
    hidden : int
        Channels inside the couplings.
    coupling : {"additive", "affine"}
        ``b + t(a)``, or ``(b + t(a)) * sigmoid(s(a) + 2)``.
    split_prior : {"conditional", "standard"}
        Whether the mean and the deviation of what a level puts out are predicted from what
        goes on (and learned at the last level), or are 0 and 1.
    bits : int
        Bits a pixel value of the training images; only counts in bits a dimension.
    family : {"glow"}
        Kind of flow, for readers of the file.
    last_steps : int or None
        Steps of the last level, where they are not ``steps``.
    border : {0, 1}
        What stands around the input of each coupling's last convolution and of each split
        prior's; with 1 the moments of the last level depend on the position near the border.
    changed : {"second", "first"}
        Half that the couplings change, by a network of the other half.
    shift : {"before", "after"}
        Whether an affine coupling adds its shift t before or after it scales:
        ``(b + t) * scale`` or ``b * scale + t``.
    scale_offset : float
        Constant o in an affine coupling's ``scale = sigmoid(s(a) + 2) + o``.
    last_scale_offset : float or None
        The same at the last level, where it differs.

    Notes
    -----
    The fields from ``last_steps`` on are for flows of other programs; what
    :mod:`~flowsolve.flows.training` makes leaves them as they are, and so they stand in a file
    only where they say something.

    Examples
    --------
    >>> GlowConfig(image_size=64).latent_shapes()
    [(6, 32, 32), (12, 16, 16), (24, 8, 8), (96, 4, 4)]
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["glow"] = "glow"
    channels: int = Field(3, ge=1, le=64)
    image_size: int | tuple[int, int] | None = None
    levels: int = Field(4, ge=1, le=8)
    steps: int = Field(8, ge=1, le=256)
    hidden: int = Field(64, ge=1, le=8192)
    coupling: Literal["additive", "affine"] = "additive"
    split_prior: Literal["conditional", "standard"] = "conditional"
    bits: int = Field(8, ge=1, le=16)
    last_steps: int | None = Field(None, ge=1, le=256)
    border: Literal[0, 1] = 0
    changed: Literal["second", "first"] = "second"
    shift: Literal["before", "after"] = "before"
    scale_offset: float = Field(0.0, ge=0, allow_inf_nan=False)
    last_scale_offset: float | None = Field(None, ge=0, allow_inf_nan=False)

    @field_validator("image_size", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _size_divides(self) -> GlowConfig:
        if self.size is not None and not self.accepts(*self.size):
            raise ValueError(
                f"image_size {self.size[0]}x{self.size[1]} is not made of multiples of "
                f"2**levels = {self.multiple}"
            )
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Files of flows that do without these fields stay as they were, and older readers read them.
        fields, values = type(self).model_fields, handler(self)
        return {k: v for k, v in values.items() if k not in FOREIGN_FIELDS or v != fields[k].default}

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, or None where any multiple of ``2**levels`` will do."""
        if self.image_size is None or isinstance(self.image_size, tuple):
            return self.image_size
        return (self.image_size, self.image_size)

    @property
    def multiple(self) -> int:
        """What the height and the width must be multiples of."""
        return int(2**self.levels)

    def accepts(self, height: int, width: int) -> bool:
        """Tell whether the network can run on this size (trained for it or not)."""
        return min(height, width) > 0 and height % self.multiple == 0 and width % self.multiple == 0

    def level_channels(self, level: int) -> int:
        """Return the number of channels inside `level`, after its squeeze."""
        return int(self.channels * 2 ** (level + 2))

    def level_steps(self, level: int) -> int:
        """Return the number of steps in `level`."""
        if self.last_steps is None or level != self.levels - 1:
            return self.steps
        return self.last_steps

    def level_scale_offset(self, level: int) -> float:
        """Return the constant that the affine couplings of `level` add to their scales."""
        if self.last_scale_offset is None or level != self.levels - 1:
            return self.scale_offset
        return self.last_scale_offset

    def latent_shapes(self, size: tuple[int, int] | None = None) -> list[tuple[int, int, int]]:
        """Return the (channels, height, width) that each level puts out.

        Parameters
        ----------
        size : (int, int), optional
            Height and width of the image; the configuration's own by default.

        Raises
        ------
        ArgumentError
            If there is no size, or one that the network cannot run on.
        """
        size = self.size if size is None else size
        if size is None or not self.accepts(*size):
            raise ArgumentError("size", size, f"height and width in multiples of {self.multiple}")
        shapes = []
        for level in range(self.levels):
            put_out = self.level_channels(level) // (1 if level == self.levels - 1 else 2)
            shapes.append((put_out, size[0] >> (level + 1), size[1] >> (level + 1)))
        return shapes


def first_problem(error: ValidationError) -> str:
    """Return one line for the first problem that pydantic found."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text
