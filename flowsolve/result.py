"""What a run returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .arrays import to_numpy
from .described import Described, ends, mean_of
from .encoding import file_kind, write_image
from .errors import ArgumentError, UnsupportedError
from .names import file_names

if TYPE_CHECKING:
    import pandas

    from .methods import Method


@dataclass(repr=False)
class Iterate(Described):
    """Images at one point of a run; copies, which nothing else changes.

    Attributes
    ----------
    x : torch.Tensor, shape (N, C, H, W)
        Images.
    z : torch.Tensor, shape (N, n)
        Their standardised latents.
    value : numpy.ndarray, shape (N,)
        Objective values.
    iteration : numpy.ndarray, shape (N,)
        Iteration each image is from.
    """

    x: torch.Tensor
    z: torch.Tensor
    value: np.ndarray
    iteration: np.ndarray

    def in_lines(self) -> list[str]:
        """Return what matters, in words."""
        return [f"Iterate: images {tuple(self.x.shape)}", f"F: {mean_of(self.value, '.6g')}"]


@dataclass(repr=False)
class Result(Described):
    """What `solve` returns. `x`, `z` and `value` are those of the best iterate.

    That is the one with the lowest F, unless the stopping criterion watches something else
    (`flowsolve.stopping.HeldOut`).

    Attributes
    ----------
    best, final : Iterate
        Each image at its lowest F, and where it ended.
    status : list of str
        How each image ended: ``converged``, ``max_iter``, ``max_evaluations``, ``timeout``, ``stalled`` (no
        acceptable step was left), ``discrepancy`` (it fits as the noise allows), ``held_out`` (the misfit of
        held-out measurements rose), ``diverged`` (rolled back to its best iterate), ``stopped`` (by a
        callback, or a loop that was left early), ``interrupted``, ``failed`` (by an error); "" as long as it
        is being optimised.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the convergence trace, the start first.
    counts : dict of str to numpy.ndarray, shape (N,)
        Evaluations and operator applications; see `flowsolve.tally.COUNTED`.
    iterations : numpy.ndarray, shape (N,)
        Iterations each image took part in.
    seconds : float
        Solver time; metrics and recording excluded.
    record : pathlib.Path or None
        The run's HDF5 file.
    method : Method or None
        Of `flowsolve.restore`: the stages that were run, and why.
    notes : tuple of str
        What is worth knowing of the outcome, in words.
    fallback : numpy.ndarray, shape (N,), bool, or None
        Which images are the classical start, because what the prior led to was found worse; None where
        nothing was asked.
    """

    best: Iterate
    final: Iterate
    status: list[str]
    trace: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    iterations: np.ndarray
    seconds: float
    record: Path | None = None
    method: Method | None = None
    notes: tuple[str, ...] = ()
    fallback: np.ndarray | None = None

    def in_lines(self) -> list[str]:
        """Return what matters, in words."""
        lines = [
            f"Result: {len(self.x)} image{'s' if len(self.x) > 1 else ''} {tuple(self.x.shape[1:])}",
            f"ended: {ends(self.status)}",
            f"F: {mean_of(self.value, '.6g')}",
            f"cost: {mean_of(self.iterations, '.0f')} iterations, "
            f"{mean_of(self.counts['evaluations'], '.0f')} evaluations, {self.seconds:.1f} s",
        ]
        if "psnr" in self.trace:
            lines.append(f"PSNR at the end: {mean_of(self.trace['psnr'][-1])} dB")
        if self.method is not None:
            lines.append(f"method: {self.method.name}; {self.method.reason}")
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def summary(self) -> str:
        """Return what matters, as text of a few lines."""
        return repr(self)

    def to_frame(self) -> pandas.DataFrame:
        """Return the trace as a pandas frame, one row for each iteration and image.

        Raises
        ------
        UnsupportedError
            If pandas is not installed (extra ``study``).
        """
        try:
            import pandas
        except ImportError:
            text = "pandas is not installed; pip install 'flowsolve[study]' brings it"
            raise UnsupportedError(text) from None
        shape = self.trace["value"].shape
        index = pandas.MultiIndex.from_product(map(range, shape), names=["iteration", "image"])
        return pandas.DataFrame({k: v.reshape(-1) for k, v in self.trace.items()}, index=index)

    def plot(self, truth: Any = None) -> Any:
        """Return a figure of the restored images, the worst first, and of the convergence.

        Parameters
        ----------
        truth : array, shape (N, C, H, W), optional
            The clean images, to be shown beside them.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .report import Panel, restoration_figure, worst

        x = self.x.detach().cpu().numpy()
        panels = [] if truth is None else [Panel("truth", to_numpy(truth))]
        panels.append(Panel("restored", x))
        rows = worst(None, self.value, 6)
        names = [f"image {i}" for i in range(len(x))]
        return restoration_figure(panels, names, self.trace, rows=rows)

    def save_images(
        self, folder: str | Path, names: Sequence[str] | None = None, dtype: str = "uint8"
    ) -> list[Path]:
        """Write the restored images to a folder and return the files.

        Parameters
        ----------
        folder : path
            Made if need be.
        names : sequence of str, optional
            Names without suffix, one for each image; ``image-0`` and so on unless given.
        dtype : {"uint8", "uint16", "float32"}
            What to write: PNG of 8 or 16 bits, or TIFF of floating-point numbers, which are not clipped.

        Raises
        ------
        ArgumentError
            If there is no such dtype, or not one name for each image.
        """
        given = [f"image-{i}" for i in range(len(self.x))] if names is None else list(names)
        if len(given) != len(self.x):
            raise ArgumentError("names", f"{len(given)} names", f"{len(self.x)}, one for each image")
        kind, place = file_kind(dtype), Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        files = [place / f"{name}.{kind}" for name in file_names(given)]
        for file, x in zip(files, self.x.detach().cpu().numpy(), strict=True):
            write_image(file, x, dtype)
        return files

    @property
    def x(self) -> torch.Tensor:
        """Restored images, shape (N, C, H, W)."""
        return self.best.x

    @property
    def z(self) -> torch.Tensor:
        """Their latents, shape (N, n)."""
        return self.best.z

    @property
    def value(self) -> np.ndarray:
        """Their objective values, shape (N,)."""
        return self.best.value
