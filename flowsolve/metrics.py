"""Image quality: PSNR and SSIM, per image, with images clipped to the range [0, 1] first.

They are two metrics of a registry, which others join: a run has a trace column for each it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from .arrays import to_numpy
from .errors import ArgumentError, UnsupportedError
from .given import as_tensor, check_estimate, check_images
from .numbers import as_count
from .registry import Registry

HIGHER, LOWER = "higher", "lower"

Function = Callable[[torch.Tensor, torch.Tensor], Any]
"""Takes images (N, C, H, W) and the truth of the same shape, on the device of the run; returns N numbers."""

WINDOW = 7
"""Side of the window of SSIM, scikit-image's default."""


@dataclass(frozen=True)
class Metric:
    """A measure of how close images are to the truth.

    Attributes
    ----------
    name : str
        Name, also that of the trace's column: a Python identifier.
    function : callable
        ``function(x, x_true)`` returns a number for each image, of NumPy or torch.
    unit : str
        Unit, empty where there is none.
    better : {"higher", "lower"}
        Which values are of better images.
    """

    name: str
    function: Function
    unit: str = ""
    better: str = HIGHER

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ArgumentError("name", repr(self.name), "a Python identifier")
        if self.better not in (HIGHER, LOWER):
            raise ArgumentError("better", repr(self.better), f"{HIGHER!r} or {LOWER!r}")

    @property
    def heading(self) -> str:
        """Name and unit, for tables."""
        name = self.name.upper() if self.name in ("psnr", "ssim") else self.name
        return f"{name} ({self.unit})" if self.unit else name

    def __call__(self, x: torch.Tensor, x_true: torch.Tensor) -> np.ndarray:
        """Return the numbers of images (N, C, H, W), float64, shape (N,).

        Raises
        ------
        ArgumentError
            If the function does not return one for each image.
        """
        found = np.asarray(to_numpy(self.function(x.detach(), x_true)), dtype=np.float64)
        if found.shape != (len(x),):
            accepted = f"({len(x)},), a number for each image"
            raise ArgumentError("metric", f"{self.name}, which returns the shape {found.shape}", accepted)
        return found

    def as_json(self) -> dict[str, str]:
        """Return what a record says of it."""
        return {"name": self.name, "unit": self.unit, "better": self.better}


registry: Registry[Metric] = Registry("metric", "flowsolve.metrics")


def register_metric(name: str, *, unit: str = "", better: str = HIGHER) -> Callable[[Function], Function]:
    """Return a decorator that registers a function as a metric; parameters are attributes of `Metric`."""

    def store(function: Function) -> Function:
        registry.register(name)(Metric(name, function, unit, better))
        return function

    return store


class Measures:
    """The metrics of a run, and how often they are asked.

    Parameters
    ----------
    metrics : sequence of str or Metric
        Names of registered metrics, or metrics.
    every : int
        Iterations from one row of the trace with new values to the next; those between repeat them.

    Raises
    ------
    ArgumentError
        If a name is unknown or given twice, or `every` is no integer >= 1.
    """

    def __init__(self, metrics: Iterable[str | Metric] = ("psnr",), every: int = 1) -> None:
        given = (metrics,) if isinstance(metrics, str | Metric) else tuple(metrics)
        self.metrics = tuple(m if isinstance(m, Metric) else registry.get(m, "metrics") for m in given)
        self.every = as_count(every, "metric_every", least=1)
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ArgumentError("metrics", names, "each metric once")

    def __iter__(self) -> Any:
        return iter(self.metrics)

    def config(self) -> dict[str, Any]:
        """Return the metrics and their interval, JSON-able.

        Raises
        ------
        UnsupportedError
            If a metric is not registered, so that a record of it could not be repeated.
        """
        for metric in self.metrics:
            if metric.name not in registry or registry.get(metric.name) != metric:
                raise UnsupportedError(
                    f"metrics: {metric.name} cannot be described, as a record does: it is not registered; "
                    f'put @flowsolve.metrics.register_metric("{metric.name}") before its function'
                )
        return {"every": self.every, "columns": [metric.as_json() for metric in self.metrics]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> Measures:
        """Return the metrics that `config` described; PSNR where an older record does not say."""
        if config is None:
            return cls()
        return cls([column["name"] for column in config["columns"]], config["every"])


def psnr(x: Any, reference: Any) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each image in dB.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch, float32 or float64; clipped to [0, 1].
    reference : array, same shape
        What they should be, in [0, 1].

    Returns
    -------
    numpy.ndarray, shape (N,), float64
        ``-10 log10`` of the mean squared difference; infinite where there is none, NaN where an image has
        NaN.

    Raises
    ------
    ArgumentError
        If the shapes differ or are not batches of images, or the images are integers or in 0..255.
    """
    x, reference = _images(x, reference)
    return decibels(x, reference.to(x.device))


def ssim(x: Any, reference: Any) -> np.ndarray:
    """Return the structural similarity of each image.

    scikit-image's SSIM with its uniform 7×7 window, averaged over channels. The data range is 1,
    not the spread of the values, so that it does not depend on the image.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch, float32 or float64; clipped to [0, 1].
    reference : array, same shape
        What they should be, in [0, 1].

    Returns
    -------
    numpy.ndarray, shape (N,), float64

    Raises
    ------
    ArgumentError
        If the shapes differ, are not batches of images, or are smaller than the window; or the images are
        integers or in 0..255.
    """
    x, reference = (to_numpy(images) for images in _images(x, reference))
    if min(x.shape[-2:]) < WINDOW:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", f"images of at least {WINDOW}x{WINDOW} pixels")
    pairs = zip(np.clip(x, 0, 1), np.clip(reference, 0, 1), strict=True)
    values = [
        structural_similarity(a.astype(np.float64), b.astype(np.float64), data_range=1.0, channel_axis=0)
        for a, b in pairs
    ]
    return np.array(values, dtype=np.float64)


def decibels(x: torch.Tensor, reference: torch.Tensor) -> np.ndarray:
    """Return what `psnr` does, for tensors that are known to be images: a run asks after every iteration."""
    difference = (x.detach().clamp(0, 1) - reference.detach().clamp(0, 1)).flatten(1)
    # Summed in float64, and one transfer from the device.
    squares = torch.linalg.vector_norm(difference, dim=1, dtype=torch.float64).square()
    error = (squares / difference.shape[1]).cpu().numpy()
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def _images(x: Any, reference: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both as tensors, or raise if they are not images of the same shape."""
    x, reference = as_tensor("x", x), as_tensor("reference", reference)
    if x.ndim != 4:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", "images of shape (N, C, H, W)")
    if tuple(x.shape) != tuple(reference.shape):
        raise ArgumentError("reference", f"shape {tuple(reference.shape)}", f"{tuple(x.shape)}, that of x")
    if not x.numel():
        raise ArgumentError("x", f"shape {tuple(x.shape)}, an empty batch", "at least one image")
    check_images("reference", reference)
    check_estimate("x", x)
    return x, reference


def _ssim_where_it_fits(x: torch.Tensor, x_true: torch.Tensor) -> np.ndarray:
    """Structural similarity; NaN for images smaller than its window."""
    return ssim(x, x_true) if min(x.shape[-2:]) >= WINDOW else np.full(len(x), np.nan)


register_metric("psnr", unit="dB")(decibels)
register_metric("ssim")(_ssim_where_it_fits)
