"""``kill -9`` at any moment: the next call goes on, and finds what an undisturbed one finds."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from loupe_companion.results import read_results
from loupe_companion.store import RESULT, WEIGHTS
from loupe_companion.synthetic_fastmri import write_fastmri
from tests.common import ROOT, free_locks
from tests.conftest import Record
from tests.loupe_companion.test_sweep import measured
from tests.robustness.fork_server import PHASES

pytestmark = pytest.mark.slow

SWEEP = "sweep --profile smoke --device cpu --runs {0}/runs --out {0}/all.h5"
CONVERT = (
    "data fastmri {1} --out {0}/knee.h5 --size 32 --split 12,4,4 "
    "--acquisition CORPD_FBK,CORPDFS_FBK"
)
# Where the sweep is killed: in turn, so that short phases are struck as often as long ones.
TARGETS = tuple(phase for phase in PHASES if phase not in ("elsewhere", "converting"))
DELAYS = {"measuring": 0.3, "training": 0.05}  # seconds at most after the phase began; else 0.01


@dataclass
class ForkServer:
    """A process whose children are killed: see `tests.robustness.fork_server`."""

    process: subprocess.Popen[str]

    def run(self, command: str, phase: str | None = None, entry: int = 0, delay: float = 0.0):
        asked = {"argv": command.split(), "phase": phase, "entry": entry, "delay": delay}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    command = [sys.executable, "-m", "tests.robustness.fork_server"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert json.loads(process.stdout.readline()) == {"ready": True}
        yield ForkServer(process)
        process.stdin.close()


def found_in(folder: Path) -> tuple[set[str], list[dict[str, object]], dict[str, bytes]]:
    """The names of all files, all that was measured, and the bytes of weights and images."""
    free_locks(folder)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    exact = {
        name: path.read_bytes() for name, path in files.items() if path.name in (WEIGHTS, "knee.h5")
    }
    results = [
        measured(result)
        for name, path in sorted(files.items())
        if path.name in (RESULT, "all.h5")
        for result in read_results(path)
    ]
    return set(files), results, exact


def kill_and_go_on(
    fork_server: ForkServer,
    command: str,
    tries: int,
    targets: tuple[str, ...],
    folder: Path,
    record: Record,
    source: Path,
) -> None:
    undisturbed = folder / "undisturbed"
    entries = fork_server.run(command.format(undisturbed, source))["entries"]
    assert all(entries[target] for target in targets)
    files, results, exact = found_in(undisturbed)
    assert exact
    rng = random.Random(0)
    killed = 0
    for number in range(3 * tries):  # a child may have ended before it was struck
        target = targets[number % len(targets)]
        place = folder / str(number)
        entry, delay = rng.randint(1, entries[target]), rng.uniform(0, DELAYS.get(target, 0.01))
        struck = fork_server.run(command.format(place, source), target, entry, delay)
        if not struck["killed"]:
            continue
        again = fork_server.run(command.format(place, source))
        assert again["status"] == 0, (struck, again)
        now = found_in(place)
        assert now[0] == files and now[2] == exact, struck
        np.testing.assert_equal(now[1], results, err_msg=str(struck))
        record.count(struck["phase"])
        shutil.rmtree(place)
        killed += 1
        if killed == tries:
            return
    pytest.fail(f"only {killed} of {3 * tries} were struck in time")


def test_sweep(fork_server, tmp_path, record):
    """`kill -9` of a sweep; the next call equals an undisturbed one bit for bit."""
    kill_and_go_on(fork_server, SWEEP, record.tries(42, 6), TARGETS, tmp_path, record, tmp_path)


def test_conversion(fork_server, tmp_path, record):
    """`kill -9` while fastMRI files are converted; the next call makes the same file."""
    write_fastmri(tmp_path / "fastmri", 6, 3, 0, size=32, slices=4)
    targets = ("converting", "between fsync and rename")
    kill_and_go_on(
        fork_server, CONVERT, record.tries(20, 4), targets, tmp_path, record, tmp_path / "fastmri"
    )
