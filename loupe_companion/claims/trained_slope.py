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
changes it by relative steps), from where 4S starts, at each R, over seeds:

1. *it falls*: s after the last epoch minus s after the first is below 0;
2. *to nothing*: s after the last epoch is below $\\ln 3 = {GONE:.2f}$. Since $|P - U| \\le 1$,
   every entry of $M$ then lies between 1/4 and 3/4, whatever was learned.

If only the first is shown, s was still falling when training ended. The fraction of the entries of
$M$ near 1/2 is given for the kept weights, those of the lowest loss of the thresholded mask, which
may be from any epoch.""",
    short="s after the last epoch minus s after the first; s after the last epoch",
    known=False,
    families=("trained slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 8 to its test."""
    for r in table.accelerations:
        runs = table.runs(r, "trained-slope").values()
        first, last = np.transpose([run.history["slope"][[0, -1]] for run in runs]).astype(float)
        yield compare("(1) s, last minus first epoch", r, (last - first).tolist(), high=0)
        yield compare("(2) s after the last epoch", r, last.tolist(), high=GONE)
        near = np.mean([near_half(run.histogram) for run in runs])
        yield (
            f"At R = {r:g}, s after the first epoch is {number(first.mean())} (mean over seeds), "
            f"and after the last {', '.join(map(number, sorted(last)))} (one value a seed). "
            f"{near:.1%} of the entries of M of the kept weights lie between 1/4 and 3/4."
        )


def near_half(histogram: np.ndarray) -> float:
    """Fraction of the entries of M in the bins that lie wholly between 1/4 and 3/4."""
    edges = np.linspace(0, 1, len(histogram) + 1)
    return float(histogram[(edges[:-1] >= 0.25) & (edges[1:] <= 0.75)].sum())
