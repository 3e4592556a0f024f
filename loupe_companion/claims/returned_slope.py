"""Claim 5: the slope that 4S returns depends on R."""

import math

import numpy as np

from loupe_companion.claims.run_table import RunTable, paired
from loupe_companion.claims.statistics import (
    REFUTED,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
    Findings,
    NotTestable,
    number,
    t_interval,
)

PAPER = {4.0: 18800.0, 8.0: 1675.0}  # by R, one seed each (Fig. 3)

CLAIM = Claim(
    number=5,
    title="The returned slope differs with R",
    says=f"4S ends at a different slope for each problem: {PAPER[4]:.0f} at R = 4, {PAPER[8]:.0f} "
    "at R = 8 (one seed each).",
    test="""\
The natural logarithm of the slope returned at the lowest R minus that at the highest, paired by
seed. *Shown*: the interval excludes 0. *Refuted*: the interval lies within one raise either way,
between $-\\ln m$ and $\\ln m$, so that R makes no relevant difference. The sign is not tested: the
paper gives no reason for it.""",
    short="ln of the slope at the lowest R minus ln of that at the highest",
    known=True,
    families=("4S",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 5 to its test."""
    if len(table.accelerations) < 2:
        raise NotTestable("it needs two accelerations")
    low, *_, high = table.accelerations
    runs = {r: table.runs(r, "4S") for r in (low, high)}
    values = paired(runs[low], runs[high], lambda run: math.log(run.slope))
    lowest, highest = t_interval(values)
    one_raise = math.log(next(iter(runs[low].values())).config.factor)
    outcome = UNDECIDED
    if lowest > 0 or highest < 0:
        outcome = SHOWN
    elif -one_raise < lowest and highest < one_raise:
        outcome = REFUTED
    part = f"ln s at R = {low:g} minus ln s at R = {high:g}"
    everywhere = (-math.inf, math.inf)  # either sign supports the claim
    yield Finding(part, None, tuple(values), len(values), outcome, everywhere)
    for r, seeds in runs.items():
        slopes = ", ".join(f"{s:.0f}" for s in sorted(run.slope for run in seeds.values()))
        yield f"At R = {r:g} 4S returned s = {slopes}."
    mean, lower, upper = (number(math.exp(x)) for x in (np.mean(values), lowest, highest))
    yield (
        f"The ratio of the two slopes (geometric mean over seeds) is {mean}, with an interval of "
        f"{lower} to {upper}. The paper's is {PAPER[4] / PAPER[8]:.1f}."
    )
