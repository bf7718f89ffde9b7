"""What the start does: how far apart runs end that differ in nothing but their start and its seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from ..errors import ArgumentError, RecordError
from ..infinite import difference
from .extras import require
from .index import OBJECTIVE, Index

if TYPE_CHECKING:
    import pandas

#: What runs have in common that differ in their start alone.
SAME_BUT_START = (*OBJECTIVE, "solver")

#: Solutions nearer than this, by `relative_distances`, are in one basin. At 0.5 two latents of one length
#: have an angle of 41°; independent draws of the prior are at 1.
THRESHOLD = 0.5

#: Records whose images and latents are kept while the problems of a batch are looked at.
KEPT = 128


def spread(table: pandas.DataFrame, by: Sequence[str] = SAME_BUT_START) -> pandas.DataFrame:
    """Return how far F, PSNR and ‖z‖ of the solutions spread over starts and seeds, one row a problem.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table.
    by : sequence of str
        Columns in which the runs of a problem agree; problems with one run are left out.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`; ``runs``, ``starts``; of each of value, psnr, z_norm the ``_min``, ``_max`` and
        ``_range``; ``between``, the share of the variance of PSNR that the name of the start explains (η², in
        [0, 1]; NaN where every start was run once, or an image is without error); ``best_start`` and
        ``lowest_start``, of the highest PSNR and of the lowest F.
    """
    pandas = require("pandas")
    rows = []
    for key, own in table.groupby(list(by), sort=False, dropna=False):
        if len(own) < 2 or own["value"].isna().all():
            continue
        row = {**dict(zip(by, key, strict=True)), "runs": len(own), "starts": own["start"].nunique()}
        for name in ("value", "psnr", "z_norm"):
            low, high = own[name].min(), own[name].max()
            row |= {f"{name}_min": low, f"{name}_max": high, f"{name}_range": float(difference(high, low))}
        row["between"] = _between(own)
        psnr = own["psnr"].dropna()
        row["best_start"] = own.loc[psnr.idxmax(), "start"] if len(psnr) else None
        row["lowest_start"] = own.loc[own["value"].idxmin(), "start"]
        rows.append(row)
    measured = [f"{name}_{what}" for name in ("value", "psnr", "z_norm") for what in ("min", "max", "range")]
    columns = [*by, "runs", "starts", *measured, "between", "best_start", "lowest_start"]
    return pandas.DataFrame(rows, columns=columns)


def solutions(
    index: Index, by: Sequence[str] = SAME_BUT_START, threshold: float = THRESHOLD
) -> pandas.DataFrame:
    """Return how far apart the last iterates are and into how many basins they fall, one row a problem.

    Basins are clusters of the last latents: average linkage on `relative_distances`, cut at `threshold`
    (`scipy.cluster.hierarchy`). A run that was stopped early may look like a basin of its own, so compare
    with runs that were given more.

    Parameters
    ----------
    index : Index
        The index; runs that have not ended are left out.
    by : sequence of str
        Columns in which the runs of a problem agree; problems with one run are left out.
    threshold : float
        Relative distance at which two clusters are two basins, > 0.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`; ``runs``; ``image_distance`` and ``latent_distance``, medians over pairs of the
        root-mean-square difference of pixels in [0, 1] and of the relative distance of latents, with
        ``_max``; ``basins``, ``largest`` (share of the runs in the largest basin), ``members`` (of each run,
        in order, its id and the number of its basin), ``psnr_by_basin`` (median PSNR of each basin).

    Raises
    ------
    ArgumentError
        If the threshold is not > 0.
    """
    pandas = require("pandas")
    if not (np.isfinite(threshold) and threshold > 0):
        raise ArgumentError("threshold", threshold, "a number > 0")
    entries = {entry.id: entry for entry in index.runs}

    @lru_cache(maxsize=KEPT)
    def final(run: str) -> dict[str, np.ndarray]:
        return entries[run].final

    rows = []
    for key, own in index.table.groupby(list(by), sort=False, dropna=False):
        if len(own) < 2:
            continue
        found = _problem(own, final, threshold)
        if found is not None:
            rows.append({**dict(zip(by, key, strict=True)), **found})
    distances = ("image_distance", "image_distance_max", "latent_distance", "latent_distance_max")
    return pandas.DataFrame(
        rows, columns=[*by, "runs", *distances, "basins", "largest", "members", "psnr_by_basin"]
    )


def relative_distances(z: np.ndarray) -> np.ndarray:
    """Return ‖zᵢ − zⱼ‖ / √(‖zᵢ‖² + ‖zⱼ‖²) of latents (R, n), shape (R, R), float64.

    0 for equal latents and 1 for orthogonal ones, which independent draws of a standard normal nearly are in
    many dimensions, whatever their lengths: a prior term shrinks all latents, which must not look like
    nearness.
    """
    z = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    products = z @ z.T
    squares = np.diag(products)
    lengths = squares[:, None] + squares[None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = np.where(lengths > 0, 1 - 2 * products / lengths, 0.0)
    distances = np.sqrt(np.maximum(squared, 0))
    np.fill_diagonal(distances, 0)
    return distances


def basins(distances: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Return the basin of each solution, numbered from 1 in the order of the solutions, shape (R,)."""
    if len(distances) == 1:
        return np.ones(1, dtype=np.int64)
    found = fcluster(linkage(squareform(distances, checks=False), "average"), threshold, "distance")
    order = list(dict.fromkeys(found.tolist()))
    return np.array([order.index(number) + 1 for number in found])


