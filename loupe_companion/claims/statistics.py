"""The comparisons of a test, and the verdict that follows from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from loupe_companion.methods import Family
from loupe_companion.profiles import OWN_SUBJECTS
from loupe_companion.tables import CONFIDENCE, t_interval

SHOWN, REFUTED, UNDECIDED = "shown", "refuted", "undecided"
OUTCOMES = (SHOWN, REFUTED, UNDECIDED)  # of one comparison

HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold here"
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run"

SPACE = "\N{NO-BREAK SPACE}"
MIN_SEEDS = 3  # fewer say next to nothing about the spread over seeds
POWER = 0.8  # with which the number of seeds that is named would decide a comparison

RULES = f"""\
- **What is compared.** A number is measured on each run. Differences are taken between runs of
  the same seed, which share images, initial weights, order of images and mask draws, unless the
  test says otherwise.
- **Interval.** The {CONFIDENCE:.0%} t interval of the mean over seeds, with n - 1 degrees of
  freedom. With three seeds it extends 2.5 standard deviations to either side of the mean, and
  may exceed the possible range. Seeds 0 to {OWN_SUBJECTS - 1} share the subjects, so that their
  interval covers other trainings, not other images. All seeds share the test person.
- **Outcome of one comparison.** Each test names a range of values that supports the claim.
  *Shown*: the whole interval lies in this range. *Refuted*: the whole interval lies outside it.
  *Undecided*: the interval lies partly inside and partly outside.
- **Verdict.** All comparisons are shown: *{HOLDS}*. Some are shown: *{IN_PART}*. None is shown and
  some are refuted: *{DOES_NOT_HOLD}*. All are undecided: *{UNDECIDED}*, with the number n of seeds.
  A number cannot be measured, for example because a run ended in NaN: *{NOT_TESTABLE}*. A run that
  the test needs has fewer than {MIN_SEEDS} seeds: *{NOT_RUN}*. A comparison in parentheses
  does not count: it follows from the equations, or it is reported beside the test.
- **More seeds.** For an undecided comparison the page names the number of seeds that would decide
  it with a probability of {POWER:.0%}, if mean and standard deviation are what they seem to be.
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

    part: str  # what the number is; the same at every R
    unit: str  # of the number; empty for a pure number
    acceleration: float | None  # R; None where two are compared, and beyond MRI
    values: tuple[float, ...]  # one a seed, to be shown
    mean: float
    deviation: float  # standard deviation over seeds
    interval: tuple[float, float]  # of the mean
    outcome: str  # one of OUTCOMES
    region: tuple[float, float]  # the values between these two support the claim
    decides: bool = True  # whether it counts for the verdict
    detail: str = ""  # further facts, such as which slope was the best

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def place(self) -> str:
        """``R = 4``, or nothing without an acceleration."""
        return "" if self.acceleration is None else f"R = {self.acceleration:g}"


Findings = Iterator[Finding | str]  # what a test yields: comparisons, and sentences about them


