"""What a test found, and the verdict that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    number: int
    title: str
    says: str
    test: str
    short: str
    known: bool


def overall(outcomes: Sequence[str]) -> str:
    """The verdict on a claim from the outcomes of its comparisons (see ``RULES``)."""
    if SHOWN in outcomes:
        return HOLDS if set(outcomes) == {SHOWN} else IN_PART
    return DOES_NOT_HOLD if REFUTED in outcomes else NOT_TESTABLE
