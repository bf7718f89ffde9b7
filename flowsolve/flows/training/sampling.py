"""Batches: which images come when, how they are cropped and flipped, which noise they get.

Everything random about the p-th image view of a run comes from a counter-based generator
(Philox; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) at counter p. So
the state of a run's randomness is one number, a resumed run sees what the uninterrupted one would
have seen, and several processes see together what one process with a larger batch sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .data import ImageStore

ORDER, VIEW, VALIDATION = 0, 1, 2
"""Streams of random numbers that have nothing to do with one another."""


def generator(seed: int, stream: int, counter: int) -> np.random.Generator:
    """Return the random generator of one counter in one stream."""
    return np.random.Generator(np.random.Philox(counter=[0, counter, 0, 0], key=[seed, stream]))


@dataclass(frozen=True)
class Noise:
    """What noise the images get that a prior learns from.

    Attributes
    ----------
    sigma : float
        Standard deviation of Gaussian noise, in units of the image range.
    width : float
        Width of uniform noise on [0, width) on top of the unquantised image, in place of the
        dequantisation noise of one grey level; 0 for the latter.
    """

    sigma: float = 0.0
    width: float = 0.0


DEQUANTISED = Noise()
"""Uniform noise of one grey level alone."""


def dequantise(
    pixels: np.ndarray, bits: int, random: np.random.Generator, added: Noise = DEQUANTISED
) -> np.ndarray:
    """Reduce bytes to `bits` bits and add uniform noise of one grey level, or the noise that is asked for.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8
        Values of any shape.
    bits : int
        From 1 to 8.
    random : numpy.random.Generator
        Source of the noise.
    added : Noise
        Noise beyond, or in place of, that of one grey level.

    Returns
    -------
    numpy.ndarray, float32
        Same shape, in [0, 1] but for the noise that is asked for.
    """
    noise = random.random(pixels.shape, dtype=np.float32)
    if added.width:
        values = pixels * np.float32(1 / 255) + np.float32(added.width) * noise
    else:
        values = (noise + (pixels >> np.uint8(8 - bits))) * np.float32(2.0**-bits)
    if added.sigma:
        values += np.float32(added.sigma) * random.standard_normal(pixels.shape, dtype=np.float32)
    return values


def view(
    pixels: np.ndarray,
    size: int,
    bits: int,
    random: np.random.Generator,
    flip: bool,
    added: Noise = DEQUANTISED,
) -> np.ndarray:
    """Return a random crop of an image, perhaps mirrored, dequantised.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8, shape (H, W, 3)
        At least `size` high and wide; of exactly that size, it is taken as it is.
    size : int
        Side of the crop.
    bits, random
        As in :func:`dequantise`.
    flip : bool
        Whether to mirror left and right every other time.
    added : Noise
        As in :func:`dequantise`.

    Returns
    -------
    numpy.ndarray, float32, shape (size, size, 3)
    """
    top = int(random.integers(pixels.shape[0] - size + 1))
    left = int(random.integers(pixels.shape[1] - size + 1))
    mirrored = bool(random.integers(2))
    crop = pixels[top : top + size, left : left + size]
    return dequantise(crop[:, ::-1] if flip and mirrored else crop, bits, random, added)


def to_images(views: Sequence[np.ndarray]) -> Tensor:
    """Return views (H, W, 3) as images (N, 3, H, W), float32, in channels-last order in memory."""
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)


class Sampler:
    """Batches of random views of the images of a store.

    Every image comes once an epoch, in an order that is drawn anew for each.

    Parameters
    ----------
    store : ImageStore
        The images.
    size, bits : int
        Side of the crops, and bits a pixel value.
    seed : int
        Seed of order, crops, flips and noise.
    added : Noise
        Noise that the views get.
    """

    def __init__(
        self, store: ImageStore, size: int, bits: int, seed: int, added: Noise = DEQUANTISED
    ) -> None:
        self.store, self.size, self.bits, self.seed, self.added = store, size, bits, seed, added
        self._epoch = -1
        self._order = np.arange(0)

    def index(self, position: int) -> int:
        """Return which image is the run's `position`-th view."""
        epoch, rest = divmod(position, len(self.store))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = generator(self.seed, ORDER, epoch).permutation(len(self.store))
        return int(self._order[rest])

    def batch(self, start: int, count: int) -> Tensor:
        """Return the views from `start` on, (count, 3, size, size), float32 in [0, 1]."""
        views = []
        for position in range(start, start + count):
            random = generator(self.seed, VIEW, position)
            pixels = self.store[self.index(position)]
            views.append(view(pixels, self.size, self.bits, random, True, self.added))
        return to_images(views)


class Prefetcher:
    """Makes the batch that is likely to come next while the present one is used.

    Parameters
    ----------
    sampler : Sampler
        Where the batches come from.
    pin : bool
        Whether to put them into page-locked memory, for copies to a GPU.
    """

    def __init__(self, sampler: Sampler, pin: bool = False) -> None:
        self.sampler, self.pin = sampler, pin
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], Future[Tensor]] | None = None

    def get(self, start: int, count: int, following: int) -> Tensor:
        """Return the views from `start` on, and begin with those from `following` on."""
        if self._next is not None and self._next[0] == (start, count):
            batch = self._next[1].result()
        else:
            batch = self._pool.submit(self._make, start, count).result()
        self._next = ((following, count), self._pool.submit(self._make, following, count))
        return batch

    def _make(self, start: int, count: int) -> Tensor:
        batch = self.sampler.batch(start, count)
        return batch.pin_memory() if self.pin else batch

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)
