"""Sweeps: the runs they hold, and how their values are replaced."""

import pytest

from loupe_lib import InputError
from loupe_lib.profiles import PROFILES, profile
from tests.common import assert_one_line


@pytest.mark.parametrize("name", PROFILES)
def test_a_sweep_holds_every_slope_and_4s_at_every_acceleration_with_every_seed(name):
    chosen = profile(name)
    configs = chosen.configs()
    held = [(c.acceleration, None if c.shrinks else c.slope, c.seed) for c in configs]
    assert held == [
        (r, s, seed)
        for r in chosen.accelerations
        for s in (*chosen.slopes, None)
        for seed in chosen.seeds
    ]
    assert len({config.name for config in configs}) == len(configs)


@pytest.mark.parametrize("name", PROFILES)
def test_a_fixed_slope_gets_as_many_epochs_as_4s(name):
    lengths = {c.shrink_epochs + c.settle_epochs for c in profile(name).configs()}
    assert len(lengths) == 1
    assert all(
        c.slope == PROFILES[name].initial_slope for c in profile(name).configs() if c.shrinks
    )


@pytest.mark.parametrize("name", ["smoke", "quick", "reference"])
def test_below_the_paper_s_scale_early_stopping_shortens_no_run(name):
    # A round cannot wait longer than it lasts.
    assert all(
        c.stop_patience >= max(c.shrink_epochs, c.settle_epochs) for c in profile(name).configs()
    )


def test_the_paper_s_profile_is_the_paper_s_experiment():
    configs = profile("paper").configs()
    for c in configs:
        assert (c.size, c.width, c.batch, c.learning_rate) == (320, 64, 16, 0.01)
        assert (c.train, c.validation, c.test) == (1895, 188, 186)
        assert (c.patience, c.factor) == (40, 1.5)
    assert {c.acceleration for c in configs} == {4, 8}
    fixed = {c.slope for c in configs if not c.shrinks}
    assert fixed == {20, 200, 2000, 5000, 10000, 50000}


def test_values_can_be_replaced():
    chosen = profile(
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
    assert profile("smoke", seed=3).seeds == (3,)
    assert PROFILES["smoke"] == profile("smoke")  # the profile itself is as it was


def test_none_keeps_the_profile_s_value():
    assert profile("smoke", accelerations=None, slopes=None, seed=None, patience=None) == profile(
        "smoke"
    )


@pytest.mark.parametrize("name", ["accelerations", "seed"])
def test_a_sweep_of_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name}s? must be at least one; got none"):
        profile("smoke", **{name: []})


def test_unknown_profiles_are_refused():
    with pytest.raises(InputError) as caught:
        profile("huge")
    assert str(caught.value) == "profile must be one of smoke, quick, reference, paper; got 'huge'"


@pytest.mark.parametrize("name", ["epochs", "acceleration", "slope", "seeds", "Size"])
def test_unknown_settings_are_refused(name):
    with pytest.raises(InputError, match=f"no setting '{name}'; it has .*factor") as caught:
        profile("smoke", **{name: 1})
    assert_one_line(str(caught.value))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"accelerations": [0.5]}, "acceleration"),
        ({"slopes": [-20]}, "slope"),
        ({"seed": -1}, "seed"),
        ({"patience": 0}, "patience"),
        ({"size": 40}, "size"),
    ],
)
def test_values_out_of_range_are_refused(change, named):
    with pytest.raises(InputError, match=named):
        profile("smoke", **change).configs()
