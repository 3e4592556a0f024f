"""Claim 8: the slope cannot be trained."""

import math

import numpy as np

from loupe_companion.claims.run_table import Evidence
from loupe_companion.claims.statistics import Claim, Finding, compare, number

GONE = math.log(3)  # below, every entry of M lies between 1/4 and 3/4 whatever P and U are

CLAIM = Claim(
    number=8,
    title="The slope cannot be trained",
    says="Were s a trainable parameter, training would drive it to 0, where the mask is "
    "1/2 everywhere and nothing is undersampled.",
    test=f"""\
With s a parameter of the same optimizer (its logarithm, so that it stays positive and steps of
Adam change it by a share), from where 4S starts, at each R, over seeds:

1. *it falls*: s after the last epoch minus s after the first is below 0;
2. *to nothing*: s after the last epoch is below $\\ln 3 = {GONE:.2f}$. Since $|P - U| \\le 1$,
   every entry of $M$ then lies between 1/4 and 3/4, whatever was learned.

Where only the first is shown, s was on its way within the epochs that it had. The share of the
entries of $M$ near 1/2 is shown for the weights that were kept, those of the lowest loss of the
thresholded mask, which may be from any epoch.""",
    short="s after the last epoch minus s after the first; s after the last epoch",
    known=False,
    methods="trained-slope",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 8 to its test."""
    findings, sentences = [], []
    for r in evidence.accelerations:
        runs = evidence.runs(r, "trained-slope").values()
        last = [float(run.history["slope"][-1]) for run in runs]
        fall = [float(run.history["slope"][-1] - run.history["slope"][0]) for run in runs]
        findings += [
            compare("(1) s, last minus first epoch", r, fall, high=0),
            compare("(2) s after the last epoch", r, last, high=GONE),
        ]
        near = np.mean([near_half(run.histogram) for run in runs])
        first = np.subtract(last, fall).mean()
        sentences.append(
            f"At R = {r:g} s was {number(first)} after the first epoch, a mean over seeds, and "
            f"{', '.join(map(number, sorted(last)))} after the last, one a seed; of the entries of "
            f"M of the kept weights {near:.1%} lie within a quarter of 1/2."
        )
    return findings, sentences


def near_half(histogram: np.ndarray) -> float:
    """Share of the entries of M in the bins that lie wholly between 1/4 and 3/4."""
    edges = np.linspace(0, 1, len(histogram) + 1)
    return float(histogram[(edges[:-1] >= 0.25) & (edges[1:] <= 0.75)].sum())
