"""The run store: each run is trained once, with the same result however often it is stopped."""

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import SoftFileLock

from loupe_companion.profiles import find_profile
from loupe_companion.results import RunResult, collected_names, write_results
from loupe_companion.store import result_file
from loupe_companion.sweep import collect_finished, results_of, run_sweep
from loupe_lib import InputError
from loupe_lib.training.checkpoint import read_weights
from tests.common import ROOT, files_in, smoke


def measured(result: RunResult) -> dict[str, object]:
    """All that a run found, exactly, but for the time it took, and for snapshots on demand."""
    values = {f.name: getattr(result, f.name) for f in dataclasses.fields(RunResult)}
    del values["provenance"], values["snapshots"]
    values["history"] = {k: v for k, v in result.history.items() if k != "seconds"}
    return values


def assert_same(left: RunResult, right: RunResult) -> None:
    np.testing.assert_equal(measured(left), measured(right))


def test_the_store_holds_a_folder_for_each_run(trained):
    folders = {path.name for path in trained.runs.iterdir() if path.is_dir()}
    assert folders == {config.name for config in trained.profile.configs()}
    for config, result in zip(trained.profile.configs(), trained.results, strict=True):
        folder = result_file(trained.runs, config).parent
        assert {path.name for path in folder.iterdir()} == {
            "config.json",
            "result.h5",
            "weights.safetensors",
        }
        assert (folder / "config.json").read_text() == config.to_json()
        assert result.config == config
        model, read = read_weights(folder / "weights.safetensors")
        assert read == config and model.mask.slope == result.slope
        p = model.mask.probabilities().detach().numpy()
        assert np.array_equal(p, result.probabilities)


def test_a_result_describes_its_run(trained):
    for result in trained.results:
        assert len(result.history["loss"]) == 3
        assert result.provenance["training_seconds"] == sum(result.history["seconds"])
        assert result.provenance["learner"] == "PlainTrainer"
        kept = result.history["loss"].argmin()
        assert result.slope == result.history["slope"][kept]
        # The middle of the only test volume.
        assert result.shown.tolist() == [7] and result.truth.shape == (1, 32, 32)
        error = result.zero_filled.astype(float) - result.truth
        psnr = -10 * np.log10((error**2).mean())
        assert psnr == pytest.approx(
            result.metrics["threshold"]["zero_filled_psnr"][7].item(), abs=0.1
        )
        assert set(result.metrics) == {"threshold", "topk", "relaxed"}
        off = result.achieved_acceleration() / result.config.acceleration
        assert bool(result.warnings) == (not 0.5 <= off <= 2)


def test_a_run_that_another_process_trains_is_waited_for(trained, tmp_path, capsys):
    config = trained.profile.configs()[0]
    folder = result_file(tmp_path, config).parent
    folder.mkdir()
    found = []
    waiting = threading.Thread(
        target=lambda: found.extend(run_sweep([config], tmp_path, device="cpu", progress=False))
    )
    said = ""
    with SoftFileLock(folder / "training.lock"):
        waiting.start()
        while waiting.is_alive() and not said.endswith("\n"):
            time.sleep(0.01)
            said += capsys.readouterr().err
        assert waiting.is_alive() and not found
        shutil.copy(result_file(trained.runs, config), folder)
    waiting.join(timeout=300)
    assert_same(found[0], trained.results[0])
    assert not (folder / "weights.safetensors").exists()
    assert said == (
        f"waiting for run {config.name} (R=4 s=200 seed 0), held by process {os.getpid()} of "
        f"{socket.gethostname()} (if that has died: rm {folder / 'training.lock'})\n"
    )


COLLECT = """
import sys
from pathlib import Path
from loupe_companion.results import read_results
from loupe_companion.sweep import collect
store, out = map(Path, sys.argv[1:])
collect([read_results(file)[0].config for file in store.glob("*/result.h5")], store, out)
"""


@pytest.mark.slow
def test_two_stores_collect_into_one_file_at_once(trained, tmp_path):
    out, lock = tmp_path / "all.h5", tmp_path / ".all.h5.writing.lock"
    names = [result.config.name for result in trained.results[:2]]
    processes = []
    with SoftFileLock(lock):
        for name in names:
            shutil.copytree(trained.runs / name, tmp_path / f"store-{name}" / name)
            command = [sys.executable, "-c", COLLECT, tmp_path / f"store-{name}", out]
            processes.append(subprocess.Popen(command, text=True, cwd=ROOT, stderr=subprocess.PIPE))
        me = f"process {os.getpid()} of {socket.gethostname()}"
        waiting = f"waiting for {out}, held by {me} (if that has died: rm {lock})\n"
        assert [process.stderr.readline() for process in processes] == [waiting, waiting]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert collected_names(out) == set(names)


def test_collecting_trains_nothing(trained, tmp_path):
    kept, missing = trained.profile.configs()[0], smoke(seed=9)
    file = tmp_path / "all.h5"
    said = rf"without a result in .*: 1, the first is {missing.name} \(R=4 4S seed 9\)$"
    before = files_in(trained.runs)
    with pytest.raises(InputError, match=said):
        collect_finished([kept, missing], trained.runs, file)
    assert not file.exists()
    collect_finished([kept], trained.runs, file)
    assert collected_names(file) == {kept.name} and files_in(trained.runs) == before


def test_nan_and_a_collapsed_mask_are_recorded(tmp_path):
    (result,) = run_sweep([smoke(learning_rate=1e30)], tmp_path, progress=False)
    assert len(result.warnings) == 2
    assert "training loss" in result.warnings[0] and "epoch 1" in result.warnings[0]
    assert result.warnings[1] == "collapsed mask: thresholding gives R=inf, not 4"


@pytest.mark.parametrize("collected", [12, 5], ids=["all", "five, the others are in the store"])
def test_results_are_taken_from_the_collected_file(collected, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_results(trained.results[::-1][-collected:], Path("results/smoke.h5"))
    before = files_in(trained.runs)
    found = results_of(trained.profile, trained.runs if collected < 12 else Path("runs"))
    for left, right in zip(found, trained.results, strict=True):
        assert_same(left, right)
    assert files_in(trained.runs) == before and not Path("runs").exists()


def test_a_sweep_of_other_methods_in_one_store(tmp_path):
    names = ["straight-through", "4S released", "spectrum lines", "trained-slope"]
    chosen = find_profile("claims-smoke", methods=names, width=2)
    results = run_sweep(chosen.configs(), tmp_path, progress=False)
    for config, result in zip(chosen.configs(), results, strict=True):
        assert result.config == config and len(result.history["loss"]) == 3
        assert ("soft_loss" in result.history) is (config.schedule == "released")
        model, _ = read_weights(result_file(tmp_path, config).parent / "weights.safetensors")
        assert np.array_equal(model.mask.probabilities().detach(), result.probabilities)
        assert result.achieved_acceleration("topk") == 4
    assert {r.achieved_acceleration() for r in results if r.config.mask == "spectrum"} == {4}
