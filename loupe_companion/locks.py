"""Locks that hold between processes and between the nodes of a cluster.

A lock is a file with the process and the host of its holder, because the locks of an operating
system end at the node on some cluster file systems. The lock of a process that has died is removed
by the next process of the same host that wants it. A process in a Slurm job notes the job beside
its lock: another host then asks Slurm whether the job has ended.
"""

import contextlib
import math
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from filelock import SoftFileLock, Timeout
from tqdm import tqdm

from loupe_lib.errors import InputError


def try_lock(locks: contextlib.ExitStack, file: Path, seconds: float = 0.1) -> bool:
    """Take a lock until the stack is closed, unless another process holds it.

    Args:
        locks: releases the lock.
        file: the lock.
        seconds: how long to try. The first try only removes the lock of a dead process or of an
            ended job, and a lock file that a process could not complete is removed after 2 seconds.

    Raises:
        InputError: if the lock file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        job = _job(file)
        if job and _ended(job, file) and _job(file) == job:  # nobody has taken it since
            file.unlink(missing_ok=True)
        locks.enter_context(SoftFileLock(file).acquire(seconds))
        if job := os.environ.get("SLURM_JOB_ID"):
            _note(file).write_text(f"{job}\n{file.read_text('utf-8')}", "utf-8")
        locks.callback(_note(file).unlink, missing_ok=True)
    except Timeout:
        return False
    except OSError as error:
        raise InputError(f"cannot write {file.parent}: {error.strerror or error}") from error
    return True


def wait_for_lock(
    locks: contextlib.ExitStack, file: Path, what: str, seconds: float = math.inf
) -> bool:
    """Take a lock until the stack is closed; say so if another process holds it, and wait.

    Returns:
        Whether it was free within that time.

    Raises:
        InputError: if the lock file cannot be written.
    """
    if try_lock(locks, file):
        return True
    tqdm.write(f"waiting for {what}, {holder(file)}", sys.stderr)
    end = time.monotonic() + seconds
    while not try_lock(locks, file, min(seconds, 60)):  # each try asks Slurm once
        if time.monotonic() >= end:
            return False
    return True


def holder(file: Path) -> str:
    """Who holds a lock, and what to do if that process has died on another host."""
    try:
        process, host = file.read_text("utf-8").split()[:2]
    except (OSError, ValueError):  # freed or not yet written
        return f"held by another process ({file})"
    host = host.partition("?")[0]  # filelock adds the container's number to it
    job = f", Slurm job {job}" if (job := _job(file)) else ""
    return f"held by process {process} of {host}{job} (if that has died: rm {file})"


def _note(file: Path) -> Path:
    """Where the holder of a lock writes its Slurm job and, against a note left behind, the lock."""
    return Path(f"{file}.job")


def _job(file: Path) -> str | None:
    """The number of the Slurm job that holds a lock, if one does."""
    try:
        job, _, lock = _note(file).read_text("utf-8").partition("\n")
        return job if lock == file.read_text("utf-8") else None
    except OSError:
        return None


def _ended(job: str, file: Path) -> bool:
    """Whether Slurm says that the job which took a lock runs no more: ended, or queued again."""
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A %S"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    own["SLURM_TIME_FORMAT"] = "standard"
    try:
        taken = file.stat()
        if taken.st_uid != os.getuid():  # Slurm may hide the jobs of others
            return False
        listed = subprocess.run(
            command, env=own, capture_output=True, text=True, check=True, timeout=10
        )
        starts = dict(line.split() for line in listed.stdout.splitlines())
        start = starts.get(job, "N/A")  # so squeue shows jobs that have not started
        # A minute more, because the clocks of Slurm and of the file system may differ.
        return start == "N/A" or datetime.fromisoformat(start).timestamp() > taken.st_mtime + 60
    except (OSError, subprocess.SubprocessError, ValueError):  # Slurm gives no answer
        return False
