"""Worker processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from loupe_lib import InputError
from loupe_lib.data.workers import read_in_workers

PARENT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from loupe_lib.data.workers import exit_with_parent

def work():
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, context, initializer=exit_with_parent) as pool:
        for _ in range(2):
            pool.submit(work)
"""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_exit_when_their_parent_is_killed(method, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, method], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(is_alive, workers))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass(frozen=True)
class Task:
    path: Path


def die_of(task: Task) -> str:
    """Die as libhdf5 does: always of a file of that name, and once of a file that exists."""
    if task.path.name == "deadly":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task.path.exists():
        task.path.unlink()
        os._exit(1)
    return task.path.name


def tasks(folder: Path, *names: str) -> list[Task]:
    return [Task(folder / name) for name in names]


def test_a_file_that_kills_workers_is_named_and_the_others_are_read(tmp_path):
    done = []
    with pytest.raises(InputError) as caught:
        for task, _ in read_in_workers(die_of, tasks(tmp_path, "a", "deadly", "b"), 2):
            done.append(task.path.name)
    assert str(caught.value).startswith(f"{tmp_path / 'deadly'} ends the process that reads it")
    assert "a" in done


def test_a_worker_that_dies_once_is_replaced(tmp_path):
    (tmp_path / "b").touch()
    found = read_in_workers(die_of, tasks(tmp_path, *"abcdef"), 2)
    assert sorted(result for _, result in found) == list("abcdef")


def test_an_error_of_a_task_is_raised_here():
    with pytest.raises(AttributeError):
        list(read_in_workers(die_of, [Task("no path")], 1))
