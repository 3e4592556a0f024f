"""Claim 7: patience, factor and initial slope of 4S are not critical."""

import math

import numpy as np
from scipy import stats

from loupe_companion.claims.run_table import Evidence, common
from loupe_companion.claims.statistics import (
    REFUTED,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
    NotRun,
    check_finite,
)

LEVEL = 0.05  # of the F test
# Names of the methods in which it alone is changed; "4S" itself has the setting of the others.
SETTINGS = {"p": r"4S p=\S+", "m": r"4S m=\S+", "initial s": r"4S s0=\S+"}
FIELDS = {"p": "patience", "m": "factor", "initial s": "slope"}

CLAIM = Claim(
    number=7,
    title="p and m are not critical",
    says="The patience p and the factor m of 4S need no tuning: they only have to let s "
    "run through a broad enough range. (Of the initial slope the paper says nothing; "
    "it is put to the same test.)",
    test=f"""\
One of p, m and the initial slope is changed at a time. For each of the three and each R: the
standard deviation of the test PSNR (thresholded mask) *over settings*, each the mean over seeds,
against that *over seeds* of one setting (root mean square over settings).

- *Shown*: the spread over settings is at most that over seeds: whoever tunes the value gains no
  more than by drawing another seed.
- *Refuted*: it is larger, and the settings differ by the F test of the two-way table (settings
  and seeds, additive) at the {LEVEL:.0%} level.
- *Undecided*: it is larger, and the F test cannot tell it from chance.""",
    short="spread of PSNR over settings over that over seeds, for p, m and initial s",
    known=False,
    methods="4S|" + "|".join(SETTINGS.values()),
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 7 to its test."""
    findings, sentences = [], []
    for name, pattern in SETTINGS.items():
        for r in evidence.accelerations:
            methods = evidence.methods(f"4S|{pattern}")
            if len(methods) < 2:
                raise NotRun(f"settings of {name} beside the profile's: none")
            found = [evidence.runs(r, method.name) for method in methods]
            runs = {getattr(next(iter(f.values())).config, FIELDS[name]): f for f in found}
            seeds = common(*runs.values())
            psnr = np.array([[runs[value][s].psnr() for s in seeds] for value in sorted(runs)])
            check_finite(name, psnr.ravel().tolist())
            ratio, probability = spread(psnr)
            outcome = SHOWN if ratio <= 1 else REFUTED if probability < LEVEL else UNDECIDED
            values = ", ".join(f"{value:g}" for value in sorted(runs))
            findings.append(
                Finding(
                    f"({name}) spread over its values, by that over seeds",
                    r,
                    (ratio,),
                    len(seeds),
                    outcome,
                    (-math.inf, 1),
                    detail=f"{values}; F test p = {probability:.2g}",
                )
            )
            means = psnr.mean(axis=1)
            sentences.append(
                f"At R = {r:g}, over {name} in {{{values}}} the PSNR spreads by "
                f"{np.std(means, ddof=1):.2f} dB ({means.min():.2f} to {means.max():.2f} dB), "
                f"{ratio:.2g} times its spread over seeds ({outcome})."
            )
    return findings, sentences


def spread(values: np.ndarray) -> tuple[float, float]:
    """The spread over settings against that over seeds.

    Args:
        values: (settings, seeds), at least two of each.

    Returns:
        The standard deviation of the settings' means over that within settings (root mean
        square); and the probability, by the F test of the additive two-way table, of means as far
        apart if no setting mattered.
    """
    k, n = values.shape
    means = values.mean(axis=1, keepdims=True)
    if np.ptp(means) == 0:
        return 0.0, 1.0
    residual = values - means - values.mean(axis=0) + values.mean()
    with np.errstate(divide="ignore"):  # infinite where the seeds agree to the last digit
        ratio = means.std(ddof=1) / np.sqrt(values.var(axis=1, ddof=1).mean())
        f = n * means.var(ddof=1) * (k - 1) * (n - 1) / np.square(residual).sum()
    return float(ratio), float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
