"""Snapshots of a training: when they are kept, what they hold, and that they change nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from loupe_companion.packs import Pack, train_pack
from loupe_companion.results import collect_results, read_results
from loupe_companion.run_summary import shown_slices
from loupe_companion.snapshots import Recorder, encode, grey_levels, spaced_epochs
from loupe_companion.store import SNAPSHOTS, result_file
from loupe_companion.sweep import run_sweep
from loupe_lib import InputError, binarize
from loupe_lib.training.loop import train
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import cut, smoke
from tests.loupe_companion.test_sweep import assert_same
from tests.loupe_lib.training.test_loop import pressing

CPU = torch.device("cpu")
RISING = smoke(  # another slope in each epoch
    **{"schedule": "exponential", "slope": 1.0, "max_slope": 1000.0, "shrink_epochs": 60},
    **{"stop_patience": 100, "train": 8, "validation": 2},
)


@pytest.fixture(scope="module")
def snapped(trained, tmp_path_factory):
    """The results of the smoke profile's runs at R = 4 and seed 0, with snapshots; their store."""
    runs = tmp_path_factory.mktemp("snapped")
    configs = [c for c in trained.profile.configs() if (c.acceleration, c.seed) == (4, 0)]
    for config in configs:
        train_pack(Pack((config,)), runs, None, CPU, progress=False, snapshots=True)
    return [read_results(result_file(runs, config))[0] for config in configs], runs


def recorded(config, images, folder, trainer=PlainTrainer):
    run, image = Run(config, CPU), images.test.images[shown_slices(images.test)[:1]]
    recorder = Recorder(folder, image)
    checkpoint = folder / f"{config.name}.safetensors"
    run.resume(checkpoint)
    train([run], images, [checkpoint], trainer, progress=False, on_epoch=recorder)
    return recorder.of(run)


def test_snapshots_change_no_result(trained, snapped):
    alone = {result.config: result for result in trained.results}
    for result in snapped[0]:
        assert len(result.snapshots["epoch"])
        assert_same(dataclasses.replace(result, snapshots={}), alone[result.config])


def test_the_snapshot_of_the_kept_epoch_shows_the_kept_weights(snapped):
    for result in snapped[0]:
        kept = result.snapshots
        assert kept["epoch"].tolist() == [1, 2, 3]  # of so short a training all
        k = int(result.history["loss"].argmin())
        assert np.array_equal(kept["probabilities"][k], encode(result.probabilities))
        picture = grey_levels(result.reconstructions[0]).astype(int)  # this one had 16 bits
        assert np.abs(kept["reconstruction"][k] - picture).max() <= 1
        error = np.mean((result.reconstructions[0] - result.truth[0]) ** 2)
        assert kept["psnr"][k] == pytest.approx(-10 * np.log10(error), abs=0.02)
        assert len(np.unique(kept["probabilities"], axis=0)) == 3


def test_a_finished_run_has_its_snapshots_in_the_result_alone(snapped, tmp_path):
    results, runs = snapped
    assert not list(runs.rglob(SNAPSHOTS))
    files = [result_file(runs, result.config) for result in results]
    collect_results(files, tmp_path / "all.h5")
    collect_results(files, tmp_path / "small.h5", pictures=False)
    whole = {result.config: result for result in read_results(tmp_path / "all.h5")}
    for result in results:
        assert_same(whole[result.config], result)
    assert all(result.snapshots == {} for result in read_results(tmp_path / "small.h5"))


def test_a_run_that_was_stopped_keeps_the_snapshots_before(images, tmp_path):
    whole = recorded(RISING, images, tmp_path / "whole")
    for epoch in (1, 7, 30):
        with pytest.raises(KeyboardInterrupt):
            recorded(RISING, images, tmp_path / "parts", pressing(epoch))
    np.testing.assert_equal(recorded(RISING, images, tmp_path / "parts"), whole)


def test_snapshots_later_than_the_checkpoint_are_made_again(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):  # at once: there is no checkpoint yet
        recorded(RISING, images, tmp_path / "parts", pressing(9, presses=2))
    assert list((tmp_path / "parts").rglob(SNAPSHOTS))
    assert not list((tmp_path / "parts").rglob("*.safetensors"))
    parts = recorded(RISING, images, tmp_path / "parts")
    np.testing.assert_equal(parts, recorded(RISING, images, tmp_path / "whole"))


def test_there_are_at_most_40_and_the_first_of_each_slope_while_they_last(images, tmp_path):
    epochs = recorded(RISING, images, tmp_path)["epoch"].tolist()
    spaced = spaced_epochs(61)
    assert epochs == sorted(set(epochs)) and spaced < set(epochs) <= set(range(1, 62))
    others = [epoch for epoch in range(1, 62) if epoch not in spaced]
    assert sorted(set(epochs) - spaced) == others[:22]
    assert len(epochs) <= 40


@pytest.mark.parametrize("epochs", [1, 2, 50, 260, 4000])
def test_spaced_epochs_are_few_and_have_the_first_and_the_last(epochs):
    spaced = spaced_epochs(epochs)
    assert {1, epochs} <= spaced <= set(range(1, epochs + 1)) and len(spaced) <= 18


def test_damaged_snapshots_fail_their_run_in_words(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        recorded(RISING, images, tmp_path, pressing(9))
    (file,) = tmp_path.rglob(SNAPSHOTS)
    cut(file, 0.5)
    with pytest.raises(InputError, match=str(file)):
        recorded(RISING, images, tmp_path)


def test_codes_keep_the_thresholded_mask_and_are_near():
    near = np.float32(0.5) + np.arange(-50, 51) * np.float32(2**-24)
    p = np.concatenate([near, np.random.default_rng(0).random(10_000), [0, 1]]).astype(np.float32)
    codes = encode(p)
    assert np.array_equal(codes >= 2**15, binarize(torch.from_numpy(p)).numpy() == 1)
    assert np.abs(codes / 65535 - p).max() <= 0.5001 / 65535
    assert (codes[-2], codes[-1]) == (0, 65535)


def test_a_sweep_keeps_none_unless_asked(trained, tmp_path):
    assert all(result.snapshots == {} for result in trained.results)
    (result,) = run_sweep([smoke()], tmp_path, device="cpu", progress=False, snapshots=True)
    assert len(result.snapshots["epoch"]) == 3
