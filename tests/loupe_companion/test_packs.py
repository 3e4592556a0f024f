"""Packs: planned from configurations alone, trained by a job each."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from loupe_companion.locks import holder, try_lock
from loupe_companion.packs import Pack, plan_packs, train_pack
from loupe_companion.profiles import find_profile
from loupe_companion.results import read_results
from loupe_companion.run_summary import summarize_run
from loupe_companion.store import CHECKPOINT, result_file, unfinished
from loupe_lib import InputError
from loupe_lib.training.model import mask_kind
from tests.common import alive, files_in, fixed, smoke, wait_until
from tests.loupe_companion.test_sweep import assert_same

CPU = torch.device("cpu")


def test_a_pack_on_a_gpu_holds_masks_of_one_kind_that_watch_one_loss():
    configs = find_profile("claims").configs()
    packs = [pack.configs for pack in plan_packs(configs, "cuda")]
    assert sorted(c.name for pack in packs for c in pack) == sorted(c.name for c in configs)
    for pack in packs:
        assert len({(mask_kind(c), c.schedule == "released") for c in pack}) == 1
        assert len(pack) <= 42
    kinds = {(mask_kind(pack[0]), pack[0].schedule == "released") for pack in packs}
    assert kinds == {
        ("sigmoid", False),
        ("sigmoid", True),
        ("sigmoid lines", False),
        ("trained_slope", False),
        ("other", False),
        ("fixed", False),
    }


def test_a_pack_on_a_cpu_is_a_run():
    configs = find_profile("reference").configs()
    packs = plan_packs(configs, "cpu")
    assert sorted(pack.configs[0].name for pack in packs) == sorted(c.name for c in configs)
    assert {len(pack.configs) for pack in packs} == {1}
    assert [len(pack.configs) for pack in plan_packs(configs, "cuda")] == [42, 12]


def test_the_file_of_a_pack_has_its_runs(tmp_path):
    pack = Pack((smoke(), fixed()))
    pack.write(tmp_path)
    assert pack.file(tmp_path) == tmp_path / "packs" / f"{pack.name}.json"
    assert Pack.read(pack.file(tmp_path)) == pack
    assert Pack((fixed(), smoke())).name != pack.name != Pack((smoke(),)).name
    before = files_in(tmp_path)
    pack.write(tmp_path)
    assert files_in(tmp_path) == before
    pack.file(tmp_path).write_text('[{"size": 3}]')
    with pytest.raises(InputError, match=f"{pack.name}.json is not a valid file of a pack: "):
        Pack.read(pack.file(tmp_path))


def test_a_run_whose_folder_cannot_be_written_costs_the_others_nothing(trained, tmp_path):
    good, bad = trained.profile.configs()[0], smoke(seed=7)
    result_file(tmp_path, bad).parent.write_text("a file, not a folder")
    said = rf"^run {bad.name} \(R=4 4S seed 7\) failed: cannot write"
    with pytest.raises(InputError, match=said):
        train_pack(Pack((bad, good)), tmp_path, None, CPU, progress=False)
    assert_same(read_results(result_file(tmp_path, good))[0], trained.results[0])
    with pytest.raises(InputError, match=bad.name):
        train_pack(Pack((bad,)), tmp_path, None, CPU, progress=False)


def test_a_run_that_cannot_be_evaluated_costs_the_others_nothing(trained, tmp_path, monkeypatch):
    good, bad = trained.profile.configs()[0], smoke(seed=7)

    def fail(run, *others):
        if run.config == bad:
            raise MemoryError("no memory left")
        return summarize_run(run, *others)

    monkeypatch.setattr("loupe_companion.packs.summarize_run", fail)
    with pytest.raises(InputError, match=rf"^run {bad.name} .* failed: no memory left$"):
        train_pack(Pack((bad, good)), tmp_path, None, CPU, progress=False)
    assert unfinished((bad, good), tmp_path) == [bad]
    assert_same(read_results(result_file(tmp_path, good))[0], trained.results[0])


def test_a_run_that_fails_costs_the_others_nothing(trained, tmp_path):
    good, bad = trained.profile.configs()[0], smoke(seed=7)
    checkpoint = result_file(tmp_path, bad).with_name(CHECKPOINT)
    checkpoint.parent.mkdir()
    checkpoint.write_text("damaged")
    pack = Pack((bad, good))
    said = rf"^run {bad.name} \(R=4 4S seed 7\) failed: {checkpoint} is not a valid .*"
    with pytest.raises(InputError, match=said):
        train_pack(pack, tmp_path, None, CPU, progress=False)
    assert unfinished(pack.configs, tmp_path) == [bad]
    assert_same(read_results(result_file(tmp_path, good))[0], trained.results[0])
    checkpoint.unlink()
    train_pack(pack, tmp_path, None, CPU, progress=False)
    assert unfinished(pack.configs, tmp_path) == []


def test_a_pack_that_another_process_trains_is_left_to_it(tmp_path):
    pack = Pack((smoke(),))
    lock = result_file(tmp_path, smoke()).with_name("training.lock")
    said = rf"^run {smoke().name} \(R=4 4S seed 0\) is held by process {os.getpid()} of [^;]*$"
    with contextlib.ExitStack() as locks:
        assert try_lock(locks, lock)
        with pytest.raises(InputError, match=said):
            train_pack(pack, tmp_path, None, CPU, progress=False, patience=0.2)
    assert files_in(tmp_path) == {}


PARENT = """
import subprocess, sys, os, time
command = [sys.executable, "-m", "loupe_companion", "--parent", str(os.getpid())]
job = subprocess.Popen([*command, *sys.argv[1:]])
print(job.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def endless(tmp_path):
    """The command of a job that trains for hours, and the lock of its run."""
    pack = Pack((smoke(settle_epochs=10**6, stop_patience=10**6),))
    pack.write(tmp_path)
    command = [sys.executable, "-m", "loupe_companion", "train-pack", pack.file(tmp_path)]
    return command, result_file(tmp_path, pack.configs[0]).with_name("training.lock")


def assert_can_go_on(lock):
    """Whether there is neither a lock nor a marker; the checkpoint depends on the moment."""
    assert {path.name for path in lock.parent.iterdir()} <= {"config.json", CHECKPOINT}
    assert not list(lock.parents[1].glob("packs/*.done"))


def test_a_job_ends_with_its_workflow(endless):
    command, lock = endless
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *command[3:]], stdout=subprocess.PIPE, text=True
    ) as parent:
        number = int(parent.stdout.readline())
        wait_until(lock.exists, 300)
        parent.send_signal(signal.SIGKILL)
    for _ in range(200):
        if not alive(number):
            break
        time.sleep(0.1)
    else:
        os.kill(number, signal.SIGKILL)
        pytest.fail("the job outlived its parent by 20 s")
    assert_can_go_on(lock)


def test_a_job_at_its_time_limit_leaves_no_lock(endless):
    command, lock = endless
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lock.exists, 300)
        process.terminate()
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "stopped; repeat the command to continue" in said
    assert_can_go_on(lock)


def test_the_holder_of_a_lock_is_named(tmp_path):
    lock = tmp_path / "training.lock"
    lock.write_text("123\nnode-7?pidns-4026531836\n99\n")
    assert holder(lock) == f"held by process 123 of node-7 (if that has died: rm {lock})"
    note = tmp_path / "training.lock.job"
    note.write_text(f"7\n{lock.read_text()}")
    assert holder(lock).startswith("held by process 123 of node-7, Slurm job 7 (if that has died: ")
    lock.write_text("")
    assert holder(lock) == f"held by another process ({lock})"


def test_a_lock_stays_if_slurm_does_not_answer(tmp_path, monkeypatch):
    (tmp_path / "slurm.conf").touch()
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    lock, note = tmp_path / "training.lock", tmp_path / "training.lock.job"
    lock.write_text("123\nnode-7\n99\n")
    note.write_text(f"7\n{lock.read_text()}")
    with contextlib.ExitStack() as locks:
        assert not try_lock(locks, lock)
