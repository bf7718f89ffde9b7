"""What is written is read back."""

import numpy as np
import pytest
from PIL import Image

from flowsolve.encoding import DTYPES, file_kind, write_image
from flowsolve.errors import ArgumentError
from flowsolve.images import read_each

STEP = {"uint8": 255, "uint16": 65535}


@pytest.mark.parametrize(("dtype", "kind"), [(d, k) for d, kinds in DTYPES.items() for k in kinds])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path, dtype, kind, channels):
    x = np.random.default_rng(0).random((channels, 5, 7))
    path = tmp_path / f"x.{kind}"
    write_image(path, x, dtype)
    (found,) = read_each([path])
    assert found.x.shape == x.shape
    np.testing.assert_allclose(found.x, x, atol=0.51 / STEP.get(dtype, 1e7))


def test_floats_are_written_as_they_are_and_integers_clipped(tmp_path):
    x = np.array([[-0.5, 1.5]])
    write_image(tmp_path / "x.npy", x, "float32")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    write_image(tmp_path / "x.png", x)
    assert np.asarray(Image.open(tmp_path / "x.png")).tolist() == [[0, 255]]


def test_kinds_that_cannot_hold_a_dtype_are_refused(tmp_path):
    assert [file_kind(dtype) for dtype in DTYPES] == ["png", "png", "tiff"]
    for dtype, kind, words in (
        ("float32", "png", "tiff or npy"),
        ("int8", None, "dtype-out"),
        ("uint8", "gif", "png"),
    ):
        with pytest.raises(ArgumentError, match=words):
            file_kind(dtype, kind)
    with pytest.raises(ArgumentError, match="float32"):
        write_image(tmp_path / "x.png", np.zeros((3, 3)), "float32")
    assert not list(tmp_path.iterdir())
