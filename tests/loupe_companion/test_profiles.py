"""Profiles: the runs of a sweep, and how their values are replaced."""

import re

import pytest

from loupe_companion.profiles import BOOK_PROFILES, PROFILES, find_profile
from loupe_companion.results import collected_names
from loupe_lib import InputError
from loupe_lib.training.config import RunConfig
from tests.common import ROOT


@pytest.mark.parametrize("name", BOOK_PROFILES)
def test_a_sweep_holds_every_slope_and_4s_at_every_acceleration_with_every_seed(name):
    chosen = find_profile(name)
    configs = chosen.configs()
    held = [(c.acceleration, c.shrinks, c.slope, c.seed) for c in configs]
    fixed = [(False, s) for s in chosen.slopes]
    starts = [(True, s) for s in (20, *((1, 200) if name == "reference" else ()))]
    assert held == [
        (r, *slope, seed)
        for r in chosen.accelerations
        for slope in (*fixed, *starts)
        for seed in chosen.seeds
    ]


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "paper"])
def test_every_run_gets_the_epochs_images_and_steps_of_4s(name):
    configs = find_profile(name).configs()
    assert len({config.name for config in configs}) == len(configs)
    same = ("size", "width", "train", "validation", "test", "batch", "data", "learning_rate")
    assert len({tuple(getattr(c, name) for name in same) for c in configs}) == 1
    assert len({c.shrink_epochs + c.settle_epochs for c in configs}) == 1
    # Early stopping shortens no run: a round cannot wait longer than it lasts.
    assert all(c.stop_patience >= max(c.shrink_epochs, c.settle_epochs) for c in configs)


def test_the_paper_s_profile_is_the_paper_s_experiment():
    configs = find_profile("paper").configs()
    for c in configs:
        assert (c.size, c.width, c.batch, c.learning_rate) == (320, 64, 16, 0.01)
        assert (c.train, c.validation, c.test) == (1895, 188, 186)
        assert (c.patience, c.factor) == (40, 1.5)
    assert {c.acceleration for c in configs} == {4, 8}
    fixed = {c.slope for c in configs if not c.shrinks}
    assert fixed == {20, 200, 2000, 5000, 10000, 50000}


def test_values_can_be_replaced():
    chosen = find_profile(
        "smoke",
        accelerations=[2, 3],
        slopes=[],
        seed=[5, 6],
        patience=7,
        factor=1.1,
        initial_slope=30,
        shrink_epochs=9,
        settle_epochs=8,
        width=2,
    )
    configs = chosen.configs()
    assert [(c.acceleration, c.seed) for c in configs] == [(2, 5), (2, 6), (3, 5), (3, 6)]
    assert all(c.shrinks for c in configs)
    for c in configs:
        assert (c.patience, c.factor, c.slope, c.width) == (7, 1.1, 30, 2)
        assert (c.shrink_epochs, c.settle_epochs) == (9, 8)
    assert find_profile("smoke", seed=3).seeds == (3,)
    assert find_profile("smoke", slopes=None, seed=None, patience=None) == PROFILES["smoke"]


def by_method(name: str, **changes) -> dict[str, RunConfig]:
    """The run of each method at R = 4 with seed 0."""
    chosen = find_profile(name, accelerations=[4], seed=0, **changes)
    return {method.name: chosen.config(method, 4, 0) for method in chosen.methods}


def test_the_claims_hold_the_reference_s_runs():
    runs = by_method("claims")
    reference = by_method("reference")
    assert {name: runs[name] for name in reference} == reference


def test_seeds_from_3_on_draw_subjects_of_their_own():
    def subjects(**settings):
        return [c.data_seed for c in find_profile("claims-small", **settings).configs()[::40]]

    assert set(subjects(seed=2)) == {0} and set(subjects(seed=3)) == {3}
    assert set(subjects(seed=3, data="a" * 64)) == {0}  # an image file has no virtual subjects
    assert set(subjects(seed=3, data_seed=1)) == {1}


def test_a_run_is_labelled_by_its_method():
    chosen = find_profile("claims")
    found = [chosen.label(config) for config in chosen.configs()]
    assert len(set(found)) == len(found)
    assert {"R=4 4S s0=200 p=16 seed 0", "R=8 disc seed 1", "R=4 4S lines seed 0"} <= set(found)
    assert chosen.label(find_profile("quick").configs()[0]) == "R=4 s=2 seed 0"


def test_some_methods_can_be_chosen():
    assert list(by_method("claims", methods=["disc", "4S s0=1"])) == ["4S s0=1", "disc"]
    for methods, got in (([], "none"), (["disc", "circle"], "'circle'")):
        with pytest.raises(
            InputError, match=f"methods must be some of s=20, .*, disc.*; got {got}"
        ):
            find_profile("claims", methods=methods)


def test_one_number_stands_for_a_list_and_repeats_count_once():
    chosen = find_profile("smoke", accelerations=8, slopes=[20, 20, 200], seed=[1, 1])
    assert (chosen.accelerations, chosen.slopes, chosen.seeds) == ((8,), (20, 200), (1,))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"accelerations": [0.5]}, "acceleration"),
        ({"slopes": [-20]}, "slope"),
        *(({"slopes": s}, "slopes must be numbers") for s in ("20", ["a"])),
        ({"seed": "0"}, "seed must be numbers"),
        ({"accelerations": []}, "accelerations must be at least one; got none"),
        ({"seed": []}, "seeds? must be at least one; got none"),
        ({"patience": 2}, "patience must be below shrink_epochs, the 2 epochs .*; got 2"),
        ({"shrink_epochs": -1}, "shrink_epochs must be a whole number of at least 1; got -1"),
        ({"settle_epochs": 2.5}, "settle_epochs must be a whole number of at least 1; got 2.5"),
        *(
            ({name: 1}, f"no setting '{name}'; it has .*factor")
            for name in ("epochs", "acceleration", "slope", "seeds", "Size")
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(change, told):
    with pytest.raises(InputError, match=told):
        find_profile("smoke", **change).configs()


def test_each_method_of_the_claims_is_kept_or_among_the_commands_that_remain():
    claims = find_profile("claims")
    files = (ROOT / "results" / f"{name}.h5" for name in ("reference", "claims"))
    kept = set().union(*map(collected_names, files))
    text = (ROOT / "results" / "README.md").read_text("utf-8")
    remaining = text.partition("## What remains to be run")[2]
    listed = [
        name
        for methods in re.findall(r'--methods "(.*)"', remaining)
        for name in methods.split(",")
    ]
    assert len(listed) == len(set(listed))
    for method in claims.others:
        names = {
            claims.config(method, r, s).name for r in claims.accelerations for s in claims.seeds
        }
        assert kept & names == (set() if method.name in listed else names), method.name
