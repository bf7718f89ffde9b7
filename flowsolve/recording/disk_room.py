"""Ask the disk for room before HDF5 writes: HDF5 may crash the process where a write of its own fails."""

from __future__ import annotations

import errno
import os

import h5py

#: What HDF5 may write beside the data: headers, indices, chunks that are only partly filled.
OVERHEAD = 512 * 1024

#: Answers of a disk, quota or limit that has no room; any other says that the file system cannot be asked.
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def ask_for_room(file: h5py.File, nbytes: int) -> None:
    """Extend an open HDF5 file so that so many bytes, and what goes with them, can be written.

    HDF5 does not count them to its file until it uses them; `give_back_room` cuts off the rest. Where the
    system has no such call, nothing is done.

    Parameters
    ----------
    file : h5py.File
        File that is open for writing.
    nbytes : int
        Bytes of the data that will be written.

    Raises
    ------
    OSError
        If there is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor = file.id.get_vfd_handle()
    try:
        os.posix_fallocate(descriptor, file.id.get_filesize(), nbytes + OVERHEAD)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise


def give_back_room(file: h5py.File) -> None:
    """Flush an open HDF5 file and cut off what was asked for and not used."""
    file.flush()
    os.ftruncate(file.id.get_vfd_handle(), file.id.get_filesize())
