"""Axes and ranges of arrays: what is assumed, what is said, what is refused."""

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.layouts import LAYOUTS, Reading, arranged, in_unit_range, parse_range

SIZES = {"N": 4, "C": 3, "H": 5, "W": 6}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("told", [True, False])
def test_every_layout_comes_out_as_images(layout, told):
    if layout == "HWN" and not told:
        pytest.skip("pages first is what is assumed of three axes")
    sizes = {axis: SIZES[axis] for axis in layout}
    array = np.random.default_rng(0).random(tuple(sizes.values()))
    images, said = arranged(array, layout if told else None)
    full = {**dict.fromkeys("NC", 1), **sizes}
    assert images.shape == tuple(full[axis] for axis in "NCHW")
    places = {"N": 1, "C": 0, "H": 2, "W": 3}
    index = tuple(places[axis] for axis in layout)
    assert images[1 if "N" in layout else 0, 0, 2, 3] == array[index]
    assert bool(said) == (not told and layout in ("HWC", "NHW", "NHWC", "HWCN"))


@pytest.mark.parametrize("shape", [(7,), (2, 2, 2, 2), (1, 3, 4, 5, 6), (0, 4), (3, 0, 4)])
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(ValueError, match=str(shape[0])):
        arranged(np.zeros(shape))


def test_a_layout_that_does_not_fit_is_refused():
    for array, layout in ((np.zeros((4, 5)), "HWC"), (np.zeros((4, 5, 2)), "HWC")):
        with pytest.raises(ValueError, match="of shape"):
            arranged(array, layout)
    with pytest.raises(ArgumentError, match="layout: got 'CWH'"):
        Reading(layout="CWH")


@pytest.mark.parametrize(
    ("values", "expected", "said"),
    [
        (np.array([0, 255], np.uint8), [0, 1], ""),
        (np.array([0, 65535], np.uint16), [0, 1], "0 to 65535"),
        (np.array([0, 4095], np.uint16), [0, 4095 / 65535], "up to 4095, taken as 0 to 65535"),
        (np.array([0, 51], np.int64), [0, 0.2], "0 to 255"),
        (np.array([0.0, 51.0]), [0, 0.2], "0 to 255"),
        (np.array([0.0, 13107.0]), [0, 0.2], "0 to 65535"),
        (np.array([0.0, 1.0]), [0, 1], ""),
        (np.array([False, True]), [0, 1], ""),
        (np.array([0.25, 0.5], np.float16), [0.25, 0.5], ""),
    ],
)
def test_ranges_are_recognised_and_said(values, expected, said):
    found, words = in_unit_range(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert (said in words) if said else not words


@pytest.mark.parametrize("values", [[0.5, 200.25], [-3, 7], [0, 70000], [-0.1, 0.5]])
def test_other_ranges_are_refused_with_their_values_or_told(values):
    values = np.array(values)
    with pytest.raises(ValueError, match=f"from {values[0]:g} to {values[1]:g}"):
        in_unit_range(values)
    low, high = float(values[0]), float(values[1])
    np.testing.assert_allclose(in_unit_range(values, (low, high))[0], [0, 1], atol=1e-7)


def test_measurements_may_go_beyond_but_not_far():
    np.testing.assert_allclose(in_unit_range(np.array([-0.2, 1.3]), clean=False)[0], [-0.2, 1.3], atol=1e-7)
    with pytest.raises(ValueError, match=r"to 200\.25"):
        in_unit_range(np.array([0.5, 200.25]), clean=False)


def test_the_range_of_the_command_line():
    assert parse_range("100,4095") == (100, 4095) and parse_range("4095") == (0, 4095)
    for text in ("a", "1,2,3", ""):
        with pytest.raises(ArgumentError, match="LOW,HIGH"):
            parse_range(text)
    with pytest.raises(ArgumentError, match="the lower first"):
        Reading(range=(1.0, 0.0))
