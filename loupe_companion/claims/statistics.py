"""What a test found, and the verdict that follows from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold here"
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run"
VERDICTS = (HOLDS, IN_PART, DOES_NOT_HOLD, NOT_TESTABLE, NOT_RUN)

SHOWN, REFUTED, UNDECIDED = "shown", "refuted", "undecided"
OUTCOMES = (SHOWN, REFUTED, UNDECIDED)

MIN_SEEDS = 3  # below, a spread over seeds says next to nothing
CONFIDENCE = 0.95

RULES = f"""\
- **What is compared.** A number is measured on each run. Differences are taken between runs of
  the same seed: these share images, initial weights, order of images and mask draws.
- **Interval.** The {CONFIDENCE:.0%} t interval of the mean over seeds, n - 1 degrees of freedom.
  With three seeds it reaches 2.5 standard deviations to either side: wide, and rightly so. The
  bootstrap interval (percentile, 9999 resamples) stands beside it and decides nothing: with
  three seeds it is no more than their range.
- **Outcome of one comparison.** Each test names the values that would bear the claim out.
  *Shown*: the interval lies wholly among them. *Refuted*: it lies wholly outside. *Undecided*:
  it has a part in both.
- **Verdict.** Every comparison shown: *{HOLDS}*. Some shown: *{IN_PART}*. None shown and some
  refuted: *{DOES_NOT_HOLD}*. All undecided, or a number missing because a run ended in NaN:
  *{NOT_TESTABLE}*. Fewer than {MIN_SEEDS} seeds of any run that the test needs: *{NOT_RUN}*.
- **Runs with a warning** (a collapsed mask, a loss of NaN) count like all others: to collapse is
  a result. Where there are any among the runs of a test, it is computed a second time without
  those seeds, and both verdicts are given.
- **Many tests.** Nothing is corrected for their number: of twenty comparisons at
  {CONFIDENCE:.0%} one is expected to come out wrong.
"""


class NotRun(Exception):
    """Runs that a test needs are missing; the text says which."""


class NotTestable(Exception):
    """The runs are there and cannot answer; the text says why."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and the test it is put to.

    Attributes:
        number: of its row.
        title: a few words.
        says: what the paper says, in other words than the paper's.
        test: what is measured and what would bear the claim out; Markdown, fixed beforehand.
        short: the same in half a line, for the table of all claims.
        known: whether the test was written by someone who had seen results of the runs it uses.
        methods: the methods of the sweep that it needs, a regular expression of their names.
    """

    number: int
    title: str
    says: str
    test: str
    short: str
    known: bool
    methods: str = ""


@dataclass(frozen=True)
class Finding:
    """One comparison of a test: a number on each seed, and what it comes to.

    Attributes:
        part: what the number is, with its unit; the same at every R.
        acceleration: R; None where two are compared.
        values: one a seed; or a single one made of them all, which has no interval.
        seeds: how many.
        outcome: one of ``OUTCOMES``.
        region: (low, high), the values between which the claim is borne out.
        decides: whether it has a say in the verdict.
        detail: what part leaves open, such as which slope was the best.
    """

    part: str
    acceleration: float | None
    values: tuple[float, ...]
    seeds: int
    outcome: str
    region: tuple[float, float]
    decides: bool = True
    detail: str = ""

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

    @property
    def bootstrap(self) -> tuple[float, float]:
        """The percentile bootstrap interval of the mean, the same each time; likewise."""
        if len(self.values) < 2:
            return math.nan, math.nan
        found = stats.bootstrap(
            (self.values,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=0
        ).confidence_interval
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim: the claim.
        verdict: one of ``VERDICTS``.
        sentences: what was found, in words.
        findings: the comparisons behind it; none where the test was not run.
    """

    claim: Claim
    verdict: str
    sentences: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of the mean of two or more independent numbers (Student 1908)."""
    n = len(values)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def seeds_to_decide(finding: Finding) -> float:
    """How many seeds would end an undecided comparison, were mean and deviation to stay.

    Returns:
        That number; infinite if 1000 are not enough, or there is nothing to decide.
    """
    distance = min(abs(finding.mean - bound) for bound in finding.region)
    if not math.isfinite(distance) or math.isnan(finding.deviation):
        return math.inf
    n = np.arange(finding.seeds, 1001)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * finding.deviation / np.sqrt(n)
    enough = n[half < distance]
    return float(enough[0]) if len(enough) else math.inf


def compare(
    part: str,
    acceleration: float | None,
    values: Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    decides: bool = True,
    detail: str = "",
) -> Finding:
    """Compare the mean over seeds with what would bear a claim out, a value between two bounds.

    Args:
        part: what the number is, with its unit.
        acceleration: R.
        values: one a seed.
        low: lower bound, itself outside.
        high: upper bound, itself outside.
        decides: whether the outcome has a say in the verdict.
        detail: what ``part`` leaves open.

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
    return Finding(
        part, acceleration, tuple(values), len(values), outcome, (low, high), decides, detail
    )


def check_finite(part: str, values: Sequence[float]) -> None:
    """Raise NotTestable for a value that is NaN or infinite, naming what it is a value of."""
    if not np.isfinite(values).all():
        raise NotTestable(f"{part}: a run has no finite number")


def number(value: float, digits: int = 3) -> str:
    """So many digits, or all before the point; a hyphen for what does not exist."""
    if math.isnan(value):
        return "-"
    is_whole = abs(value) >= 10**digits - 0.5
    return f"{value:.0f}" if is_whole else f"{value:.{digits}g}"


def overall(outcomes: Sequence[str]) -> str:
    """The verdict on a claim from the outcomes of its comparisons (see ``RULES``)."""
    if SHOWN in outcomes:
        return HOLDS if set(outcomes) == {SHOWN} else IN_PART
    return DOES_NOT_HOLD if REFUTED in outcomes else NOT_TESTABLE
