"""A run as plain data: its name, its JSON, and values that are refused."""

import dataclasses
import json
import math

import numpy as np
import pytest

from loupe_companion.profiles import find_profile
from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.training.config import RunConfig
from tests.common import ROOT, fixed, refusal, smoke

NEEDED = {
    field.name for field in dataclasses.fields(RunConfig) if field.default is dataclasses.MISSING
}


def test_the_defaults_are_the_paper_s():
    given = {name: getattr(smoke(), name) for name in NEEDED}
    config = RunConfig(**given)
    assert (config.patience, config.factor, config.max_slope) == (40, 1.5, 1e5)
    assert (config.batch, config.learning_rate) == (16, 0.01)
    assert (config.lr_patience, config.lr_factor, config.min_lr) == (50, 0.2, 1e-6)
    assert config.stop_patience == 100


def test_equal_configurations_are_the_same_run():
    assert smoke() == smoke() and smoke().name == smoke().name
    assert smoke(acceleration=4).name == smoke(acceleration=4.0).name
    assert smoke(slope=200).to_json() == smoke(slope=200.0).to_json()
    of_numpy = smoke(patience=np.int64(7), slope=np.float32(20), acceleration=np.float64(8))
    assert of_numpy.name == smoke(patience=7, slope=20, acceleration=8).name


OTHER = {
    "acceleration": 5.0,
    "slope": 199.0,
    "size": 48,
    "data": "0" * 64,
    "batch": 4,
    "lr_factor": 0.3,
    "learning_rate": 0.02,
    "min_lr": 2e-6,
    "mask": "concrete",
    "lines": True,
    "schedule": "released",
    "test_head": "mni152",
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RunConfig)])
def test_every_setting_is_part_of_the_name(name):
    base = smoke(schedule="released") if name == "double_round" else smoke()
    usual = getattr(base, name)
    new = OTHER[name] if name in OTHER else not usual if isinstance(usual, bool) else usual + 1
    assert dataclasses.replace(base, **{name: new}).name != base.name


def test_json_keeps_every_setting():
    config = smoke(acceleration=7.3, slope=0.1, seed=3, **LATER)
    assert RunConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json()) == dataclasses.asdict(config)


LATER = {
    **{"mask": "tanh", "lines": True, "schedule": "released", "double_round": True, "center": 2},
    **{"dc_raised": True, "keras": True, "test_head": "colin27"},
}


def test_settings_that_came_later_rename_no_earlier_run():
    assert smoke().name == "d44d36af6d19907b"
    assert find_profile("reference").configs()[0].name == "0890c435176824df"
    held = {result.config.name for result in read_results(ROOT / "results" / "reference.h5")}
    assert held == {config.name for config in find_profile("reference").configs()}
    assert not set(LATER) & json.loads(smoke().to_json()).keys()
    assert RunConfig.from_json(smoke(lines=False, mask="sigmoid").to_json()) == smoke()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": "circle"}, "mask must be one of sigmoid, .*, spectrum; got 'circle'"),
        ({"mask": ["disc"]}, "mask must be one of"),
        ({"schedule": "5S"}, "schedule must be one of 4S, released, exponential; got '5S'"),
        ({"lines": True, "acceleration": 33}, "acceleration must be at most 32, .*; got 33"),
        ({"double_round": True}, "'4S' has two rounds anyway: double_round must be false"),
        ({"lines": 1}, "lines must be true or false; got 1"),
        ({"test_head": "me"}, "test_head must be one of colin27, mni152, s1; got 'me'"),
        ({"test_head": "mni152", "data": "0"}, "an image file has its own test images: test_head"),
        ({"keras": 1}, "keras must be true or false; got 1"),
        ({"dc_raised": True, "mask": "disc", "shrink_epochs": 0}, "'disc' has no gamma: dc_raised"),
        ({"center": 17}, "center must be at most 16, .* budget of 1/4 .*; got 17"),
        ({"mask": "disc"}, "'disc' has no slope to raise: shrink_epochs must be 0; got 2"),
        ({"mask": "trained_slope"}, "shrink_epochs must be 0"),
        ({"mask": "straight_through"}, "shrink_epochs must be 0"),
        ({"shrink_epochs": 0, "schedule": "released"}, "'released' needs shrink_epochs of at"),
        ({"shrink_epochs": 0, "mask": "poisson", "lines": True}, "'poisson' has no lines: lines"),
        ({"max_slope": 100.0}, r"slope must be at most max_slope=100\.0; got 200"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        smoke(**change)


def test_the_label_says_what_differs_in_a_sweep():
    assert smoke(seed=2).label == "R=4 4S seed 2"
    assert fixed(2e4, acceleration=7.5).label == "R=7.5 s=20000 seed 0"
    assert smoke().shrinks and not fixed().shrinks


def test_the_method_is_how_the_mask_is_chosen():
    methods = {
        "4S": smoke(seed=3, acceleration=8),
        "4S released lines": smoke(schedule="released", lines=True),
        "4S released double round": smoke(schedule="released", double_round=True),
        "exponential": smoke(schedule="exponential"),
        "tanh": smoke(schedule="exponential", mask="tanh"),
        "s=0.5 lines": fixed(0.5, lines=True),
        "straight-through": fixed(mask="straight_through"),
        "disc": fixed(mask="disc"),
        "s=20 center 1": fixed(20.0, center=1),
        "4S lines center 4": smoke(lines=True, center=4),
        "s=20 DC raised Keras": fixed(20.0, dc_raised=True, keras=True),
    }
    assert {name: config.method for name, config in methods.items()} == {n: n for n in methods}


WHOLE = dataclasses.asdict(smoke())


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", '{"acceleration": 4', "[" * 10**5, "9" * 10**5),
        *(
            json.dumps(WHOLE | change)
            for change in (
                {"epochs": 3},
                {"size": None},
                {"size": "32"},
                {"slope": "a"},
                {"size": math.inf},
            )
        ),
    ],
)
def test_json_that_is_no_configuration_is_refused(text):
    with pytest.raises(InputError):
        RunConfig.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("size", n) for n in (16, 40, 32.5)),
        *(("acceleration", r) for r in (0.5, 1025, math.inf)),  # of 32 x 32 samples
        *((n, v) for n in ("slope", "max_slope", "learning_rate", "min_lr") for v in (0, math.nan)),
        *(("patience", p) for p in (0, 2.5, True)),
        *(("factor", m) for m in (1, math.inf)),
        *((n, 0) for n in ("width", "train", "validation", "test", "batch")),
        *((n, 0) for n in ("lr_patience", "stop_patience", "settle_epochs")),
        *((n, -1) for n in ("shrink_epochs", "seed", "data_seed")),
        *(("lr_factor", v) for v in (0, 1, math.nan)),
        ("batch", 65),
        ("seed", 0.5),
        ("seed", 2**70),
        *(("slope", v) for v in (1e39, 10**400)),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    told = refusal(smoke, **{name: value})
    assert told.startswith(name) and f"got {value}" in told
