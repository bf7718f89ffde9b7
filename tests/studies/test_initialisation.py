import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.initialisation import (
    basins,
    relative_distances,
    sensitivity_to_lam,
    solutions,
    spread,
)


def test_relative_distance_is_zero_for_equals_and_one_for_orthogonal_latents():
    z = np.array([[3.0, 0], [3, 0], [0, 3], [0, 1], [-3, 0]])
    d = relative_distances(z)
    np.testing.assert_allclose(d[0], [0, 0, 1, 1, np.sqrt(2)], atol=1e-12)
    np.testing.assert_array_equal(d, d.T)
    assert relative_distances(np.zeros((2, 4))).tolist() == [[0, 0], [0, 0]]
    draws = relative_distances(np.random.default_rng(0).standard_normal((4, 20_000)))
    np.testing.assert_allclose(draws[np.triu_indices(4, 1)], 1, atol=0.02)


def test_basins_are_clusters_at_the_threshold():
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((2, 500))
    z = centres[[0, 1, 0, 1, 1]] + 0.1 * generator.standard_normal((5, 500))
    d = relative_distances(z)
    assert basins(d).tolist() == [1, 2, 1, 2, 2]
    assert basins(d, 1e-3).tolist() == [1, 2, 3, 4, 5] and basins(d, 2.0).tolist() == [1] * 5
    assert basins(d[:1, :1]).tolist() == [1]


def test_spread_over_starts_and_seeds(small_index):
    found = spread(small_index.table)
    # Two solvers on two images; the other weights have one run each.
    assert len(found) == 4 and set(found["runs"]) == {3} and set(found["starts"]) == {2}
    rows = small_index.table
    first = found.iloc[0]
    own = rows[(rows["solver"] == first["solver"]) & (rows["image"] == first["image"])]
    own = own[own["lam_given"] == "map"]
    assert first["psnr_range"] == pytest.approx(np.ptp(own["psnr"]))
    assert first["lowest_start"] == own.loc[own["value"].idxmin(), "start"]
    assert 0 <= first["between"] <= 1


def test_share_of_the_variance_that_the_start_explains():
    import pandas

    from flowsolve.studies.initialisation import SAME_BUT_START

    def made(psnr):
        common = dict.fromkeys(SAME_BUT_START, "x")
        rows = [
            {**common, "start": start, "psnr": p, "value": 1.0, "z_norm": 1.0}
            for start, p in zip("aabb", psnr, strict=True)
        ]
        return spread(pandas.DataFrame(rows))["between"].iloc[0]

    assert made([20, 20, 30, 30]) == pytest.approx(1) and made([20, 30, 20, 30]) == pytest.approx(0)
    # Means 21 and 25 around 23: 16 of 20.
    assert made([20, 22, 24, 26]) == pytest.approx(0.8)


def test_solutions_of_a_study(small_index):
    found = solutions(small_index)
    assert len(found) == 4 and set(found["runs"]) == {3}
    entry = {e.id: e for e in small_index.runs}
    first = found.iloc[0]
    ids = list(first["members"])
    place = entry[ids[0]].images.index(first["image"])
    x = np.stack([np.clip(entry[i].final["x"][place], 0, 1).ravel() for i in ids])
    apart = [np.sqrt(((x[i] - x[j]) ** 2).mean()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert first["image_distance"] == pytest.approx(np.median(apart))
    assert first["image_distance_max"] == pytest.approx(max(apart))
    assert set(first["psnr_by_basin"]) == set(range(1, first["basins"] + 1))
    assert (solutions(small_index, threshold=3.0)["basins"] == 1).all()
    assert (solutions(small_index, threshold=1e-9)["basins"] == 3).all()
    with pytest.raises(ArgumentError, match="threshold"):
        solutions(small_index, threshold=0)


def test_sensitivity_to_the_weight(small_index):
    found = sensitivity_to_lam(small_index.table)
    assert found["lam"].tolist() == [0.05**2 / 2, 0.01, 0.1] and set(found["solver"]) == {"lbfgs"}
    assert found["best"].sum() == pytest.approx(1) and found["loss"].min() >= 0
    assert (found["images"] == 2).all()
