"""Claim 8: the slope cannot be trained."""

import math

import numpy as np

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Claim, Findings, compare, number

GONE = math.log(3)  # below, every entry of M lies between 1/4 and 3/4 whatever P and U are

CLAIM = Claim(
    number=8,
    title="The slope cannot be trained",
    says="If s were a trainable parameter, training would drive it to 0, where the mask is "
    "1/2 everywhere and nothing is undersampled.",
    test=f"""\
With s a parameter of the same optimizer (its logarithm, so that it stays positive and Adam
changes it by relative steps), from s = 200, at each R, over seeds:

1. *it falls*: ln s after the last epoch minus ln s after the first is below 0;
2. *to nothing*: ln s after the last epoch is below $\\ln(\\ln 3) = {math.log(GONE):.3f}$, which is
   s = {GONE:.2f}. Since $|P - U| \\le 1$, every entry of $M$ then lies between 1/4 and 3/4,
   whatever was learned.

The fraction of the entries of $M$ near 1/2 is given for the kept weights, those of the lowest loss
of the thresholded mask, which may be from any epoch.""",
    short="ln s after the last epoch minus ln s after the first; ln s after the last epoch",
    known=True,
    families=("trained slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 8 to its test."""
    for r in table.accelerations:
        runs = table.runs(r, "trained-slope").values()
        paths = [run.history["slope"] for run in runs]
        first, last = np.log([path[0] for path in paths]), np.log([path[-1] for path in paths])
        part = "(1) ln s, last minus first epoch"
        yield compare(part, "", r, (last - first).tolist(), high=0)
        part = "(2) ln s after the last epoch"
        yield compare(part, "", r, last.tolist(), high=math.log(GONE))
        near = np.mean([near_half(run.histogram) for run in runs])
        lowest = [number(min(path)) for path in paths]
        ends = [number(path[-1]) for path in paths]
        gone = sum(path[-1] < GONE for path in paths)
        yield (
            f"At R = {r:g}, the slopes fall from {number(float(np.exp(first).mean()))} after the "
            f"first epoch to a lowest value of {', '.join(lowest)} (one for each seed), and end at "
            f"{', '.join(ends)}. {gone} of {len(paths)} end below {GONE:.2f}. "
            f"{near:.1%} of the entries of M of the kept weights lie between 1/4 and 3/4."
        )


def near_half(histogram: np.ndarray) -> float:
    """Fraction of the entries of M in the bins that lie wholly between 1/4 and 3/4."""
    edges = np.linspace(0, 1, len(histogram) + 1)
    return float(histogram[(edges[:-1] >= 0.25) & (edges[1:] <= 0.75)].sum())
