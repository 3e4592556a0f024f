"""The estimate before a sweep."""

import re

import pytest

from loupe_companion.estimate import estimate
from loupe_lib import InputError
from tests.common import assert_one_line, fixed, smoke

pytest_plugins = ["tests.fixtures_runs"]


def test_the_estimate_counts_what_is_to_be_trained(trained):
    assert estimate(trained.profile.configs(), trained.runs) == (
        "nothing to train: all runs are there"
    )
    new = [smoke(seed=9), fixed(seed=9)]
    line = estimate([*trained.profile.configs(), *new], trained.runs, "cpu")
    assert line.startswith("2 runs to train on ")
    assert re.search(r"at most \d:\d\d:\d\d \(\d+\.\d\d ms each", line)
    assert_one_line(line)


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(InputError, match="device must be one of"):
        estimate([smoke()], tmp_path, "tpu")
