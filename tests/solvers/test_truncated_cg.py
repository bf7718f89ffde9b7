import pytest
import torch

from flowsolve.solvers.truncated_cg import explore


@pytest.fixture
def models():
    """Return three positive definite matrices of 8 rows and their slopes."""
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(3, 8, 8, generator=generator, dtype=torch.float64)
    return roots @ roots.transpose(1, 2) + 0.1 * torch.eye(8), torch.randn(
        3, 8, generator=generator, dtype=torch.float64
    )


def run(models, asked=None, **options):
    matrices, slopes = models

    def product(index, v):
        if asked is not None:
            asked.append(index.tolist())
        return torch.bmm(matrices[index], v[:, :, None])[:, :, 0]

    nothing = torch.zeros(3, dtype=torch.float64)
    usual = {"tolerance": nothing, "damping": nothing, "radius": nothing + torch.inf, "iterations": 8}
    return explore(product, slopes, **{**usual, **options})


ALL = torch.arange(3)


@pytest.mark.parametrize("first", [0.0, 0.3])
def test_any_damping_is_solved_in_the_subspace_of_another(models, first):
    matrices, slopes = models
    subspace = run(models, damping=torch.full((3,), first, dtype=torch.float64))
    for damping in (0.0, 0.3, 5.0):
        move, falls = subspace.damped(ALL, torch.full((3,), damping, dtype=torch.float64))
        damped = matrices + damping * torch.eye(8)
        exact = -torch.linalg.solve(damped, slopes)
        torch.testing.assert_close(move, exact, rtol=1e-6, atol=1e-8)
        model = (slopes * move).sum(1) + 0.5 * torch.einsum("ni,nij,nj->n", move, matrices, move)
        torch.testing.assert_close(falls, -model)


@pytest.mark.parametrize("radius", [1e-3, 0.5, 1e3])
def test_the_radius_is_kept_and_its_multiplier_is_that_of_more_and_sorensen(models, radius):
    matrices, slopes = models
    move, falls = run(models).within(ALL, torch.full((3,), radius, dtype=torch.float64))
    length = move.norm(dim=1)
    assert (length <= radius * (1 + 1e-9)).all() and (falls > 0).all()
    residual = -(torch.einsum("nij,nj->ni", matrices, move) + slopes)
    multiplier = (residual * move).sum(1) / length.square()
    torch.testing.assert_close(residual, multiplier[:, None] * move, rtol=0, atol=1e-6)
    on_boundary = length > 0.999 * radius
    assert (multiplier[on_boundary] >= -1e-9).all()
    assert (multiplier[~on_boundary].abs() < 1e-6).all()


def test_images_leave_when_they_have_what_they_need(models):
    asked = []
    tolerance = torch.tensor([0.99, 0.0, 0.3], dtype=torch.float64)
    subspace = run(models, asked, tolerance=tolerance)
    assert asked[0] == [0, 1, 2] and asked[-1] == [1]
    assert [sum(i in batch for batch in asked) for i in range(3)] == subspace.used.tolist()
    assert subspace.used[1] == 8


def test_products_that_are_not_finite_end_an_image_alone(models):
    matrices, slopes = models
    matrices = matrices.clone()
    matrices[1] = torch.nan
    subspace = run((matrices, slopes))
    move, falls = subspace.damped(ALL, torch.zeros(3, dtype=torch.float64))
    assert subspace.used[1] == 0 and falls[1] == 0 and (move[1] == 0).all()
    exact = -torch.linalg.solve(matrices[0], slopes[0])
    torch.testing.assert_close(move[0], exact, rtol=1e-6, atol=1e-8)


def test_a_preconditioner_saves_products(models):
    matrices, slopes = models
    scale = torch.logspace(0, 3, 8, dtype=torch.float64)
    scaled = (scale[:, None] * (matrices / 20 + torch.eye(8)) * scale, scale * slopes)
    loose = torch.full((3,), 1e-6, dtype=torch.float64)
    plain = run(scaled, tolerance=loose)
    helped = run(scaled, tolerance=loose, precondition=lambda index, r: r / scale.square(), iterations=5)
    move, _ = helped.damped(ALL, torch.zeros(3, dtype=torch.float64))
    _, best = plain.damped(ALL, torch.zeros(3, dtype=torch.float64))
    model = -((scaled[1] * move).sum(1) + 0.5 * torch.einsum("ni,nij,nj->n", move, scaled[0], move))
    assert (model > 0.999 * best).all()
