"""Locks that hold between processes and between the nodes of a cluster.

A lock is a file with the process and the host of its holder, because the locks of an operating
system end at the node on some cluster file systems. The lock of a process that has died is removed
by the next process of the same host that wants it.
"""

import contextlib
import sys
from pathlib import Path

from filelock import SoftFileLock, Timeout
from tqdm import tqdm

from loupe_lib.errors import InputError


def try_lock(locks: contextlib.ExitStack, file: Path, seconds: float = 0.1) -> bool:
    """Take a lock until the stack is closed, unless another process holds it.

    Args:
        locks: releases the lock.
        file: the lock.
        seconds: how long to try. The first try only removes the lock of a dead process, and a lock
            file that a process could not complete is removed after 2 seconds.

    Raises:
        InputError: if the lock file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        locks.enter_context(SoftFileLock(file).acquire(seconds))
    except Timeout:
        return False
    except OSError as error:
        raise InputError(f"cannot write {file.parent}: {error.strerror or error}") from error
    return True


def wait_for_lock(locks: contextlib.ExitStack, file: Path, what: str) -> None:
    """Take a lock until the stack is closed; say so if another process holds it, and wait.

    Raises:
        InputError: if the lock file cannot be written.
    """
    if not try_lock(locks, file):
        tqdm.write(f"waiting for {what}, {holder(file)}", sys.stderr)
        try_lock(locks, file, -1)  # without end


def holder(file: Path) -> str:
    """Who holds a lock, and what to do if that process has died on another host."""
    try:
        process, host = file.read_text("utf-8").split()[:2]
    except (OSError, ValueError):  # freed or not yet written
        return f"held by another process ({file})"
    host = host.partition("?")[0]  # filelock adds the container's number to it
    return f"held by process {process} of {host} (if that has died: rm {file})"
