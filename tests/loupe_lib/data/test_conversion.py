"""A conversion is streamed, bounded in memory, and goes on where it was stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loupe_lib import InputError
from loupe_lib.data.conversion import parts_folder
from loupe_lib.data.convert import Selection, import_fastmri
from loupe_lib.data.storage import digest
from loupe_lib.data.synthetic_fastmri import write_fastmri
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
    return large_folder(tmp_path_factory.mktemp("large") / "data", 100, size=48, slices=4)


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory) -> str:
    """SHA-256 of what a conversion that nobody stops writes."""
    out = tmp_path_factory.mktemp("undisturbed") / "knee.h5"
    import_fastmri(root, out, Selection(ALL), size=48, progress=False)
    return digest(out)


def start(root: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HEARING, "data", "fastmri", root, "--out", out]
    options = ["--size", "48", "--split", "0.8,0.1,0.1"]
    return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)


def stop_after(process: subprocess.Popen, out: Path, parts: int, with_signal: int) -> str:
    """Send a signal when so many volumes are done."""
    deadline = time.monotonic() + 300
    while len(list(parts_folder(out).glob("*.h5"))) < parts:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(with_signal)
    return process.communicate(timeout=300)[1]


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_it_goes_on(with_signal, root, undisturbed, tmp_path):
    out = tmp_path / "knee.h5"
    with start(root, out) as process:
        said = stop_after(process, out, random.randint(2, 20), with_signal)
    assert not out.exists()
    if with_signal == signal.SIGINT:
        assert said == "stopped; the same command goes on from here\n"
        assert process.returncode == 130
    done = {p.name: p.stat().st_ino for p in parts_folder(out).glob("*.h5")}
    damaged = parts_folder(out) / min(done)
    damaged.write_bytes(damaged.read_bytes()[:-7])  # by the crash of the machine, say
    import_fastmri(root, out, Selection(ALL), size=48, progress=False)
    assert digest(out) == undisturbed
    assert list(files_in(tmp_path)) == ["knee.h5"]


def test_two_at_once_wait_for_each_other(root, undisturbed, tmp_path):
    out = tmp_path / "knee.h5"
    both = [start(root, out) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert digest(out) == undisturbed
    assert list(files_in(tmp_path)) == ["knee.h5"]


def test_a_folder_that_cannot_be_written_is_one_line(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/.knee.h5.parts: Not a directory"):
        import_fastmri(root, tmp_path / "file" / "knee.h5", Selection(ALL), size=48, progress=False)


MEASURE = """
import resource, sys
from pathlib import Path
import loupe_companion.cli
from loupe_lib.data import conversion
from loupe_lib.data.convert import Selection, import_fastmri

conversion.cores = lambda: 16
root, out = sys.argv[1:]
import_fastmri(Path(root), Path(out), Selection((0.8, 0.1, 0.1)), is_complex=True,
               progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(root: Path, out: Path) -> int:
    """Bytes that a conversion on 16 threads held at most, the program itself included."""
    command = [sys.executable, "-c", MEASURE, root, out]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return int(ran.stdout) * unit


def test_memory_does_not_grow_with_the_folder(tmp_path):
    """Complex images of the published size; 20 and 60 volumes on 16 threads."""
    pytest.importorskip("resource")
    root = large_folder(tmp_path / "data", 13, size=320, slices=1)
    few = peak(root, tmp_path / "few.h5")
    first = min(root.rglob("*.h5"))
    for number in range(40):
        os.link(first, first.with_name(f"file3{number:06d}.h5"))
    many = peak(root, tmp_path / "many.h5")
    assert many < few + (100 << 20)
    assert many < 1 << 30
