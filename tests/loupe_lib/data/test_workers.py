"""Worker processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loupe_lib import InputError
from loupe_lib.data.workers import BadFile, read_in_workers

INTERRUPTED = """
import os, signal
from loupe_lib.data.workers import read_in_workers

if __name__ != "__main__":  # a worker that is starting imports this file
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    print(list(read_in_workers(abs, [(-1,), (-2,), (-3,)], 2, "")))
"""


def test_a_worker_that_is_starting_does_not_hear_ctrl_c(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[1, 2, 3]\n", "")


def die_of(path: Path) -> str:
    """Die as libhdf5 does, of a file of that name; refuse another."""
    if path.name == "deadly":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name == "bad":
        raise InputError(f"{path}: no image")
    return path.name


def test_a_file_that_kills_its_worker_is_named_and_the_others_are_read(tmp_path):
    paths = [tmp_path / n / name for n in "123" for name in ("deadly", "a", "bad", "b")]
    results = read_in_workers(die_of, [(path,) for path in paths], 2, "")
    for path, found in zip(paths, results, strict=True):
        match path.name:
            case "deadly":
                assert isinstance(found, BadFile)
                assert str(found) == (
                    f"{path} ends the process that reads it: "
                    "the file is corrupt or too large for the memory"
                )
            case "bad":
                assert type(found) is InputError and str(found) == f"{path}: no image"
            case name:
                assert found == name


def test_an_error_of_a_task_is_raised_here_with_its_traceback():
    with pytest.raises(AttributeError) as caught:
        list(read_in_workers(die_of, [("no path",)], 1, ""))
    assert "in die_of" in str(caught.value.__cause__)