@dataclass(frozen=True)
class Verdict:
    """The result of a claim's test."""

    claim: Claim
    verdict: str  # HOLDS, IN_PART, DOES_NOT_HOLD, UNDECIDED, NOT_TESTABLE or NOT_RUN
    sentences: tuple[str, ...]  # what was found, in words
    findings: tuple[Finding, ...] = ()  # none if the test was not run

    @property
    def counted(self) -> list[Finding]:
        """The findings that count for the verdict."""
        return [finding for finding in self.findings if finding.decides]

    @property
    def label(self) -> str:
        """The verdict; with the number of seeds if undecided, or how many parts of it hold."""
        return label(self.verdict, [(f.outcome, f.seeds) for f in self.counted])


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The interval of a difference of two means of independent numbers (Welch 1947)."""
    squares = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    mean, error = float(np.mean(first) - np.mean(second)), math.sqrt(sum(squares))
    if error == 0:
        return mean, mean
    freedom = [len(values) - 1 for values in (first, second)]
    degrees = error**4 / sum(v**2 / f for v, f in zip(squares, freedom, strict=True))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    return mean - half, mean + half


def seeds_to_decide(finding: Finding) -> float:
    """How many seeds decide a comparison with a probability of ``POWER``.

    Mean and deviation are taken for the true ones; the bound is the nearest of the region.
    Infinite if 1000 are not enough, if there is nothing to decide, or if the interval is of
    another kind than the t interval of the values.
    """
    if finding.interval != t_interval(finding.values):
        return math.inf
    distance = min(abs(finding.mean - bound) for bound in finding.region)
    n = np.arange(finding.seeds, 1001)
    # The t statistic of the distance from the bound has a noncentral t distribution.
    limit = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    power = stats.nct.sf(limit, n - 1, distance * np.sqrt(n) / finding.deviation)
    enough = n[power >= POWER]
    return float(enough[0]) if len(enough) else math.inf


def compare(
    part: str,
    unit: str,
    acceleration: float | None,
    values: Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    decides: bool = True,
    detail: str = "",
    interval: tuple[float, float] | None = None,
) -> Finding:
    """Compare the mean over seeds with the values that support a claim, low < value < high.

    The interval is the t interval, unless another is given.

    Raises:
        NotTestable: if a value is not finite.
    """
    if not np.isfinite(values).all():
        raise NotTestable(f"{part}: a run has no finite number")
    interval = interval or t_interval(values)
    return Finding(
        part=part,
        unit=unit,
        acceleration=acceleration,
        values=tuple(values),
        mean=float(np.mean(values)),
        deviation=float(np.std(values, ddof=1)),
        interval=interval,
        outcome=outcome_of(interval, low, high),
        region=(low, high),
        decides=decides,
        detail=detail,
    )


def outcome_of(interval: tuple[float, float], low: float, high: float) -> str:
    """The outcome of an interval: inside low < value < high, outside, or neither."""
    if low < interval[0] and interval[1] < high:
        return SHOWN
    return REFUTED if interval[1] <= low or high <= interval[0] else UNDECIDED


def number(value: float, digits: int = 3) -> str:
    """A number with significant digits, or all before the point."""
    is_whole = abs(value) >= 10**digits - 0.5
    return f"{value:.0f}" if is_whole else f"{value:.{digits}g}"


def requirement(low: float, high: float, unit: str) -> str:
    """Which values support a claim, in words; empty if all of them do."""
    bounds = number(low), number(high)
    unit = f" {unit}" * bool(unit)
    if math.isfinite(low) and math.isfinite(high):
        return f"between {bounds[0]} and {bounds[1]}{unit}"
    if math.isfinite(low):
        return f"above {bounds[0]}{unit}"
    return f"below {bounds[1]}{unit}" if math.isfinite(high) else ""


def label(verdict: str, counted: Sequence[tuple[str, int]]) -> str:
    """A verdict, with what a reader must know of the outcomes and seeds that count for it."""
    if verdict == UNDECIDED:
        seeds = f"(n = {' or '.join(map(str, sorted({n for _, n in counted})))})"
        return f"{verdict} {seeds.replace(' ', SPACE)}"
    if verdict == IN_PART:
        shown = sum(outcome == SHOWN for outcome, _ in counted)
        return f"{verdict} ({shown}{SPACE}of{SPACE}{len(counted)})"
    return verdict


def deciding(verdict: str, outcomes: Sequence[str]) -> int | None:
    """Which comparison to name beside a verdict: the first that has its outcome."""
    named = {HOLDS: SHOWN, IN_PART: SHOWN, DOES_NOT_HOLD: REFUTED, UNDECIDED: UNDECIDED}
    return list(outcomes).index(named[verdict]) if outcomes and verdict in named else None


def overall(outcomes: Sequence[str]) -> str:
    """The verdict on a claim from the outcomes of its comparisons (see ``RULES``)."""
    if SHOWN in outcomes:
        return HOLDS if set(outcomes) == {SHOWN} else IN_PART
    return DOES_NOT_HOLD if REFUTED in outcomes else UNDECIDED
