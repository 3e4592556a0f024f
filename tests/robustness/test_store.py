"""The run store: a full disk, concurrency, killed lock holders, and 10,000 runs."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from loupe_companion.results import collected_names, read_results, write_results
from loupe_companion.store import CONFIG, result_file
from loupe_companion.sweep import run_sweep
from tests.common import smoke
from tests.conftest import ROOT, Record
from tests.loupe_companion.test_sweep import assert_same

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def python(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def own_mounts() -> tuple[str, ...]:
    """How to start a process that may mount a disk of its own, without being an administrator."""
    prefix = ("unshare", "--map-root-user", "--mount")
    if (
        shutil.which("unshare")
        and not subprocess.run(
            [*prefix, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        ).returncode
    ):
        return prefix
    pytest.skip("this system lets nobody mount a small disk of their own")


def test_full_disk(trained, tmp_path, record: Record):
    """A disk that is full, or read-only: a clear error, and what was there stays."""
    prefix = own_mounts()
    write_results(trained.results[:2], tmp_path / "some.h5")
    (tmp_path / "disk").mkdir()
    process = python(
        "-m",
        "tests.robustness.full_disk",
        tmp_path / "disk",
        tmp_path / "some.h5",
        record.tries(100, 4),
        prefix=prefix,
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Read-only file system" in err and "Traceback" not in err
    counts = json.loads(out.splitlines()[-1])
    assert counts == {"disk full": 4 * record.tries(100, 4), "disk read-only": 5}
    record.counts.update(counts)


def test_full_disk_without_mounts(trained, tmp_path, record: Record):
    """A file that the system lets grow no further: a clear error, and what was there stays."""
    path = tmp_path / "all.h5"
    write_results(trained.results[:1], path)
    before = path.read_bytes()
    script = """
import resource, signal, sys
from pathlib import Path
from loupe_lib import InputError
from loupe_companion.results import read_results, write_results
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, tries = Path(sys.argv[1]), int(sys.argv[2])
size = path.stat().st_size
results = read_results(path)
for number in range(tries):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * number // tries, resource.RLIM_INFINITY))
    try:
        write_results(results, path)
    except InputError as error:
        print(error)
"""
    tries = record.tries(200, 20)
    process = python("-c", script, path, tries)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.splitlines() == [f"cannot write {path}: File too large"] * tries
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    record.counts["file too large"] = tries


COUNTED = """
import sys
import loupe_companion.packs as module
import loupe_companion.workflow
from loupe_companion import cli
train, folder = module.train, sys.argv[1]
def counted(runs, *rest):
    with open(folder + "/trained", "a") as log:
        log.writelines(run.config.name + "\\n" for run in runs)
    train(runs, *rest)
module.train = counted
loupe_companion.workflow.has_workflow = lambda: False
sys.argv = f"loupe_lib sweep --profile smoke --device cpu --runs {folder}/runs".split()
sys.argv += ["--out", f"{folder}/all.h5"]
cli.main()
"""


def test_concurrency(trained, tmp_path, record: Record):
    """Three processes start the same sweep at once: each run is trained once."""
    for number in range(record.tries(3, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        processes = [python("-c", COUNTED, folder) for _ in range(3)]
        errors = [process.communicate(timeout=300)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], errors
        log = (folder / "trained").read_text().split()
        assert len(log) == len(set(log)) == 2 and set(log) == collected_names(folder / "all.h5")
        known = {result.config: result for result in trained.results}
        for result in read_results(folder / "all.h5"):
            assert_same(result, known[result.config])
        record.count("three processes, each run trained once")


def test_dead_holder(trained, tmp_path, record: Record):
    """The process that holds a run's lock is killed: the waiting process trains the run."""
    config = trained.profile.configs()[0]
    for number in range(record.tries(10, 2)):
        runs = tmp_path / str(number)
        folder = result_file(runs, config).parent
        folder.mkdir(parents=True)
        hold = (
            "import sys, time; from filelock import SoftFileLock; "
            "lock = SoftFileLock(sys.argv[1]); lock.acquire(); "
            "print('held', flush=True); time.sleep(600)"
        )
        holder = python("-c", hold, folder / "training.lock")
        assert holder.stdout.readline() == "held\n"
        found = []
        waiting = threading.Thread(
            target=lambda runs=runs, found=found: found.extend(
                run_sweep([config], runs, device="cpu", progress=False)
            )
        )
        waiting.start()
        waiting.join(timeout=2)  # training takes less
        waits = waiting.is_alive()
        holder.kill()
        holder.communicate()
        assert waits and not found
        assert holder.returncode == -signal.SIGKILL
        waiting.join(timeout=300)
        assert_same(found[0], trained.results[0])
        record.count("holder killed, lock free")


MEASURED = """
import json, sys, time
from pathlib import Path
from loupe_companion.store import stored_runs
from loupe_companion.sweep import collect
runs, out, many = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
began = time.process_time()
listed = stored_runs(runs)
assert len(listed) == many and all(finished for _, finished in listed)
listing = time.process_time() - began
began, wall = time.process_time(), time.perf_counter()
collect([config for config, _ in listed], runs, out)
collecting, wall = time.process_time() - began, time.perf_counter() - wall
# Not getrusage, which counts the memory of the process that this one was forked from.
peak = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
print(json.dumps([listing, collecting, wall, int(peak.split()[1]) / 1024]))
"""


def test_many_runs(trained, tmp_path, record: Record, monkeypatch):
    """10,000 runs in one store: listing and collecting take under 10 s of CPU and 1 GB."""
    many = record.tries(10_000, 200)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # of a file each, to make the store sooner
        for seed in range(many):
            config = smoke(seed=seed)
            path = result_file(tmp_path / "runs", config)
            write_results([dataclasses.replace(trained.results[0], config=config)], path)
            path.with_name(CONFIG).write_text(config.to_json())
    process = python("-c", MEASURED, tmp_path / "runs", tmp_path / "all.h5", many)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    listing, collecting, wall, megabytes = json.loads(out)
    assert len(collected_names(tmp_path / "all.h5")) == many
    assert listing < 10 and collecting < 10 and megabytes < 1024
    record.counts.update(
        {
            "runs": many,
            "seconds of CPU to list": round(listing, 1),
            "seconds of CPU to collect": round(collecting, 1),
            "seconds in all to collect": round(wall, 1),
            "MB at most": round(megabytes),
        }
    )
    shutil.rmtree(tmp_path / "runs")
