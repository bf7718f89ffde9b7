"""How good a flow is by now: held-out bits a dimension, and samples to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...encoding import encode_png
from ..glow import Glow
from .data import ImageStore
from .distributed import World
from .files import save
from .likelihood import BitsPerDim
from .sampling import DEQUANTISED, VALIDATION, Noise, generator, to_images, view

GRID = 8
"""Samples a row, and rows."""

TEMPERATURES = (0.7, 1.0)
"""Deviations of the latents in the upper and the lower half of the samples."""


@torch.no_grad()
def validation_bits(
    glow: Glow,
    store: ImageStore,
    size: int,
    bits: int,
    batch: int,
    world: World,
    added: Noise = DEQUANTISED,
) -> float:
    """Return the mean bits a dimension of a store's images, the same noise every time.

    Parameters
    ----------
    glow : Glow
        The flow.
    store : ImageStore
        The images; of larger ones, one fixed random crop each. Not mirrored.
    size, bits : int
        Side of the crops, and bits a pixel value of the dequantisation noise.
    batch : int
        Images at once.
    world : World
        The processes that share the work.
    added : Noise
        Noise that the images get.

    Returns
    -------
    float
        Not finite where the flow's values are not.
    """
    module = BitsPerDim(glow, bits)
    total, mine = 0.0, range(world.rank, len(store), world.size)
    for start in range(0, len(mine), batch):
        chosen = mine[start:][:batch]
        views = [view(store[i], size, bits, generator(0, VALIDATION, i), False, added) for i in chosen]
        total += float(module(to_images(views).to(world.device)).double().sum())
    return world.sum([total])[0] / len(store)


@torch.no_grad()
def sample_grid(glow: Glow, size: int, seed: int) -> Tensor:
    """Draw samples, always from the same latents.

    Parameters
    ----------
    glow : Glow
        The flow.
    size : int
        Side of a sample in pixels.
    seed : int
        Seed of the latents.

    Returns
    -------
    Tensor
        One image (C, 8 size, 8 size), on the CPU; rows 1 to 4 at temperature 0.7, 5 to 8 at 1.
    """
    source = torch.Generator().manual_seed(seed)
    place = next(glow.parameters()).device
    rows = []
    for row in range(GRID):
        temperature = TEMPERATURES[row * len(TEMPERATURES) // GRID]
        shapes = glow.config.latent_shapes((size, size))
        latents = [
            temperature * torch.randn(GRID, *shape, generator=source, dtype=torch.float32) for shape in shapes
        ]
        images, _ = glow.inverse([latent.to(place) for latent in latents])
        rows.append(torch.cat(list(images), 2))
    return torch.cat(rows, 1).cpu()


def write_grid(path: Path, grid: Tensor) -> None:
    """Write an image (3, H, W), clipped to [0, 1], to a PNG, atomically.

    Raises
    ------
    ArgumentError
        If it cannot be written.
    """
    save(path, encode_png(torch.nan_to_num(grid).numpy()))
