"""A first look at an HDF5 file that nobody vouches for, by a process that may die of it.

On a damaged file the HDF5 library may crash or loop for ever (seen with 2.0 for a single flipped
bit), where no exception can be caught. Files that this library wrote are sealed and need no check.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from loupe_lib.errors import InputError

SECONDS = 60

LOOK = """
import contextlib, sys
import h5py
with contextlib.suppress(ImportError):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

def look(group, seen):
    dict(group.attrs)
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            with contextlib.suppress(Exception):
                found = group[name]
                address = h5py.h5o.get_info(found.id).addr
                if isinstance(found, h5py.Group) and address not in seen:
                    look(found, seen | {address})
                elif isinstance(found, h5py.Dataset) and not (found.is_virtual or found.external):
                    dict(found.attrs)
                    if found.chunks:
                        found.id.get_num_chunks()
                    if found.size and found.dtype.itemsize < 1 << 20:
                        found[tuple(n - 1 for n in found.shape)]

with contextlib.suppress(Exception), h5py.File(sys.argv[1], "r") as file:
    look(file, frozenset())
"""


def check_hdf5(path: str | os.PathLike[str]) -> None:
    """Refuse an HDF5 file on which the library crashes, or takes more than a minute.

    What else may be wrong with it, whoever reads it then is told by an exception.

    Raises:
        InputError: if it does, or the file is missing; the message names the file.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    _check(path, stat.st_mtime_ns, stat.st_size)


@cache
def _check(path: Path, changed: int, size: int) -> None:
    """Once for each state of a file."""
    try:
        status = subprocess.run(
            [sys.executable, "-I", "-c", LOOK, path], capture_output=True, timeout=SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        raise InputError(f"{path} is damaged: HDF5 does not come to an end with it") from None
    if status:
        raise InputError(f"{path} is damaged: HDF5 crashes on it")
