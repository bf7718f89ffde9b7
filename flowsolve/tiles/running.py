"""Restore large images tile by tile, in memory that does not grow with them.

Near the edges of a tile its operator differs from the whole one: a blur reaches beyond. What that changes is
known well from a rough estimate x₀ of the whole image, so a tile's measurements are y − A x₀ + A_T x₀: its
operator A_T has to explain only what x₀ misses. The pixels where it still errs are left to the neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from .. import baselines
from ..errors import ArgumentError, UnsupportedError
from ..flows import FlowPrior
from ..noise import Gaussian
from ..operators import Blur, Downsample, Mask
from ..problem import InverseProblem
from ..result import Iterate, Result
from .grid import Tile, tile_grid, weights
from .local import LocalPart, alignment, local_part, reach

AUTO = "auto"
"""Tiles where an image is larger than `LARGE`, the prior takes any size and the operator acts locally."""

SIDE = 256
"""Side of the tiles that are chosen."""

LARGE = 2**18
"""Pixels of an image from which it is restored by tiles unless told otherwise, and of the tiles that are
restored at a time."""

CONTEXT = 8
"""Pixels beside a neighbour, beyond the operator's reach, at which the prior knows too little."""

BLEND = 16
"""Pixels along which neighbours are blended, at least."""

RunPart = Callable[[InverseProblem, float], Result]
"""Restores a batch of tiles; the number is its share of all."""


def tile_size(tile: int | str | None, problem: InverseProblem, prior: FlowPrior) -> int | None:
    """Return the side of tiles that was asked for, or None where the images are restored whole.

    Parameters
    ----------
    tile : int, "auto", "off" or None
        What was asked for.
    problem : InverseProblem
        The problem.
    prior : FlowPrior
        The prior, not yet at the size of the images.

    Raises
    ------
    ArgumentError
        If it is none of these, or too small.
    UnsupportedError
        If tiles were asked for and the operator or the prior does not allow them.
    """
    if tile is None or tile == "off":
        return None
    height, width = problem.operator.dim_shape[-2:]
    if tile == AUTO:
        if height * width <= LARGE or prior.size is not None:
            return None
        try:
            reach(problem.operator)
            return _checked(SIDE, problem, prior)
        except (UnsupportedError, ArgumentError):
            return None
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 1:
        raise ArgumentError("tile", repr(tile), "auto, off or a number of pixels")
    if prior.size is not None:
        raise UnsupportedError(
            f"tile: the prior {prior.name!r} is for images of one size; tiles need any size"
        )
    _checked(tile, problem, prior)
    return tile if max(height, width) > tile else None


def _checked(side: int, problem: InverseProblem, prior: FlowPrior) -> int:
    _grid(side, problem, prior)
    return side


def _grid(side: int, problem: InverseProblem, prior: FlowPrior) -> tuple[list[Tile], int, int]:
    """Return the tiles, how many pixels they share, and at how many of those one counts nothing."""
    operator = problem.operator
    if reach(operator) and not isinstance(problem.noise, Gaussian):
        raise UnsupportedError(
            f"tile: blurred measurements with {type(problem.noise).__name__} noise have no tiles: they are "
            "corrected near the edges of a tile, which only Gaussian noise allows; run with tile off"
        )
    align = math.lcm(prior.multiple, *alignment(operator))
    margin = reach(operator) + CONTEXT
    overlap = 2 * margin + BLEND
    return tile_grid(operator.dim_shape[-2:], side, overlap, align), overlap, margin


