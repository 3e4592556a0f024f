"""The workflow is killed: the next call completes it, and no job outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loupe_companion.results import read_results
from loupe_companion.store import CHECKPOINT, result_file
from tests.common import (
    alive,
    files_in,
    free_locks,
    run_workflow,
    small_stage,
    smoke,
    wait_until,
    workflow,
)
from tests.conftest import Record
from tests.loupe_companion.test_sweep import assert_same

pytest.importorskip("snakemake", reason="Snakemake is not installed")
pytestmark = pytest.mark.slow

COLLECTED = "book/_build/own/results/smoke.h5"
NOTEBOOK = "book/_build/executed/claims.kept.ipynb"


def descendants(process: int) -> list[int]:
    """The numbers of the processes that a process has started, and of those that they have."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    children = [int(pid) for pid, parent, stat in rows if int(parent) == process and stat[0] != "Z"]
    return [*children, *(number for child in children for number in descendants(child))]


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process that does not outlive its test."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def kill(numbers: list[int]) -> None:
    for number in numbers:
        os.kill(number, signal.SIGKILL)


def assert_complete(folder: Path, trained) -> None:
    """Whether the results are those of undisturbed trainings."""
    known = {result.config: result for result in trained.results}
    found = read_results(folder / COLLECTED)
    assert len(found) == 2
    for result in found:
        assert_same(result, known[result.config])
    free_locks(folder)
    left = [name for name in files_in(folder / "runs") if "lock" in name or "checkpoint" in name]
    assert not left


