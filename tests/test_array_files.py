"""Arrays out of files of each kind, and what is refused of them."""

import io

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from flowsolve import array_files
from flowsolve.array_files import read_array, split_inner

GREY = np.random.default_rng(0).random((5, 7))


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def hdf5(build):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        build(file)
    return buffer.getvalue()


def mat(**arrays):
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    return buffer.getvalue()


def test_npz_takes_the_only_array_or_the_one_that_is_named():
    np.testing.assert_array_equal(read_array(npz(a=GREY), ".npz"), GREY)
    np.testing.assert_array_equal(read_array(npz(a=GREY * 0, b=GREY), ".npz", "b"), GREY)
    with pytest.raises(ValueError, match=r"2 arrays \(a, b\); name one"):
        read_array(npz(a=GREY, b=GREY), ".npz")
    with pytest.raises(ValueError, match="no array c"):
        read_array(npz(a=GREY), ".npz", "c")


def test_hdf5_takes_the_only_array_or_the_one_that_is_named():
    def build(file):
        file["entry/data"] = GREY
        file["entry/time"] = np.arange(3)

    np.testing.assert_array_equal(read_array(hdf5(build), ".h5"), GREY)
    np.testing.assert_array_equal(read_array(hdf5(build), ".h5", "/entry/data"), GREY)
    with pytest.raises(ValueError, match="is a group; the arrays are entry/data"):
        read_array(hdf5(build), ".h5", "entry")
    with pytest.raises(ValueError, match=r"not there; it has entry/data"):
        read_array(hdf5(build), ".h5", "entry/nothing")


def test_hdf5_that_leads_out_of_the_file_is_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = GREY

    def build(file):
        file["link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/data")
        layout = h5py.VirtualLayout(GREY.shape, float)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "data", GREY.shape)
        file.create_virtual_dataset("virtual", layout)

    for name, words in (("link", "link to somewhere else"), ("virtual", "in other files")):
        with pytest.raises(ValueError, match=words):
            read_array(hdf5(build), ".h5", name)


def test_matlab_files_of_both_kinds(tmp_path):
    colour = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(read_array(mat(x=colour), ".mat"), colour)
    # Version 7.3: HDF5 behind 512 bytes, axes the other way round.
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        file["x"] = colour.T
    np.testing.assert_array_equal(read_array((tmp_path / "new.mat").read_bytes(), ".mat"), colour)


def test_objects_and_arrays_that_would_fill_the_memory_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="cannot be read"):
        read_array(npz(a=np.array([{}], dtype=object)), ".npz")
    monkeypatch.setattr(array_files, "MAX_ARRAY", 100)
    for data, suffix in (
        (npz(a=GREY), ".npz"),
        (hdf5(lambda f: f.update({"a": GREY})), ".h5"),
        (mat(a=GREY), ".mat"),
    ):
        with pytest.raises(ValueError, match="larger than 100 bytes"):
            read_array(data, suffix)


def test_a_name_within_a_file_comes_after_a_colon(tmp_path):
    assert split_inner(tmp_path / "a.h5:/x/y") == (tmp_path / "a.h5", "/x/y")
    assert split_inner(tmp_path / "a.mat:x") == (tmp_path / "a.mat", "x")
    assert split_inner(tmp_path / "a.png:x") == (tmp_path / "a.png:x", "")
    (tmp_path / "b.h5:x").write_text("")
    assert split_inner(tmp_path / "b.h5:x") == (tmp_path / "b.h5:x", "")