def restore_by_tiles(
    problem: InverseProblem,
    prior: FlowPrior,
    side: int,
    run: RunPart,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Return the restoration of every image of a problem, each by tiles of its own.

    Parameters
    ----------
    problem : InverseProblem
        Images that are larger than a tile.
    prior : FlowPrior
        A prior of images of any size.
    side : int
        Side of a tile in pixels.
    run : callable
        Restores a batch of tiles of one size; gets its share of all tiles too, in (0, 1].
    watch : callable, optional
        Called with how many tiles have been restored, and how many there are.

    Returns
    -------
    Result
        `x` is blended of the tiles. Latents there are none, shape (N, 0). ``value`` is the sum over the tiles
        of an image, which overlap; counts and iterations are the largest of any tile; the trace has the start
        and the end.

    Raises
    ------
    UnsupportedError
        If the operator measures the image as a whole.
    """
    tiles, overlap, margin = _grid(side, problem, prior)
    images: list[torch.Tensor] = []
    found: list[list[Result]] = []
    total = len(tiles) * len(problem)
    for i in range(len(problem)):
        one = problem.select([i])
        estimate = _estimate(one)
        size = one.operator.dim_shape[-2:]
        blended = torch.zeros(one.operator.dim_shape, dtype=torch.float64)
        counted = torch.zeros(size, dtype=torch.float64)
        results = []
        done = i * len(tiles)
        for group in _batches(tiles, side):
            watch(done, total)
            result = run(_part(one, group, estimate), len(group) / total)
            results.append(result)
            for tile, x in zip(group, result.x, strict=True):
                weight = torch.from_numpy(weights(tile, size, overlap, margin))
                blended[(..., *tile.index)] += weight * x.detach().cpu().double()
                counted[tile.index] += weight
            done += len(group)
        images.append((blended / counted).to(problem.y))
        found.append(results)
    watch(total, total)
    return _joined(torch.stack(images), found)


def _batches(tiles: Sequence[Tile], side: int) -> Iterator[list[Tile]]:
    """Return tiles of one size, as many at a time as there is room for."""
    most = max(1, LARGE // side**2)
    sizes = dict.fromkeys(tile.size for tile in tiles)
    for size in sizes:
        alike = [tile for tile in tiles if tile.size == size]
        for start in range(0, len(alike), most):
            yield alike[start : start + most]


def _estimate(problem: InverseProblem) -> torch.Tensor | None:
    """Return a rough estimate of one image, where its operator reaches beyond a tile's edges."""
    if reach(problem.operator) == 0:
        return None
    if problem.operator.has_closed_form:
        return baselines.registry.get(baselines.classical_start(problem))(problem)
    # A blur leaves most of an image as it is.
    shape = problem.operator.dim_shape
    y = torch.nn.functional.interpolate(problem.y, size=shape[-2:], mode="bilinear", align_corners=False)
    return y if y.shape[1:] == shape else None


def _part(problem: InverseProblem, tiles: Sequence[Tile], estimate: torch.Tensor | None) -> InverseProblem:
    """Return the problem of some tiles of one size of one image."""
    parts = [local_part(problem.operator, tile) for tile in tiles]
    operator = parts[0].operator
    if isinstance(operator, Mask):
        masks = [np.broadcast_to(p.operator.mask, p.operator.dim_shape) for p in parts]  # type: ignore[attr-defined]
        operator = Mask(np.stack(masks), operator.dim_shape)
    y = torch.cat([_measured(problem, part, tile, estimate) for part, tile in zip(parts, tiles, strict=True)])
    truth = problem.x_true
    cut = None if truth is None else torch.cat([truth[(..., *tile.index)] for tile in tiles])
    gaussian = isinstance(problem.noise, Gaussian)
    said = {"sigma": problem.sigma} if gaussian else {"noise": problem.noise}
    return InverseProblem(operator, y, x_true=cut, **said)


def _measured(
    problem: InverseProblem, part: LocalPart, tile: Tile, estimate: torch.Tensor | None
) -> torch.Tensor:
    y = problem.y[(..., *part.measured)]
    if estimate is None or not isinstance(part.operator, Blur | Downsample):
        return y
    beyond = problem.operator.apply(estimate)[(..., *part.measured)]
    return y - beyond + part.operator.apply(estimate[(..., *tile.index)].contiguous())


def _joined(x: torch.Tensor, found: list[list[Result]]) -> Result:
    """Return the result of images from those of their tiles."""
    ends = [[status for result in results for status in result.status] for results in found]
    # The worst that happened to a tile is what is said of the image; most often they all ended alike.
    status = [max(set(each), key=each.count) if "diverged" not in each else "diverged" for each in ends]
    value = np.array([sum(float(np.sum(result.value)) for result in results) for results in found])
    begun = np.array([sum(float(np.sum(r.trace["value"][0])) for r in results) for results in found])
    counts = {
        name: np.array([max(int(r.counts[name].max()) for r in results) for results in found])
        for name in found[0][0].counts
    }
    iterations = np.array([max(int(r.iterations.max()) for r in results) for results in found])
    seconds = [sum(result.seconds for result in results) for results in found]
    trace = {
        "value": np.stack([begun, value]),
        "evaluations": np.stack([np.zeros(len(x)), counts["evaluations"]]),
        "seconds": np.stack([np.zeros(len(x)), np.array(seconds)]),
    }
    iterate = Iterate(x=x, z=x.new_zeros(len(x), 0), value=value, iteration=iterations)
    first = found[0][0]
    notes = tuple(dict.fromkeys(note for results in found for result in results for note in result.notes))
    return replace(
        first,
        best=iterate,
        final=iterate,
        status=status,
        trace=trace,
        counts=counts,
        iterations=iterations,
        seconds=sum(seconds),
        record=None,
        notes=(*notes, f"restored by {sum(len(e) for e in ends)} tiles"),
        fallback=None,
    )
