"""The comparisons of a test, and the verdict that follows from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from loupe_companion.methods import Family

SHOWN, REFUTED, UNDECIDED = "shown", "refuted", "undecided"
OUTCOMES = (SHOWN, REFUTED, UNDECIDED)  # of one comparison

HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold here"
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run"

MIN_SEEDS = 3  # fewer say next to nothing about the spread over seeds
CONFIDENCE = 0.95

RULES = f"""\
- **What is compared.** A number is measured on each run. Differences are taken between runs of
  the same seed, which share images, initial weights, order of images and mask draws.
- **Interval.** The {CONFIDENCE:.0%} t interval of the mean over seeds, with n - 1 degrees of
  freedom. With three seeds it extends 2.5 standard deviations to either side of the mean.
- **Outcome of one comparison.** Each test names a range of values that supports the claim.
  *Shown*: the whole interval lies in this range. *Refuted*: the whole interval lies outside it.
  *Undecided*: the interval lies partly inside and partly outside.
- **Verdict.** All comparisons are shown: *{HOLDS}*. Some are shown: *{IN_PART}*. None is shown and
  some are refuted: *{DOES_NOT_HOLD}*. All are undecided: *{UNDECIDED}*. A number cannot be
  measured, for example because a run ended in NaN: *{NOT_TESTABLE}*. A run that the test needs has
  fewer than {MIN_SEEDS} seeds: *{NOT_RUN}*.
- **Runs with a warning** (a collapsed mask, a loss of NaN) count like all others, because a
  collapse is a result. A test with such runs is repeated without them, and both verdicts are given.
- **Many tests.** There is no correction for multiple comparisons: of twenty comparisons at
  {CONFIDENCE:.0%}, one is expected to be wrong.
"""


class NotRun(Exception):
    """Runs that a test needs are missing; the text says which."""


class NotTestable(Exception):
    """The runs exist, but a number of the test cannot be measured; the text says why."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and its test."""

    number: int
    title: str
    says: str  # what the paper says, in our words
    test: str  # what is measured, and which values support the claim; fixed beforehand
    short: str  # the same in half a line, for the table of all claims
    known: bool  # whether results of the runs had been seen before the test was written
    families: tuple[Family, ...] = ()  # the methods that the test needs, of point masks


@dataclass(frozen=True)
class Finding:
    """One comparison of a test."""

    part: str  # what the number is, with its unit; the same at every R
    acceleration: float | None  # R; None where two are compared, and beyond MRI
    values: tuple[float, ...]  # one a seed; or one made of all seeds, which has no interval
    seeds: int
    outcome: str  # one of OUTCOMES
    region: tuple[float, float]  # the values between these two support the claim
    decides: bool = True  # whether it counts for the verdict
    detail: str = ""  # further facts, such as which slope was the best

    @property
    def place(self) -> str:
        """``R = 4``, or nothing without an acceleration."""
        return "" if self.acceleration is None else f"R = {self.acceleration:g}"

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; NaN for a single value."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The t interval of the mean; NaN for a single value."""
        return t_interval(self.values) if len(self.values) > 1 else (math.nan, math.nan)


Findings = Iterator[Finding | str]  # what a test yields: comparisons, and sentences about them


@dataclass(frozen=True)
class Verdict:
    """The result of a claim's test."""

    claim: Claim
    verdict: str  # HOLDS, IN_PART, DOES_NOT_HOLD, UNDECIDED, NOT_TESTABLE or NOT_RUN
    sentences: tuple[str, ...]  # what was found, in words
    findings: tuple[Finding, ...] = ()  # none if the test was not run


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of the mean of two or more independent numbers (Student 1908)."""
    half = float(_half_width(len(values), float(np.std(values, ddof=1))))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def _half_width(n: int | np.ndarray, deviation: float) -> np.ndarray:
    """Half the width of the t interval of the mean of n numbers."""
    return stats.t.ppf((1 + CONFIDENCE) / 2, np.subtract(n, 1)) * deviation / np.sqrt(n)


def seeds_to_decide(finding: Finding) -> float:
    """How many seeds would decide a comparison, if mean and deviation stayed the same.

    Infinite if 1000 are not enough, or if there is nothing to decide.
    """
    distance = min(abs(finding.mean - bound) for bound in finding.region)
    n = np.arange(finding.seeds, 1001)
    enough = n[_half_width(n, finding.deviation) < distance]
    return float(enough[0]) if len(enough) and math.isfinite(distance) else math.inf


def compare(
    part: str,
    acceleration: float | None,
    values: Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    decides: bool = True,
    detail: str = "",
) -> Finding:
    """Compare the mean over seeds with the values that support a claim, low < value < high.

    Raises:
        NotTestable: if a value is not finite.
    """
    check_finite(part, values)
    lowest, highest = t_interval(values)
    outcome = UNDECIDED
    if low < lowest and highest < high:
        outcome = SHOWN
    elif highest <= low or high <= lowest:
        outcome = REFUTED
    region, seeds = (low, high), len(values)
    return Finding(part, acceleration, tuple(values), seeds, outcome, region, decides, detail)


def check_finite(part: str, values: Sequence[float]) -> None:
    """Raise NotTestable if one of the values of ``part`` is NaN or infinite."""
    if not np.isfinite(values).all():
        raise NotTestable(f"{part}: a run has no finite number")


def number(value: float, digits: int = 3) -> str:
    """A number with significant digits, or all before the point; a hyphen for NaN."""
    if math.isnan(value):
        return "-"
    is_whole = abs(value) >= 10**digits - 0.5
    return f"{value:.0f}" if is_whole else f"{value:.{digits}g}"


def overall(outcomes: Sequence[str]) -> str:
    """The verdict on a claim from the outcomes of its comparisons (see ``RULES``)."""
    if SHOWN in outcomes:
        return HOLDS if set(outcomes) == {SHOWN} else IN_PART
    return DOES_NOT_HOLD if REFUTED in outcomes else UNDECIDED