def sensitivity_to_lam(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return what the weight of the prior does to the image, one row a weight and method.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table; methods with one weight are left out.

    Returns
    -------
    pandas.DataFrame
        Task, noise, prior, formulation, φ, solver, start and ``lam``; ``images``; means over them of ``psnr``
        and ``data_fidelity``; ``loss``, the mean of how many dB an image lies under its best weight;
        ``best``, the share of images that this weight is the best of.
    """
    pandas = require("pandas")
    method = ["task", "operator", "sigma", "prior", "formulation", "phi", "solver", "start"]
    rows = []
    for key, own in table.dropna(subset=["lam", "psnr"]).groupby(method, sort=False):
        psnr = own.pivot_table(index=["image", "measurement"], columns="lam", values="psnr", aggfunc="median")
        psnr = psnr.dropna()
        if psnr.shape[1] < 2 or psnr.empty:
            continue
        best = psnr.idxmax(axis=1)
        fidelity = own.groupby("lam")["data_fidelity"].mean()
        for lam in psnr:
            numbers = {
                "lam": lam,
                "images": len(psnr),
                "psnr": psnr[lam].mean(),
                "data_fidelity": fidelity[lam],
                "loss": difference(psnr.max(axis=1), psnr[lam]).mean(),
                "best": (best == lam).mean(),
            }
            rows.append({**dict(zip(method, key, strict=True)), **numbers})
    columns = [*method, "lam", "images", "psnr", "data_fidelity", "loss", "best"]
    return pandas.DataFrame(rows, columns=columns)


def _between(own: pandas.DataFrame) -> float:
    """Return η² of PSNR by start: the variance between the starts' means over all the variance."""
    psnr = own.dropna(subset=["psnr"])
    groups = [part["psnr"].to_numpy() for _, part in psnr.groupby("start")]
    if not any(len(group) > 1 for group in groups):
        return np.nan
    everything = psnr["psnr"].to_numpy()
    if not np.isfinite(everything).all():
        return np.nan
    total = ((everything - everything.mean()) ** 2).sum()
    between = sum(len(group) * (group.mean() - everything.mean()) ** 2 for group in groups)
    return float(between / total) if total > 0 else np.nan


def _problem(
    own: pandas.DataFrame, final: Callable[[str], dict[str, np.ndarray]], threshold: float
) -> dict[str, Any] | None:
    """Return distances and basins of the runs on one problem, None where fewer than two have ended."""
    kept, images, latents = [], [], []
    for place, (run, position) in enumerate(zip(own["run"], own["position"], strict=True)):
        try:
            reached = final(run)
        except RecordError:
            continue
        z = reached["z"][position]
        if np.isfinite(z).all():
            kept.append(place)
            images.append(np.clip(reached["x"][position], 0, 1).ravel())
            latents.append(z)
    if len(kept) < 2:
        return None
    rows = own.iloc[kept]
    distances = relative_distances(np.stack(latents))
    number = basins(distances, threshold)
    x = np.stack(images).astype(np.float64)
    apart = pdist(x) / np.sqrt(x.shape[1])
    latent = distances[np.triu_indices(len(x), 1)]
    psnr = rows["psnr_final"].groupby(number).median()
    return {
        "runs": len(rows),
        "image_distance": float(np.median(apart)),
        "image_distance_max": float(apart.max()),
        "latent_distance": float(np.median(latent)),
        "latent_distance_max": float(latent.max()),
        "basins": int(number.max()),
        "largest": float(np.bincount(number).max() / len(number)),
        "members": dict(zip(rows["run"], number.tolist(), strict=True)),
        "psnr_by_basin": {int(basin): float(value) for basin, value in psnr.items()},
    }
