"""The file of results: its content, and files that are refused."""

import dataclasses

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
from loupe_lib.training.config import RunConfig
from tests.common import ROOT


@pytest.fixture
def path(trained, tmp_path):
    path = tmp_path / "results.h5"
    write_results(trained.results[:3], path)
    return path


def assert_same(left: RunResult, right: RunResult) -> None:
    """Every field equal, to the bit, of one type; NaN is equal to NaN."""
    for field in dataclasses.fields(RunResult):
        one, other = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_equal(other, one, err_msg=field.name)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None), field.name


@pytest.mark.parametrize("kept", sorted((ROOT / "results").glob("*.h5")), ids=lambda p: p.name)
def test_kept_runs_have_the_names_of_their_configurations(kept):
    with h5py.File(kept) as file:
        configs = {name: group.attrs["config"] for name, group in file["runs"].items()}
    assert configs
    for name, text in configs.items():
        assert RunConfig.from_json(text).name == name
        assert RunConfig.from_json(text).to_json() == text


def test_results_come_back_as_they_were_but_pictures_in_16_bits(trained, tmp_path):
    rng = np.random.default_rng(0)
    old = trained.results[0]
    changed = {
        name: rng.random(getattr(old, name).shape).astype(getattr(old, name).dtype)
        for name in ("probabilities", "histogram", *PICTURES)
    }
    history = old.history | {"loss": np.array([np.nan, np.inf, 1 / 3])}
    metrics = old.metrics | {"threshold": {"achieved_acceleration": np.array(np.inf)}}
    warnings = ("a", "b|c")
    written = dataclasses.replace(
        old, **changed, slope=1 / 3, warnings=warnings, history=history, metrics=metrics
    )
    write_results([written, trained.results[1]], tmp_path / "two.h5")
    read, other = sorted(
        read_results(tmp_path / "two.h5"), key=lambda r: trained.results[1].config == r.config
    )
    assert_same(other, trained.results[1])
    for name in PICTURES:
        assert np.abs(getattr(read, name) - getattr(written, name)).max() < 5e-4
        assert getattr(read, name).dtype == np.float32
    exact = {name: getattr(read, name) for name in PICTURES}
    assert_same(read, dataclasses.replace(written, **exact))


def test_the_same_results_make_the_same_file(path, tmp_path):
    write_results(read_results(path), tmp_path / "again.h5")
    write_results(read_results(path), tmp_path / "and_again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "and_again.h5").read_bytes()


def test_runs_are_collected_as_they_are(trained, path, tmp_path):
    for k, result in enumerate(trained.results):
        write_results([result], tmp_path / f"{k}.h5")
    collect_results((tmp_path / f"{k}.h5" for k in range(len(trained.results))), path)
    assert collected_names(path) == {result.config.name for result in trained.results}
    read = {result.config: result for result in read_results(path)}
    for result in trained.results:
        assert_same(read[result.config], result)


def test_a_file_keeps_the_runs_that_it_has(path, tmp_path):
    before = read_results(path)
    write_results([dataclasses.replace(before[0], slope=1.0)], tmp_path / "other.h5")
    collect_results([tmp_path / "other.h5"], path)
    assert read_results(path)[0].slope == before[0].slope and len(read_results(path)) == len(before)


def test_a_damaged_source_is_named_and_the_collected_file_stays(path, tmp_path):
    source = tmp_path / "damaged.h5"
    source.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    with pytest.raises(InputError, match=str(source)):
        collect_results([source], path)
    assert path.read_bytes() == before
