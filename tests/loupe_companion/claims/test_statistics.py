"""From numbers to a verdict: intervals against other ways to compute them, and every outcome."""

import math

import numpy as np
import pytest
from scipy import stats

from loupe_companion.claims.statistics import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    REFUTED,
    SHOWN,
    UNDECIDED,
    NotTestable,
    compare,
    number,
    overall,
    seeds_to_decide,
)


@pytest.mark.parametrize(
    ("values", "low", "high", "outcome"),
    [
        # The interval is 0.76 to 3.24.
        ([1.5, 2.0, 2.5], -math.inf, math.inf, SHOWN),
        ([1.5, 2.0, 2.5], 0, math.inf, SHOWN),
        ([1.5, 2.0, 2.5], 3, math.inf, UNDECIDED),
        ([1.5, 2.0, 2.5], 0, 2, UNDECIDED),
        ([1.5, 2.0, 2.5], 1.5, 2.5, UNDECIDED),
        ([1.5, 2.0, 2.5], 5, math.inf, REFUTED),
        ([1.5, 2.0, 2.5], -math.inf, -1, REFUTED),
        ([2.0, 2.0, 2.0], 1, math.inf, SHOWN),
        ([2.0, 2.0, 2.0], 2, math.inf, REFUTED),  # not above 2
    ],
)
def test_the_interval_decides_a_comparison(values, low, high, outcome):
    assert compare("x", "dB", 4, values, low, high).outcome == outcome


def test_the_seeds_that_decide_are_the_fewest_with_enough_power():
    finding = compare("x", "dB", 4, [1.0, 2.0, 6.0], low=1)
    assert finding.outcome == UNDECIDED and finding.mean == 3 and finding.seeds == 3
    assert finding.deviation == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    needed = int(seeds_to_decide(finding))
    rng = np.random.default_rng(0)

    def power(n: int) -> float:  # by drawing many experiments with this mean and deviation
        drawn = rng.normal(3, finding.deviation, size=(40_000, n))
        half = stats.t.ppf(0.975, n - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(n)
        return float(np.mean(drawn.mean(axis=1) - half > 1))

    assert power(needed - 1) < 0.805 and power(needed) > 0.795


def test_no_number_of_seeds_decides_if_the_mean_is_the_bound_or_there_is_no_bound():
    assert seeds_to_decide(compare("x", "dB", 4, [1.0, 2.0, 3.0], low=2)) == math.inf
    assert seeds_to_decide(compare("x", "dB", 4, [1.0, 2.0, 3.0])) == math.inf


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_never_averaged(wrong):
    with pytest.raises(NotTestable, match=r"^PSNR: a run has no finite number$"):
        compare("PSNR", "dB", 4, [1.0, wrong, 2.0])


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([SHOWN, SHOWN], HOLDS),
        ([SHOWN, UNDECIDED], IN_PART),
        ([REFUTED, SHOWN], IN_PART),
        ([REFUTED, UNDECIDED], DOES_NOT_HOLD),
        ([REFUTED, REFUTED], DOES_NOT_HOLD),
        ([UNDECIDED, UNDECIDED], UNDECIDED),
    ],
)
def test_the_verdict_follows_the_rules(outcomes, verdict):
    assert overall(outcomes) == overall(outcomes[::-1]) == verdict


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0123456, 3, "0.0123"),
        (-12.345, 3, "-12.3"),
        (18812.4, 3, "18812"),
        (999.7, 3, "1000"),
        (0.1234, 2, "0.12"),
        (99.7, 2, "100"),
        (1638.7, 2, "1639"),
    ],
)
def test_numbers_have_significant_digits(value, digits, text):
    assert number(value, digits) == text
