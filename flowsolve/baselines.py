"""Classical restorations, from the operator and the measurements alone: what a flow has to beat.

Each takes an `InverseProblem` and returns images (N, C, H, W) on the device and in the dtype of its
measurements. None looks at the truth but `best_tikhonov`, which says so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import splu
from skimage.restoration import denoise_nl_means

from .errors import ArgumentError, UnsupportedError
from .functionals.total_variation import divergence, gradient
from .metrics import psnr
from .operators import Downsample, Identity, Mask
from .problem import InverseProblem
from .registry import Registry

Baseline = Callable[[InverseProblem], torch.Tensor]

registry: Registry[Baseline] = Registry("baseline", "flowsolve.baselines")

#: Which baselines each task is compared with, the first the one named beside the result.
TASKS = {
    "deblur": ("tikhonov-best", "tikhonov", "total-variation"),
    "super-resolution": ("back-projection", "bicubic", "total-variation"),
    "inpaint-random": ("harmonic", "total-variation"),
    "inpaint-box": ("harmonic", "total-variation"),
    "denoise": ("total-variation", "non-local-means"),
}

#: Exponents between which weights of Tikhonov are tried, relative to ‖A‖².
ALPHAS = (-6.0, 0.5)

#: Mean length of a colour gradient that total variation's weight assumes, as σ² / TV_SCALE.
TV_SCALE = 0.1


def for_task(task: str, *, truth: bool = True) -> dict[str, Baseline]:
    """Return the baselines of a task by name.

    Parameters
    ----------
    task : str
        A task's name.
    truth : bool
        Whether the truth is known; without it the oracles are left out.

    Raises
    ------
    ArgumentError
        If there is no such task.
    """
    if task not in TASKS:
        raise ArgumentError("task", repr(task), ", ".join(TASKS))
    names = [name for name in TASKS[task] if truth or name not in ORACLES]
    return {name: registry.get(name) for name in names}


def tikhonov(problem: InverseProblem, alpha: float | torch.Tensor) -> torch.Tensor:
    """Return argmin over x of ‖Ax − y‖² + alpha ‖x − m‖², m the best constant colour.

    Parameters
    ----------
    problem : InverseProblem
        Operator and measurements.
    alpha : float or torch.Tensor, shape (N,)
        Weight > 0, one for all or one for each image.
    """
    constant = constant_fit(problem)
    residual = problem.y - problem.operator.apply(constant)
    return constant + problem.operator.tikhonov(residual, alpha)


def constant_fit(problem: InverseProblem) -> torch.Tensor:
    """Return for each image the constant colour c that minimises ‖Ac − y‖², as images (N, C, H, W)."""
    operator, y = problem.operator, problem.y
    shape, n = operator.dim_shape, len(problem)
    units = torch.eye(shape[0], dtype=y.dtype, device=y.device)
    colours = [units[c].reshape(-1, 1, 1).expand(n, *shape).contiguous() for c in range(shape[0])]
    columns = torch.stack([operator.apply(colour).flatten(1) for colour in colours], 2).double()
    # Through the normal equations' pseudo-inverse: a colour that is not measured at all stays 0.
    normal = torch.linalg.pinv(columns.mT @ columns, hermitian=True)
    fitted = (normal @ (columns.mT @ y.flatten(1).double()[..., None]))[..., 0]
    return fitted.to(y.dtype).reshape(n, shape[0], 1, 1).expand(n, *shape).contiguous()


@registry.register("tikhonov")
def tikhonov_discrepancy(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov, its weight such that ‖Ax − y‖² = mσ² for each image (Morozov's discrepancy principle).

    Needs no truth, and on blurred faces comes closer to the best weight than generalised
    cross-validation. With σ = 0 the weight is the least that is tried, 1e-6 ‖A‖².
    """
    operator, y = problem.operator, problem.y
    target = problem.n_measurements.double() * problem.sigma**2
    low, high = (torch.full((len(problem),), bound, dtype=torch.float64, device=y.device) for bound in ALPHAS)
    scale = float(operator.lipschitz) ** 2
    # The misfit grows with the weight; bisection in the exponent.
    for _ in range(24):
        middle = (low + high) / 2
        misfit = squares(operator.apply(tikhonov(problem, scale * 10**middle)) - y)
        low, high = torch.where(misfit < target, middle, low), torch.where(misfit < target, high, middle)
    return tikhonov(problem, scale * 10**low)


