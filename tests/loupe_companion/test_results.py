"""The file of results: what it keeps, and what it refuses."""

import dataclasses
import errno
import json
import os

import h5py
import numpy as np
import pytest

from loupe_companion.results import (
    PICTURES,
    RunResult,
    collect_results,
    collected_names,
    read_results,
    write_results,
)
from loupe_lib import InputError
from loupe_lib.data.storage import CHECKSUM_SIZE
from loupe_lib.training.config import RunConfig
from tests.common import assert_one_line, cut, edited
from tests.conftest import ROOT

pytest_plugins = ["tests.fixtures_runs"]


@pytest.fixture
def path(trained, tmp_path):
    path = tmp_path / "results.h5"
    write_results(trained.results[:3], path)
    return path


def refused(path) -> str:
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert str(path) in str(caught.value)
    assert_one_line(str(caught.value))
    return str(caught.value)


def assert_same(left: RunResult, right: RunResult) -> None:
    """Every field equal, to the bit; NaN is equal to NaN."""
    for field in dataclasses.fields(RunResult):
        one, other = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_equal(other, one, err_msg=field.name)


def test_results_come_back_as_they_were(trained, path):
    read = {result.config: result for result in read_results(path)}
    assert len(read) == 3
    for result in trained.results[:3]:
        assert_same(read[result.config], result)


def test_pictures_are_kept_to_16_bits_and_all_else_in_full(trained, tmp_path):
    rng = np.random.default_rng(0)
    old = trained.results[0]
    changed = {
        name: rng.random(getattr(old, name).shape).astype(getattr(old, name).dtype)
        for name in ("probabilities", "histogram", *PICTURES)
    }
    result = dataclasses.replace(old, **changed, slope=1 / 3, warnings=("a", "b|c"))
    write_results([result], tmp_path / "one.h5")
    (read,) = read_results(tmp_path / "one.h5")
    for name in PICTURES:
        assert np.abs(getattr(read, name) - getattr(result, name)).max() < 5e-4
        assert getattr(read, name).dtype == np.float32
    exact = {name: getattr(read, name) for name in PICTURES}
    assert_same(read, dataclasses.replace(result, **exact))


def test_nan_and_infinity_survive(trained, tmp_path):
    old = trained.results[0]
    history = old.history | {"loss": np.array([np.nan, np.inf, 1.0])}
    metrics = old.metrics | {"threshold": {"achieved_acceleration": np.array(np.inf)}}
    result = dataclasses.replace(old, history=history, metrics=metrics)
    write_results([result], tmp_path / "one.h5")
    assert_same(read_results(tmp_path / "one.h5")[0], result)


def test_means_are_over_slices(trained):
    result = trained.results[0]
    for mask in ("threshold", "topk", "relaxed"):
        values = result.metrics[mask]["psnr"]
        assert len(values) == result.config.test
        assert result.psnr(mask) == pytest.approx(sum(values) / len(values), rel=1e-6)
    kept = (result.probabilities > 0.5).sum()
    assert result.achieved_acceleration() == pytest.approx(32 * 32 / kept)
    assert result.achieved_acceleration("topk") == 4


def test_the_same_results_make_the_same_file(trained, path, tmp_path):
    write_results(read_results(path), tmp_path / "again.h5")
    write_results(read_results(path), tmp_path / "and_again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "and_again.h5").read_bytes()


def test_runs_are_collected_as_they_are(trained, path, tmp_path):
    for k, result in enumerate(trained.results):
        write_results([result], tmp_path / f"{k}.h5")
    collect_results((tmp_path / f"{k}.h5" for k in range(len(trained.results))), path)
    assert collected_names(path) == {result.config.name for result in trained.results}
    read = {result.config: result for result in read_results(path)}
    for k, result in enumerate(trained.results):
        assert_same(read[result.config], read_results(tmp_path / f"{k}.h5")[0])
        assert_same(read[result.config], result)


def test_a_file_keeps_the_runs_that_it_has(trained, path, tmp_path):
    before = read_results(path)
    result = before[0]
    write_results([dataclasses.replace(result, slope=1.0)], tmp_path / "other.h5")
    collect_results([tmp_path / "other.h5"], path)
    for left, right in zip(before, read_results(path), strict=True):
        assert_same(left, right)


def test_files_of_version_1_are_read_and_collected(tmp_path):
    first = ROOT / "results" / "reference.h5"
    with h5py.File(first) as file:
        assert file.attrs["version"] == 1
    collect_results([first], tmp_path / "second.h5")
    for left, right in zip(read_results(first), read_results(tmp_path / "second.h5"), strict=True):
        assert_same(left, right)
        assert {name: column.dtype for name, column in left.history.items()} == {
            name: column.dtype for name, column in right.history.items()
        }


def test_a_damaged_source_is_named_and_the_collected_file_stays(path, tmp_path):
    source = tmp_path / "damaged.h5"
    source.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"{source}: not a valid loupe-results file"):
        collect_results([source], path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(path, share):
    cut(path, share)
    assert "not a valid loupe-results file" in refused(path)


def test_other_formats_and_versions_are_refused(path):
    with edited(path) as file:
        file.attrs["version"] = 3
    assert refused(path) == f"{path}: format version 3; this program reads 1 and 2"
    with edited(path) as file:
        file.attrs["format"] = "loupe-images"
    assert refused(path) == f"{path}: not a loupe-results file"


def test_what_is_no_results_file_is_refused(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("PSNR 40\n" * 100)
    assert "not a valid loupe-results file" in refused(path)
    assert "cannot read" in refused(tmp_path / "nowhere.h5")


def test_a_flipped_bit_is_noticed_wherever_it_is(path):
    content = path.read_bytes()
    for place in range(CHECKSUM_SIZE, len(content), len(content) // 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert refused(path).endswith("checksum mismatch")


@pytest.mark.parametrize("name", ["probabilities", "pictures", "numbers"])
def test_a_missing_member_is_named(path, name):
    with edited(path) as file:
        del next(iter(file["runs"].values()))[name]
    assert f"{name} is missing" in refused(path)


@pytest.mark.parametrize("name", ["config", "provenance", "warnings"])
def test_a_missing_attribute_is_refused(path, name):
    with edited(path) as file:
        del next(iter(file["runs"].values())).attrs[name]
    refused(path)


def test_a_link_to_another_file_is_refused(trained, path, tmp_path):
    write_results(trained.results[:1], tmp_path / "other.h5")
    with edited(path) as file:
        run = next(iter(file["runs"].values()))
        del run["pictures"]
        name = f"runs/{trained.results[0].config.name}/pictures"
        run["pictures"] = h5py.ExternalLink("other.h5", name)
    assert "pictures must be stored in the file itself" in refused(path)


def test_a_run_under_the_name_of_another_is_refused(path):
    with edited(path) as file:
        run = next(iter(file["runs"].values()))
        config = json.loads(run.attrs["config"])
        run.attrs["config"] = RunConfig(**(config | {"seed": 9})).to_json()
    assert "of another configuration" in refused(path)


def test_a_write_that_fails_leaves_the_old_file(trained, path, tmp_path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_results(trained.results, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
