"""Missing pixels: random, a hole in the middle, or any mask, shared or one per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ArgumentError
from .checks import as_pair, as_shape
from .config import encode_array
from .diagonal import Diagonal
from .recipes import resolve_mask
from .registration import register_operator


@register_operator("mask")
class Mask(Diagonal):
    """Multiply by a mask: missing pixels (inpainting), shared or one mask per image.

    Measurements have the images' shape, with zeros where the mask is zero.

    Parameters
    ----------
    mask : array or mapping
        Weights, any finite numbers (or booleans): an array of at most three axes that
        broadcasts to `dim_shape`, such as ``(H, W)``, shared by all images; or of four
        axes, ``(N, C or 1, H, W)``, one mask for each of N images. Or a recipe:
        ``{"random": {"missing": 0.6, "seed": 0}}`` or ``{"box": {"size": 21}}``.
    dim_shape : (int, int, int), optional
        Shape ``(C, H, W)`` of one image. Default: the mask's own last three axes.

    Raises
    ------
    ArgumentError
        If the mask does not fit, is not finite, or is zero everywhere (for any image).
    """

    def __init__(self, mask: Array | Mapping[str, Any], dim_shape: Sequence[int] | None = None) -> None:
        shape = None if dim_shape is None else as_shape(dim_shape, "dim_shape", 3)
        host, self._recipe = resolve_mask(mask, shape, RECIPES)
        super().__init__(host, shape, "mask")
        per_image = host.reshape(host.shape[0], -1) if host.ndim == 4 else host.reshape(1, -1)
        empty = np.flatnonzero(~per_image.any(axis=1))
        if empty.size:
            where = f" (image {empty[0]})" if host.ndim == 4 else ""
            raise ArgumentError("mask", f"an empty mask{where}", "a mask that keeps at least one pixel")

    @classmethod
    def random(
        cls,
        missing: float = 0.6,
        *,
        dim_shape: Sequence[int],
        seed: int = 0,
        n_images: int | None = None,
    ) -> Mask:
        """Return masks that keep round((1 − missing) H W) pixels, the same in all channels.

        Parameters
        ----------
        missing : float, optional
            Fraction of pixels left out, in [0, 1).
        dim_shape : (int, int, int)
            Shape ``(C, H, W)`` of one image.
        seed : int, optional
            Seed, >= 0.
        n_images : int, optional
            Draw a different mask for each of so many images; the mask of image i depends
            on the seed and i alone. Default: one mask for all, which is that of image 0.

        Returns
        -------
        Mask
            With weights 0 and 1.

        Raises
        ------
        ArgumentError
            If `missing`, `seed` or `n_images` is out of range, or no pixel would be left.
        """
        options = {"missing": missing, "seed": seed, "n_images": n_images}
        return cls({"random": options}, dim_shape)

    @classmethod
    def box(cls, size: int | Sequence[int], *, dim_shape: Sequence[int]) -> Mask:
        """Return the mask with a hole of `size` (an int, or rows and columns) in the middle.

        The hole starts at row ``(H - rows) // 2`` and column ``(W - columns) // 2``.

        Raises
        ------
        ArgumentError
            If the hole is larger than the image or leaves nothing.
        """
        return cls({"box": {"size": list(size) if isinstance(size, tuple) else size}}, dim_shape)

    @property
    def mask(self) -> np.ndarray:
        """The weights, float64, read-only; they broadcast to ``(..., C, H, W)``."""
        return self._weights.host

    @property
    def support(self) -> np.ndarray:
        """Where the weights are not 0."""
        return self.mask != 0

    def _select(self, indices: list[int]) -> Mask:
        if self._recipe is not None:
            options = dict(self._recipe["random"])
            images = options.pop("images", None) or range(self.mask.shape[0])
            options.update(n_images=None, images=[images[i] for i in indices])
            return Mask({"random": options}, self.dim_shape)
        return Mask(self.mask[indices], self.dim_shape)

    def _options(self) -> dict[str, Any]:
        mask = encode_array(self.mask) if self._recipe is None else self._recipe
        return {"mask": mask, "dim_shape": list(self.dim_shape)}


def _random(
    shape: tuple[int, ...],
    missing: float = 0.6,
    seed: int = 0,
    n_images: int | None = None,
    images: Sequence[int] | None = None,
) -> np.ndarray:
    """Return 0-1 masks; `images` are the numbers of the images where it is not 0..n-1."""
    if not isinstance(missing, Real) or not 0 <= missing < 1:
        raise ArgumentError("missing", missing, "a fraction in [0, 1)")
    if not isinstance(seed, Integral) or seed < 0:
        raise ArgumentError("seed", seed, "an integer >= 0")
    if n_images is not None and (not isinstance(n_images, Integral) or n_images < 1):
        raise ArgumentError("n_images", n_images, "an integer >= 1, or None")
    height, width = shape[-2:]
    keep = round((1 - missing) * height * width)
    if keep == 0:
        raise ArgumentError("missing", missing, "a fraction that leaves a pixel, not an empty mask")
    numbers = images if images is not None else range(1 if n_images is None else n_images)
    masks = np.zeros((len(numbers), 1, height, width))
    for row, number in enumerate(numbers):
        order = np.random.default_rng([seed, number]).permutation(height * width)
        masks[row].reshape(-1)[order[:keep]] = 1.0
    return masks[0] if n_images is None and images is None else masks


def _box(shape: tuple[int, ...], size: int | Sequence[int]) -> np.ndarray:
    rows, columns = as_pair(size, "size")
    height, width = shape[-2:]
    if rows > height or columns > width:
        raise ArgumentError("size", size, f"at most the image's size, {height} x {width}")
    top, left = (height - rows) // 2, (width - columns) // 2
    mask = np.ones((1, height, width))
    mask[:, top : top + rows, left : left + columns] = 0.0
    return mask


RECIPES: dict[Any, Callable[..., np.ndarray]] = {"random": _random, "box": _box}
