"""A first look at an HDF5 file that nobody vouches for, by a process that may die of it.

On a damaged file the HDF5 library may crash or loop for ever (seen with 2.0 for a single flipped
bit), where no exception can be caught. Files that this library wrote are sealed and need no check.
"""

import os
import subprocess
import sys
from typing import IO

from loupe_lib.data import hdf5_look
from loupe_lib.errors import InputError

SECONDS = 60
# Runs a script with the packages that this process finds, wherever they are installed.
BESIDE_US = (
    "import runpy, sys; script, *arguments = sys.argv[1:4]; sys.path[:] = sys.argv[4:]; "
    "sys.argv[1:] = arguments; runpy.run_path(script, run_name='__main__')"
)


def check_hdf5(file: IO[bytes], offset: int = 0, size: int | None = None) -> None:
    """Refuse an HDF5 file on which the library crashes, or which takes it too long or too much.

    What else may be wrong with it, whoever reads it then is told by an exception.

    Args:
        file: an open file of the operating system, whose position stays where it is.
        offset: where in it the HDF5 file begins, which may be a member of an archive.
        size: how long that is, in bytes; all that there is without it.

    Raises:
        InputError: if HDF5 crashes, takes more than a minute or, for one piece of data, more than
            about a gigabyte of memory.
    """
    size = os.fstat(file.fileno()).st_size - offset if size is None else size
    try:
        status, error = look(file, offset, size)
    except subprocess.TimeoutExpired:
        raise InputError("it is damaged: HDF5 reads it without end") from None
    if status == hdf5_look.UNREADABLE:
        raise InputError("a piece of its data is damaged, or takes too much memory")
    if status < 0:  # the number of a signal
        raise InputError("it is damaged: HDF5 crashes on it")
    if status:
        raise InputError(f"it cannot be looked at: {error}")


def look(file: IO[bytes], offset: int, size: int) -> tuple[int, str]:
    """Let another process look.

    Returns:
        Its exit status, and the last line that it had to say.
    """
    command = [sys.executable, "-I", "-c", BESIDE_US, hdf5_look.__file__, str(offset), str(size)]
    ended = subprocess.run(
        [*command, *sys.path],
        stdin=file,
        capture_output=True,
        timeout=SECONDS,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # each would take memory
    )
    return ended.returncode, ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
