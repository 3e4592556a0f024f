"""A conversion is bounded in memory, and goes on where it was stopped."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loupe_companion.synthetic_fastmri import write_fastmri
from loupe_lib.data.conversion import parts_folder
from loupe_lib.data.importing import Selection, import_fastmri
from loupe_lib.data.storage import digest
from tests.common import files_in

ALL = (0.8, 0.1, 0.1)
# A test run in the background of a shell would hand down that Ctrl-C is ignored.
HEARING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("loupe_companion", run_name="__main__", alter_sys=True)
"""


def large_folder(folder: Path, volumes: int, **settings) -> Path:
    """A folder of three patients, one of them with so many volumes: one file under many names."""
    first, *_ = write_fastmri(folder, 4, 3, 0, acquisitions=["CORPD_FBK"], **settings)
    for number in range(volumes):
        os.link(first, first.with_name(f"file2{number:06d}.h5"))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return large_folder(tmp_path_factory.mktemp("large") / "data", 40, size=48, slices=4)


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory) -> str:
    """SHA-256 of what a conversion that nobody stops writes."""
    out = tmp_path_factory.mktemp("undisturbed") / "knee.h5"
    import_fastmri(root, out, Selection(ALL), size=48)
    return digest(out)


def start(root: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HEARING, "data", "fastmri", root, "--out", out]
    options = ["--size", "48", "--split", "0.8,0.1,0.1"]
    return subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stop_after(process: subprocess.Popen, out: Path, parts: int, send: Callable) -> str:
    """Send a signal when so many volumes are done, and wait until the workers are gone."""
    deadline = time.monotonic() + 300
    while len(list(parts_folder(out).glob("*.npz"))) < parts:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    send(process.pid)
    said = process.communicate(timeout=300)[1]
    while memory_of(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return said


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGINT"])
def test_stopped_it_goes_on(how, root, undisturbed, tmp_path):
    send = {
        "Ctrl-C": lambda pid: os.killpg(pid, signal.SIGINT),  # a terminal tells workers as well
        "SIGINT": lambda pid: os.kill(pid, signal.SIGINT),
    }[how]
    out = tmp_path / "knee.h5"
    with start(root, out) as process:
        said = stop_after(process, out, random.randint(2, 12), send)
    assert not out.exists()
    assert said == "stopped; repeat the command to continue\n"
    assert process.returncode == 130
    import_fastmri(root, out, Selection(ALL), size=48)
    assert digest(out) == undisturbed
    assert sorted(files_in(tmp_path)) == [".knee.h5.lock", "knee.h5"]


def test_two_at_once_wait_for_each_other(root, undisturbed, tmp_path):
    out = tmp_path / "knee.h5"
    with start(root, out) as first, start(root, out) as second:
        said = [process.communicate()[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert digest(out) == undisturbed
    assert sorted(files_in(tmp_path)) == [".knee.h5.lock", "knee.h5"]


MEASURE = """
import sys
from pathlib import Path

if __name__ == "__main__":
    import loupe_companion.cli
    from loupe_lib.data import conversion
    from loupe_lib.data.importing import Selection, import_fastmri

    conversion.cores = lambda: 16
    root, out = map(Path, sys.argv[1:])
    import_fastmri(root, out, Selection((0.8, 0.1, 0.1)), is_complex=True)
"""


def memory_of(session: int) -> int:
    """Bytes that the processes of a session hold now, shared ones counted once."""
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == session:
                fields = (process / "smaps_rollup").read_text().split()
                held += int(fields[fields.index("Pss:") + 1]) << 10
    return held


def peak(root: Path, out: Path, folder: Path) -> int:
    """Bytes that a conversion on 16 cores held at most, all processes together."""
    script = folder / "measure.py"
    script.write_text(MEASURE)
    most = 0
    with subprocess.Popen([sys.executable, script, root, out], start_new_session=True) as process:
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            time.sleep(0.1)
    assert process.returncode == 0
    return most


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_memory_stays_below_a_gigabyte(tmp_path):
    """Complex images of the published size, by as many workers as 16 cores allow."""
    root = large_folder(tmp_path / "data", 13, size=320, slices=8)
    assert peak(root, tmp_path / "out.h5", tmp_path) < 1 << 30
