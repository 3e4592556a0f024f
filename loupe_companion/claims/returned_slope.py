"""Claim 5: the slope that 4S returns depends on R."""

import dataclasses
import math

from loupe_companion.claims.run_table import Evidence, paired
from loupe_companion.claims.statistics import (
    REFUTED,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
    NotTestable,
    compare,
    number,
)

EVERYWHERE = (-math.inf, math.inf)

CLAIM = Claim(
    number=5,
    title="The returned slope differs with R",
    says="4S ends at a slope of its own for each problem: 18800 at R = 4, 1675 at R = 8 "
    "(one seed each).",
    test="""\
The natural logarithm of the slope returned at the lowest R minus that at the highest, paired by
seed. *Shown*: the interval leaves out 0. *Refuted*: it lies within one raise either way, between
$-\\ln m$ and $\\ln m$, so that R changes nothing of note. The sign is not tested: the paper
gives no reason for it.""",
    short="ln of the slope at the lowest R minus ln of that at the highest",
    known=True,
    methods="4S",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 5 to its test."""
    if len(evidence.accelerations) < 2:
        raise NotTestable("it needs two accelerations")
    low, *_, high = evidence.accelerations
    runs = {r: evidence.runs(r, "4S") for r in (low, high)}
    raise_ = math.log(next(iter(runs[low].values())).config.factor)
    values = paired(runs[low], runs[high], lambda run: math.log(run.slope))
    part = f"ln s at R = {low:g} minus ln s at R = {high:g}"
    found = compare(part, None, values, low=-raise_, high=raise_)
    # The bounds were those of no difference; which values bear the claim out, no bounds can say.
    lowest, highest = found.interval
    if lowest > 0 or highest < 0:
        outcome = SHOWN
    else:
        outcome = REFUTED if found.outcome == SHOWN else UNDECIDED
    slopes = {r: sorted(run.slope for run in runs[r].values()) for r in runs}
    sentences = [
        f"At R = {r:g} 4S returned s = {', '.join(f'{s:.0f}' for s in slopes[r])}." for r in runs
    ]
    sentences.append(
        f"The ratio of the two, a geometric mean over seeds, is {number(math.exp(found.mean))}; "
        f"the interval reaches from {number(math.exp(lowest))} to {number(math.exp(highest))}. "
        f"The paper's is {18800 / 1675:.1f}."
    )
    return [dataclasses.replace(found, outcome=outcome, region=EVERYWHERE)], sentences
