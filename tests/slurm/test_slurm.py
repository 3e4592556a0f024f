"""The workflow on Slurm: the same results as on one machine, whatever is killed on the way.

Each test session starts a Slurm of one node, with its own configuration, folder and ports.
LOUPE_TEST_SLURM=all adds a test of some minutes.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loupe_companion.locks import holder, try_lock
from loupe_companion.packs import Pack, marker
from loupe_companion.results import read_results
from loupe_companion.store import result_file
from tests.common import ROOT, smoke, wait_until, workflow
from tests.robustness.test_workflow import COLLECTED, assert_complete, running

pytestmark = pytest.mark.skipif(
    "LOUPE_TEST_SLURM" not in os.environ, reason="starts daemons: `make test-slurm`"
)
DAEMONS = ("munged", "slurmctld", "slurmd")
QUEUE = ["squeue", "--noheader", "--format", "%T %k"]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    paths = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in DAEMONS}
    missing = [name for name, path in paths.items() if path is None]
    assert not missing, f"not installed: {', '.join(missing)}; Debian: slurm-wlm munge"
    # munged wants a folder that everybody may enter, which those of pytest are not.
    with (
        tempfile.TemporaryDirectory(prefix="loupe-slurm-") as name,
        pytest.MonkeyPatch.context() as m,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("state", "spool"):
            (folder / part).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        text = (Path(__file__).parent / "slurm.conf").read_text("utf-8")
        conf = folder / "slurm.conf"
        conf.write_text(
            text.format(folder=folder, host=host, user=getpass.getuser(), ports=free_ports(2))
        )
        m.setenv("SLURM_CONF", str(conf))
        # Snakemake's plugin takes SLURM_CONF from the environment of srun.
        srun = folder / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        m.setenv("PATH", str(folder), prepend=os.pathsep)
        munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        commands = [
            [paths["munged"], "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
            [paths["slurmctld"], "-D", "-f", conf],
            [paths["slurmd"], "-D", "-f", conf],
        ]
        started = []
        try:
            for command in commands:
                with open(folder / "daemons.log", "ab") as log:
                    started.append(subprocess.Popen(command, stdout=log, stderr=log))
                time.sleep(1)
            idle = ["sinfo", "--noheader", "--format", "%T"]
            wait_until(lambda: b"idle" in subprocess.run(idle, capture_output=True).stdout, 60)
            yield
        finally:
            subprocess.run(["scancel", "--user", getpass.getuser()], capture_output=True)
            for process in reversed(started):
                process.terminate()
                process.wait(timeout=60)


def on_slurm(folder: Path, *targets: str) -> list[str]:
    """The command of the workflow with the profile of Slurm, on its CPUs."""
    return [*workflow(folder, *targets, on="slurm", device="cpu"), "--jobs", "4"]


def jobs() -> list[str]:
    """State and comment, which has the rule, of each job."""
    return subprocess.run(QUEUE, capture_output=True, text=True, check=True).stdout.splitlines()


def processes(folder: Path) -> list[str]:
    """The commands of all processes that name a folder."""
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def holders(folder: Path) -> list[int]:
    """The processes that train."""
    return [int(lock.read_text().split()[0]) for lock in folder.glob("runs/*/training.lock")]


def test_a_killed_job_is_submitted_again_and_the_book_is_built(slurm, trained, tmp_path):
    folder = Path(os.environ.get("LOUPE_TEST_BOOK", tmp_path))
    with running(on_slurm(folder), cwd=ROOT) as process:
        wait_until(lambda: holders(folder), 120)
        os.kill(holders(folder)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=1800)
    assert process.returncode == 0, said
    assert "Trying to restart job" in said and "SLURM status is: 'FAILED'" in said
    assert_complete(folder, trained)
    assert (folder / "book/_build/html/index.html").exists()


SWEEP = ["-m", "loupe_companion", "sweep", "--profile", "smoke", "--out", COLLECTED]
SWEEP += ["--cluster", "slurm", "--device", "cpu"]


def test_after_all_jobs_are_cancelled_a_sweep_completes(slurm, trained, tmp_path):
    with running(on_slurm(tmp_path, COLLECTED), cwd=ROOT) as process:
        wait_until(lambda: holders(tmp_path), 120)
        process.kill()
    subprocess.run(["scancel", "--user", getpass.getuser()], check=True)
    wait_until(lambda: not jobs(), 60)
    wait_until(lambda: not processes(tmp_path), 30)
    assert not holders(tmp_path)
    assert not (tmp_path / COLLECTED).exists()
    done = subprocess.run(
        [sys.executable, *SWEEP], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("runs to train: 2, at most 6 epochs in all, on slurm\n")
    assert_complete(tmp_path, trained)


HOLD = f"""
import contextlib, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from loupe_companion.locks import try_lock
with contextlib.ExitStack() as locks:
    assert try_lock(locks, Path(sys.argv[1]))
    time.sleep(600)
"""


@pytest.mark.parametrize("end", ["scancel", "scontrol requeue"])
def test_a_lock_of_another_host_is_free_when_its_job_has_ended(end, slurm, tmp_path):
    lock, note = tmp_path / "lock", tmp_path / "lock.job"
    script = tmp_path / "job"
    script.write_text(f"#!{sys.executable}\n{HOLD}")
    submitted = subprocess.run(
        ["sbatch", "--parsable", "--output", "/dev/null", script, lock],
        capture_output=True,
        text=True,
        check=True,
    )
    job = submitted.stdout.strip()
    wait_until(note.exists, 60)
    for file in (lock, note):  # the holder of a lock removes none but its own
        text = file.read_text().replace(socket.gethostname(), "elsewhere")
        file.unlink()
        file.write_text(text)
    with contextlib.ExitStack() as locks:
        assert not try_lock(locks, lock)
        assert f"of elsewhere, Slurm job {job} (" in holder(lock)
        subprocess.run([*end.split(), job], check=True)
        wait_until(lambda: not any(state.startswith(("R", "C")) for state in jobs()), 60)
        assert try_lock(locks, lock)
    assert not lock.exists() and not note.exists()
    subprocess.run(["scancel", job], check=True)


EPOCHS = 800  # some minutes


@pytest.mark.skipif(os.environ.get("LOUPE_TEST_SLURM") != "all", reason="takes some minutes")
def test_a_job_at_its_time_limit_is_submitted_again_and_continues(slurm, tmp_path):
    pack = Pack((smoke(settle_epochs=EPOCHS, stop_patience=EPOCHS),))
    pack.write(tmp_path / "runs")
    target = str(marker(pack.file(Path("runs"))))
    command = [*on_slurm(tmp_path, target), "--set-resources", "train:runtime=1", "--retries", "9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert "SLURM status is: 'TIMEOUT'" in done.stderr
    (result,) = read_results(result_file(tmp_path / "runs", pack.configs[0]))
    assert len(result.history["loss"]) == EPOCHS + smoke().shrink_epochs
    # Slurm ends a job within half a minute after its limit: one job alone could not do this.
    assert result.provenance["training_seconds"] > 120