@pytest.mark.parametrize("victim", ["workflow", "job", "all"])
def test_killed_workflow(victim, trained, tmp_path, record: Record):
    """`kill -9` of the workflow, of a job, of all: the next call completes it."""
    if victim != "workflow" and not record.full:
        pytest.skip("needs --robustness; the jobs of a killed workflow end too")
    for number in range(record.tries(5, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with running(workflow(folder, COLLECTED)) as process:
            wait_until(lambda folder=folder: list(folder.glob("runs/*/training.lock")), 120)
            jobs = descendants(process.pid)
            assert jobs
            kill({"workflow": [process.pid], "job": jobs[:1], "all": [process.pid, *jobs]}[victim])
            process.communicate(timeout=120)
        assert process.returncode == (1 if victim == "job" else -signal.SIGKILL)
        wait_until(lambda jobs=jobs: not any(map(alive, jobs)), 10)
        assert not (folder / COLLECTED).exists()
        again = run_workflow(folder, COLLECTED)
        assert again.returncode == 0, again.stderr
        assert_complete(folder, trained)
        record.count(f"{victim} killed, completed")


def test_killed_sweep(tmp_path, record: Record):
    """A sweep is killed: its workflow and the trainings end."""
    command = [sys.executable, "-m", "loupe_companion", "sweep", "--profile", "smoke"]
    with running([*command, "--device", "cpu"], cwd=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("runs/*/training.lock")), 120)
        started = descendants(process.pid)
        assert len(started) >= 2
        kill([process.pid])
    wait_until(lambda: not any(map(alive, started)), 60)
    assert not list(tmp_path.glob("runs/*/training.lock"))
    record.count("sweep killed, workflow and trainings ended")


def test_killed_notebook(tmp_path, record: Record):
    """The workflow is killed while a notebook runs: notebook and kernel end."""
    with running(workflow(tmp_path, NOTEBOOK)) as process:
        wait_until(lambda: len(descendants(process.pid)) >= 2, 120)
        jobs = descendants(process.pid)
        kill([process.pid])
    wait_until(lambda: not any(map(alive, jobs)), 10)
    assert not (tmp_path / NOTEBOOK).exists()
    record.count("workflow killed, notebook and kernel ended")


def test_killed_book(tmp_path, record: Record):
    """The job that builds the book is killed: Sphinx ends, and the next call builds the book."""
    # A page that takes Sphinx half a minute: it does not end in time by itself.
    text = "# Page\n\n" + "- item\n" * 40_000
    stage = small_stage(tmp_path / "book/_build", "book/page.md", text)
    with running(workflow(tmp_path, "--allowed-rules", "book")) as process:
        # Before Sphinx reads pages it prints, and would end because nobody reads that.
        wait_until((tmp_path / "book/_build/sphinx/_build/.doctrees").exists, 120)
        job, *others = descendants(process.pid)
        kill([job])
        assert process.wait(120) == 1
    wait_until(lambda: not any(map(alive, others)), 10)
    assert not (tmp_path / "book/_build/html/index.html").exists()
    (stage / "book/page.md").write_text("# Page\n")
    done = run_workflow(tmp_path, "--allowed-rules", "book")
    assert done.returncode == 0 and (tmp_path / "book/_build/html/index.html").exists()
    record.count("book killed, Sphinx ended, completed")


def test_second_workflow(tmp_path, trained, record: Record):
    """A second workflow in the same store stops, and the first completes."""
    with running(workflow(tmp_path, COLLECTED)) as first:
        lock = tmp_path / "runs/packs/workflow.lock"
        wait_until(lock.exists, 120)
        second = run_workflow(tmp_path, COLLECTED)
        assert second.returncode == 1
        said = f"the runs in runs are used by another workflow, held by process {first.pid} of "
        assert said in second.stderr
        assert first.communicate(timeout=300) and first.returncode == 0
    assert_complete(tmp_path, trained)
    record.count("second workflow stopped")


def test_lock_cut_short(tmp_path, record: Record):
    """A process is killed while it writes the lock of the workflow: the lock is removed."""
    lock = tmp_path / "runs/packs/workflow.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    done = run_workflow(tmp_path, "book/_build/beyond/0.json")
    assert done.returncode == 0 and not lock.exists(), done.stderr
    record.count("unfinished lock removed")


def test_failed_run(tmp_path, trained, record: Record):
    """A run fails: the others are finished, and it is trained when its fault is gone."""
    fault = result_file(tmp_path / "runs", smoke(slope=20.0)).with_name(CHECKPOINT)
    fault.parent.mkdir(parents=True)
    fault.write_text("damaged")
    done = run_workflow(tmp_path, COLLECTED)
    assert done.returncode == 1
    assert f"error: run {smoke(slope=20.0).name} (R=4 4S seed 0) failed: " in done.stderr
    assert len(list(tmp_path.glob("runs/*/result.h5"))) == 1
    fault.unlink()
    before = files_in(tmp_path / "runs")
    assert run_workflow(tmp_path, COLLECTED, "--forceall").returncode == 0
    after = files_in(tmp_path / "runs")
    kept = [name for name in before if "result.h5" in name or "weights" in name]
    assert len(kept) == 2 and all(after[name] == before[name] for name in kept)
    assert_complete(tmp_path, trained)
    record.count("a run failed, the other kept")


def test_report(tmp_path, record: Record):
    """A report shows the trainings whichever kind of device they were for."""
    assert run_workflow(tmp_path, COLLECTED).returncode == 0
    done = run_workflow(tmp_path, COLLECTED, "--report", "report.html", device="cuda")
    assert done.returncode == 0, done.stderr
    assert "train-pack" in (tmp_path / "report.html").read_text("utf-8")
    record.count("report with trainings")


def test_sweep(tmp_path, trained, record: Record):
    """A sweep trains its packs in a workflow: the results are those of one process."""
    command = [sys.executable, "-m", "loupe_companion", "sweep", "--profile", "smoke"]
    command += ["--device", "cpu", "--runs", tmp_path / "store", "--out", tmp_path / COLLECTED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 steps (100%) done" in done.stderr
    (tmp_path / "store").rename(tmp_path / "runs")
    assert_complete(tmp_path, trained)
    record.count("a sweep in a workflow")
