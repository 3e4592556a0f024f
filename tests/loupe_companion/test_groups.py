"""Which runs belong together, and what they are called."""

import dataclasses

import numpy as np
import pytest

from loupe_companion.groups import group_runs, groups_in_paper, groups_with_starts


@pytest.mark.parametrize("order", [1, -1])
def test_runs_that_differ_by_seed_alone_are_grouped(trained, order):
    groups = group_runs(trained.results[::order])
    expected = [(r, title) for r in (4, 8) for title in ("s=200", "s=2000", "4S")]
    assert [(g.config.acceleration, g.title) for g in groups] == expected
    assert all([run.config.seed for run in g.runs] == [0, 1] for g in groups)
    assert len({run.config for g in groups for run in g.runs}) == 12


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"patience": 7, "factor": 3.0}, "4S p=7 m=3"),
        ({"slope": 200.0}, "4S s0=200"),
        ({"learning_rate": 0.001}, "4S learning_rate=0.001"),
        ({"lines": True}, "4S lines"),
        ({"mask": "tanh", "schedule": "exponential"}, "tanh"),
        ({"schedule": "released"}, "4S released"),
    ],
)
def test_other_methods_are_not_the_4s_of_the_paper(trained, changes, title):
    shrunk = trained.results[4]  # 4S at R = 4, seed 0
    other = dataclasses.replace(shrunk, config=dataclasses.replace(shrunk.config, **changes))
    groups = [g for g in group_runs([other, *trained.results]) if g.config.acceleration == 4]
    assert [(g.title, g.in_paper) for g in groups[2:]] == [("4S", True), (title, False)]
    assert groups[3].runs == (other,)


def test_without_the_plain_4s_no_variant_is_called_4s(kept_results):
    def titles(*wanted):
        some = [r for r in kept_results if variant(r.config) in wanted]
        return [g.title for g in group_runs(some) if g.config.acceleration == 4]

    def variant(config):
        return f"{config.method} p={config.patience} m={config.factor:g} s0={config.slope:g}"

    p4, p16 = "4S p=4 m=1.5 s0=200", "4S p=16 m=1.5 s0=200"
    assert titles(p4, p16) == ["4S p=4", "4S p=16"]
    fixed = "s=200 p=8 m=1.5 s0=200"
    assert titles("4S p=8 m=3 s0=200", fixed) == ["s=200", "4S m=3"]
    assert titles(fixed) == ["s=200"]


def test_methods_of_the_claims_sweep_are_not_pooled(kept_results):
    groups = {(g.config.acceleration, g.title): g for g in group_runs(kept_results)}
    assert all(len(group.runs) == 3 for group in groups.values())
    assert len(groups) == len({title for _, title in groups}) * 2
    means = {
        title: round(sum(run.psnr() for run in groups[4, title].runs) / 3, 2)
        for title in ("s=200", "4S", "4S s0=200", "tanh", "4S s0=200 p=16", "disc")
    }
    expected = {"s=200": 36.43, "4S": 36.28, "4S s0=200": 36.06}
    assert means == expected | {"tanh": 38.1, "4S s0=200 p=16": 36.47, "disc": 33.37}
    slopes = ("s=20", "s=200", "s=2000", "s=5000", "s=10000", "s=50000")
    shown = {r: [g.title for g in row] for r, row in groups_in_paper(kept_results).items()}
    assert shown == {r: [*slopes, "4S"] for r in (4, 8)}


def test_starts_of_4s_come_after_it_by_rising_slope(kept_results):
    fixed = ["s=20", "s=200", "s=2000", "s=5000", "s=10000", "s=50000"]
    rows = groups_with_starts(kept_results)
    starts = ["4S s0=1", "4S s0=200", "4S s0=2000"]
    assert {r: [g.title for g in row] for r, row in rows.items()} == {
        r: [*fixed, "4S", *starts] for r in (4, 8)
    }
    without = [r for r in kept_results if not r.config.shrinks]
    assert [g.title for g in groups_with_starts(without)[4]] == fixed


def test_a_group_with_a_run_that_is_no_number_ranks_last(trained):
    first, second, *_ = group_runs(trained.results)
    assert first.mean_psnr == pytest.approx(sum(first.psnr) / 2)
    metrics = {"threshold": {"psnr": np.array([np.nan])}}
    lost = dataclasses.replace(second.runs[0], metrics=metrics)
    assert dataclasses.replace(second, runs=(lost, second.runs[1])).mean_psnr == -np.inf