@registry.register("tikhonov-best")
def best_tikhonov(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov with the weight of highest PSNR for each image: an oracle, it looks at the truth.

    Raises
    ------
    UnsupportedError
        If the problem has no truth.
    """
    if problem.x_true is None:
        raise UnsupportedError("tikhonov-best: needs the truth (x_true); 'tikhonov' does without")
    alphas = float(problem.operator.lipschitz) ** 2 * np.logspace(*ALPHAS, 53)
    scores = np.stack([psnr(tikhonov(problem, float(alpha)), problem.x_true) for alpha in alphas])
    best = torch.as_tensor(alphas[scores.argmax(0)], device=problem.y.device)
    return tikhonov(problem, best)


#: Baselines that look at the truth.
ORACLES = ("tikhonov-best",)


@registry.register("harmonic")
def harmonic_fill(problem: InverseProblem) -> torch.Tensor:
    """Missing pixels by Laplace's equation from the known ones (masks only).

    Each unknown pixel is the mean of its neighbours, with reflecting image borders; known pixels
    stay as measured. Solved exactly, with one factorisation for each distinct mask.

    Raises
    ------
    UnsupportedError
        If the operator is not a mask.
    """
    operator = problem.operator
    if not isinstance(operator, Mask):
        raise UnsupportedError(f"harmonic: works for a Mask, not for {type(operator).__name__}")
    y = problem.y.detach().cpu().double().numpy()
    n, channels, height, width = y.shape
    weights = np.broadcast_to(operator.mask, y.shape).reshape(n * channels, -1)
    planes = y.reshape(n * channels, -1)
    known = weights != 0
    filled = np.divide(planes, weights, out=np.zeros_like(planes), where=known)
    groups: dict[bytes, list[int]] = {}
    for row in range(len(planes)):
        groups.setdefault(np.packbits(known[row]).tobytes(), []).append(row)
    laplacian = _laplacian(height, width)
    for rows in groups.values():
        unknown = np.flatnonzero(~known[rows[0]])
        given = np.flatnonzero(known[rows[0]])
        if not len(given):
            # A channel that is hidden altogether takes the image's mean.
            for row in rows:
                image = slice(row // channels * channels, (row // channels + 1) * channels)
                filled[row] = planes[image][known[image]].mean() if known[image].any() else 0.0
        elif len(unknown):
            across = laplacian[unknown]
            right = -(across[:, given] @ filled[np.ix_(rows, given)].T)
            filled[np.ix_(rows, unknown)] = splu(across[:, unknown].tocsc()).solve(right).T
    return torch.as_tensor(filled.reshape(y.shape)).to(problem.y)


@registry.register("bicubic")
def bicubic(problem: InverseProblem) -> torch.Tensor:
    """Cubic-spline interpolation of the coarse image (downsampling only).

    Raises
    ------
    UnsupportedError
        If the operator is not a downsampling.
    """
    operator = problem.operator
    if not isinstance(operator, Downsample):
        raise UnsupportedError(f"bicubic: works for a Downsample, not for {type(operator).__name__}")
    matrices = []
    for axis, (fine, coarse) in enumerate(zip(operator.dim_shape[1:], operator.codim_shape[1:], strict=True)):
        factor = operator.factor[axis]
        # A mean over a block sits at the block's middle; with a kernel, pixels are taken at the offset.
        centre = (factor - 1) / 2 if operator.config()["kernel"] is None else operator.offset[axis]
        matrices.append(_interpolation(coarse, (np.arange(fine) - centre) / factor))
    rows, columns = (torch.as_tensor(m).to(problem.y) for m in matrices)
    return rows @ problem.y @ columns.T


@registry.register("back-projection")
def back_projection(problem: InverseProblem, iterations: int = 10) -> torch.Tensor:
    """Cubic interpolation, corrected until it agrees with the measurements (downsampling only).

    x ← x + A⁺(y − Ax) where A⁺ has a closed form, as for block averages: then one correction is
    exact. Otherwise x ← x + Aᵀ(y − Ax)/‖A‖², so many times.

    Parameters
    ----------
    problem : InverseProblem
        Operator and measurements.
    iterations : int
        Corrections, where one is not exact.
    """
    x, operator = bicubic(problem), problem.operator
    if operator.has_closed_form:
        return x + operator.pinv(problem.y - operator.apply(x))
    for _ in range(iterations):
        x = x + operator.adjoint(problem.y - operator.apply(x)) / operator.lipschitz**2
    return x


@registry.register("total-variation")
def total_variation(
    problem: InverseProblem, weight: float | None = None, iterations: int = 300
) -> torch.Tensor:
    """Total variation, its weight from the noise level (no truth).

    Minimises ½‖Ax − y‖² + weight · TV(x), or TV(x) subject to Ax = y where σ = 0, by the primal-dual
    method with the data term's prox (Chambolle and Pock, J. Math. Imaging Vis. 2011); the gradient's
    length at a pixel runs over the three channels together.

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level.
    weight : float, optional
        Default: σ² / `TV_SCALE`, the MAP weight where gradients are Laplacian with that scale.
    iterations : int
        Iterations.
    """
    operator, y = problem.operator, problem.y
    weight = problem.sigma**2 / TV_SCALE if weight is None else weight
    # The objective is divided by weight, so that the steps need not know it: data term / weight + TV.
    primal = 0.05
    dual = 1 / (8 * primal)
    tau = primal / weight if weight > 0 else float("inf")
    x = operator.prox_l2(constant_fit(problem), y, tau)
    ahead, field = x, gradient(torch.zeros_like(x))
    for _ in range(iterations):
        field = field + dual * gradient(ahead)
        field = field / field.square().sum((0, 2), keepdim=True).sqrt().clamp(min=1)
        new = operator.prox_l2(x + primal * divergence(field), y, tau)
        x, ahead = new, 2 * new - x
    return x


@registry.register("non-local-means")
def non_local_means(problem: InverseProblem) -> torch.Tensor:
    """Non-local means of scikit-image, its strength from the noise level (denoising only).

    Raises
    ------
    UnsupportedError
        If the operator is not the identity.
    """
    if not isinstance(problem.operator, Identity):
        kind = type(problem.operator).__name__
        raise UnsupportedError(f"non-local-means: works for Identity, not for {kind}")
    y = problem.y.detach().cpu().numpy()
    options = {"patch_size": 5, "patch_distance": 6, "h": 0.6 * problem.sigma, "sigma": problem.sigma}
    if problem.sigma == 0:
        return problem.y.clone()
    cleaned = [denoise_nl_means(image, channel_axis=0, fast_mode=True, **options) for image in y]
    return torch.as_tensor(np.stack(cleaned)).to(problem.y)


def squares(a: torch.Tensor) -> torch.Tensor:
    """Return ‖a‖² of every image, shape (N,), summed in float64."""
    return torch.linalg.vector_norm(a.flatten(1), dim=1, dtype=torch.float64).square()


def _laplacian(height: int, width: int) -> csr_array:
    """Return the graph Laplacian of the grid of pixels; leaving out neighbours beyond reflects borders."""
    index = np.arange(height * width).reshape(height, width)
    a = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    b = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    n = height * width
    one_way = coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    adjacency = (one_way + one_way.T).tocsr()
    return (diags_array(adjacency.sum(axis=1)) - adjacency).tocsr()


def _interpolation(coarse: int, positions: np.ndarray) -> np.ndarray:
    """Return the matrix of cubic-spline interpolation of `coarse` samples at `positions`, edges repeated."""
    return np.stack(
        [map_coordinates(unit, positions[None], order=3, mode="nearest") for unit in np.eye(coarse)], axis=1
    )
