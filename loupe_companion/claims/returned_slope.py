"""Claim 5: the slope that 4S returns depends on R."""

import contextlib
import math

import numpy as np

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import (
    REFUTED,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
    Findings,
    NotRun,
    NotTestable,
    number,
    welch_interval,
)
from loupe_companion.methods import PAPER_RETURNED

CLAIM = Claim(
    number=5,
    title="The returned slope differs with R",
    says="4S ends at a different slope for each problem: "
    f"{PAPER_RETURNED[4]:.0f} at R = 4, {PAPER_RETURNED[8]:.0f} at R = 8 (one value each).",
    test="""\
The natural logarithm of the slope returned at the lowest R minus that at the highest: the
difference of two means over seeds. It is not paired, because the slopes of one seed at the two R
are not alike. The interval is that of Welch. *Shown*: it excludes 0. *Refuted*: it lies between
$-\\ln m$ and $\\ln m$, so that the two slopes differ by less than one raise. The sign
is not tested: the paper gives no reason for it.""",
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
    first, second = ([math.log(run.slope) for run in seeds.values()] for seeds in runs.values())
    difference = float(np.mean(first) - np.mean(second))
    interval = welch_interval(first, second)
    one_raise = math.log(next(iter(runs[low].values())).config.factor)
    outcome = UNDECIDED
    if interval[0] > 0 or interval[1] < 0:
        outcome = SHOWN
    elif -one_raise < interval[0] and interval[1] < one_raise:
        outcome = REFUTED
    yield Finding(
        part=f"ln s at R = {low:g} minus ln s at R = {high:g}",
        unit="",
        acceleration=None,
        values=tuple(np.subtract(first, np.mean(second)).tolist()),
        mean=difference,
        deviation=math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2),
        interval=interval,
        outcome=outcome,
        region=(-math.inf, math.inf),  # either sign supports the claim
    )
    for r, seeds in runs.items():
        slopes = ", ".join(f"{s:.0f}" for s in sorted(run.slope for run in seeds.values()))
        yield f"At R = {r:g} 4S returned s = {slopes}."
    ratio, lower, upper = (number(math.exp(x)) for x in (difference, *interval))
    yield (
        f"The ratio of the two slopes (geometric mean over seeds) is {ratio}, with an interval of "
        f"{lower} to {upper}. The paper's is {PAPER_RETURNED[4] / PAPER_RETURNED[8]:.1f}."
    )
    yield from _other_settings(table, low, high)


def _other_settings(table: RunTable, low: float, high: float) -> Findings:
    """How much the returned slope depends on R, and how much on the settings of 4S."""
    means: dict[str, list[float]] = {}
    for method in table.methods("4S", "setting of 4S"):
        with contextlib.suppress(NotRun):
            means[method.name] = [
                float(np.mean([math.log(run.slope) for run in table.runs(r, method.name).values()]))
                for r in (low, high)
            ]
    if len(means) > 1:
        ratios = [math.exp(first - second) for first, second in means.values()]
        across = math.exp(np.ptp([first for first, _ in means.values()]))
        yield (
            f"Over {len(means)} settings of p, m and the initial slope, the ratio lies between "
            f"{number(min(ratios), 2)} and {number(max(ratios), 2)}. At R = {low:g} the returned "
            f"slope differs between these settings by up to a factor of {number(across, 2)}."
            + " It depends on them more than on R."
            * (across > max(*ratios, 1 / min(ratios)))
        )
