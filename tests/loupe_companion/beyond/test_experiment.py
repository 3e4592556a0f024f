"""Fixed slopes against 4S beyond MRI: data, training, and the results file."""

import contextlib
import io
import itertools
import sys

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from skimage import data
from torch.nn import functional

from loupe_companion import cli
from loupe_companion.beyond import experiment as beyond
from loupe_companion.beyond.experiment import SMOKE, fit, read_record, run
from loupe_companion.beyond.tables import accuracy_table
from loupe_companion.beyond.tasks import BANDS, SIDE, TASKS, TEXTURES, draw_digits, draw_textures
from loupe_lib.errors import InputError
from tests.common import ROOT

KEPT = ROOT / "results" / "beyond.json"
load_digits = pytest.importorskip("sklearn.datasets", reason="no scikit-learn").load_digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The record of a smoke run from the command line, its file, and what was printed."""
    out = tmp_path_factory.mktemp("beyond") / "new" / "beyond.json"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["loupe4s", "beyond", "--smoke", "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert not left.value.code
    return read_record(out), out, printed.getvalue()


def test_each_digit_is_in_one_split():
    splits = draw_digits(3)
    assert [len(split.x) for split in splits] == [1000, 297, 500]
    x = torch.cat([split.x for split in splits])
    assert x.shape == (1797, 64) and x.min() == 0 and x.max() == 1
    whole = load_digits()
    given = np.column_stack([16 * x, torch.cat([split.y for split in splits])])
    wanted = np.column_stack([whole.data, whole.target])
    np.testing.assert_array_equal(
        given[np.lexsort(given.T)].astype(int), wanted[np.lexsort(wanted.T)].astype(int)
    )


def test_no_two_splits_of_textures_share_a_pixel():
    assert all(above[1] <= below[0] for above, below in itertools.pairwise(BANDS))
    for split, (top, bottom) in zip(draw_textures(1), BANDS, strict=True):
        for name, label in zip(TEXTURES, range(3), strict=True):
            band = getattr(data, name)()[top:bottom].astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(band, (SIDE, SIDE))
            windows = windows.reshape(-1, SIDE * SIDE)
            patch = split.x[split.y == label][7].flatten().numpy()
            # A patch is a standardized window, so the correlation of the two is 1.
            scores = windows @ patch / (windows.std(axis=1, ddof=1).clip(1e-3) * SIDE * SIDE)
            assert scores.max() == pytest.approx(255 / 256, abs=1e-4)


def test_patches_of_textures_give_nothing_away_by_brightness_or_contrast():
    for split in draw_textures(0):
        assert split.y.bincount().unique().numel() == 1
        assert split.x.shape[1:] == (1, SIDE, SIDE)
        assert split.x.mean((1, 2, 3)).abs().max() < 1e-5
        torch.testing.assert_close(split.x.std((1, 2, 3)), torch.ones(len(split.x)))


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_draws_its_own_split_and_the_same_each_time(task):
    first, again, other = (TASKS[task].draw(seed) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
        assert not torch.equal(a.x, c.x)


@pytest.mark.parametrize("shrinks", [False, True])
def test_a_model_is_left_with_the_weights_of_the_lowest_loss(shrinks):
    torch.manual_seed(0)
    splits = draw_digits(0)
    model = TASKS["pixels"].build(2.0)
    plan = replace(SMOKE, epochs=6)
    epoch, loss = fit(model, splits.train, splits.validation, plan, shrinks)
    assert 1 <= epoch <= 6 and not model.training
    with torch.no_grad():
        again = functional.cross_entropy(model(splits.validation.x), splits.validation.y)
    assert float(again) == loss


def test_4s_raises_the_slope_and_a_fixed_one_stays(trained):
    record, *_ = trained
    assert all(found.kept_slope == found.slope for found in record.runs if not found.shrinks)
    shrunk = run("filters", 1.0, True, 0, replace(SMOKE, epochs=20))
    raises = np.log(shrunk.kept_slope) / np.log(1.5)
    assert raises == pytest.approx(round(raises), abs=1e-4) and raises >= 1


def test_ten_learned_pixels_tell_digits_apart():
    found = run("pixels", 16.0, False, 0, replace(SMOKE, epochs=25))
    assert sum(found.layer) == 10
    assert found.accuracy > 0.7  # by chance 0.1


def test_every_case_is_trained_once_for_each_seed(trained):
    record, *_ = trained
    assert len(record.runs) == 2 * 3 * 2
    for task in TASKS:
        for slope in (*SMOKE.slopes, None):
            found = [(o.task, o.slope, o.shrinks, o.seed) for o in record.of(task, slope)]
            case = task, slope or SMOKE.slopes[0], slope is None
            assert found == [(*case, 0), (*case, 1)]


def test_the_file_is_whole_and_what_was_printed_is_its_table(trained):
    record, out, printed = trained
    assert len(out.read_text("utf-8").splitlines()) == 1 + len(record.runs)
    assert printed.strip() == accuracy_table(record).to_string(index=False).strip()
    assert {path.name for path in out.parent.iterdir()} == {out.name}
    assert {"torch", "scikit-image", "scikit-learn"} <= set(record.packages)


def test_files_of_some_seeds_are_merged_into_that_of_all(trained, tmp_path):
    record, *_ = trained
    parts = [tmp_path / "0.json", tmp_path / "1.json"]
    for seed, part in enumerate(parts):
        beyond.run_experiment(part, smoke=True, seeds=[seed])
    merged = beyond.merge_records(parts[::-1], tmp_path / "all.json")
    assert read_record(tmp_path / "all.json") == merged and merged.plan == record.plan
    for left, right in zip(merged.runs, record.runs, strict=True):
        assert replace(left, seconds=0.0) == replace(right, seconds=0.0)
    with pytest.raises(InputError, match=r"0\.json has another plan than .*beyond\.json"):
        beyond.merge_records([KEPT, parts[0]], tmp_path / "mixed.json")
