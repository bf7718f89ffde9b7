import os
import socket

import pytest

from flowsolve.errors import ArgumentError
from flowsolve.files import MADE_UP, kind, read_regular, read_text, target, write_atomically


def test_replaces_in_one_step_with_the_usual_permissions(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.fixture
def special(tmp_path):
    """A folder of a named pipe, a socket, links to a device and to the pipe, and a link to itself."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "socket"))
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    return tmp_path


SPECIAL = {
    "pipe": "a named pipe",
    "socket": "a socket",
    "zero": "a device",
    "link": "a named pipe",
    "folder": "a folder",
}


@pytest.mark.parametrize(("name", "words"), SPECIAL.items())
def test_what_is_no_regular_file_is_neither_read_nor_replaced(special, name, words):
    before = os.lstat(special / name)
    assert kind(special / name) == words
    with pytest.raises(OSError, match=f"it is {words}"):
        read_regular(special / name, 10)
    with pytest.raises(ArgumentError, match=f"out: got .*{name}, which is {words}; accepted: a regular file"):
        write_atomically(special / name, b"new", "out")
    assert os.lstat(special / name) == before and len(os.listdir(special)) == 6


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "deep").mkdir()
    real, link, second = tmp_path / "deep" / "real", tmp_path / "link", tmp_path / "second"
    real.write_bytes(b"old")
    link.symlink_to("deep/real")
    second.symlink_to("link")
    write_atomically(second, b"new")
    assert real.read_bytes() == b"new" and link.is_symlink() and second.is_symlink()
    assert os.listdir(tmp_path / "deep") == ["real"]
    assert target(second) == real.resolve() and target(real) == real
    real.unlink()
    write_atomically(link, b"made")
    assert real.read_bytes() == b"made" and link.is_symlink()


def test_a_link_to_itself_is_refused(special):
    with pytest.raises(ArgumentError, match="a link that leads to itself"):
        target(special / "loop")


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path):
    write_atomically(tmp_path / ("x" * 255), b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


def test_reading_is_bounded(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "empty").write_bytes(b"")
    assert read_regular(tmp_path / "a", 10) == b"0123456789"
    assert read_regular(tmp_path / "empty", 10) == b""
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_regular(tmp_path / "a", 9)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 9)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="files that the system makes up")
def test_files_that_say_they_are_empty_are_read_a_little(monkeypatch):
    assert len(read_regular("/proc/self/maps", MADE_UP)) > 10
    monkeypatch.setattr("flowsolve.files.MADE_UP", 5)
    with pytest.raises(OSError, match="no end"):
        read_regular("/proc/self/maps", MADE_UP)


def test_texts(tmp_path):
    (tmp_path / "a").write_bytes("σ\r\nb\n".encode())
    assert read_text(tmp_path / "a") == "σ\nb\n"
