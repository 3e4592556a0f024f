"""Claim 7: patience, factor and initial slope of 4S are not critical."""

import math

import numpy as np
from scipy import stats

from loupe_companion.claims.run_table import RunTable, Seeds, common
from loupe_companion.claims.statistics import (
    REFUTED,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
    Findings,
    NotRun,
    check_finite,
)

LEVEL = 0.05  # of the F test
SETTINGS = {"p": "patience", "m": "factor", "initial s": "slope"}  # by the fields of RunConfig

CLAIM = Claim(
    number=7,
    title="p and m are not critical",
    says="The patience p and the factor m of 4S need no tuning: they only have to let s run "
    "through a broad enough range. (The paper says nothing about the initial slope; it is put to "
    "the same test.)",
    test=f"""\
One of p, m and the initial slope is changed at a time. For each of the three and each R: the
standard deviation of the test PSNR (thresholded mask) *over settings*, each the mean over seeds,
against that *over seeds* of one setting (root mean square over settings).

- *Shown*: the spread over settings is at most that over seeds: tuning the value gains no more
  than drawing another seed.
- *Refuted*: it is larger, and the settings differ by the F test of the two-way table (settings
  and seeds, additive) at the {LEVEL:.0%} level.
- *Undecided*: it is larger, and not significant by the F test.""",
    short="ratio of the spread of PSNR over settings to that over seeds, for p, m and initial s",
    known=False,
    families=("4S", "setting of 4S"),
)


def judge(table: RunTable) -> Findings:
    """Put claim 7 to its test."""
    for name in SETTINGS:
        for r in table.accelerations:
            runs = runs_by_value(table, r, name)
            seeds = common(*runs.values())
            psnr = np.array([[runs[value][seed].psnr() for seed in seeds] for value in runs])
            check_finite(name, psnr.ravel().tolist())
            ratio, probability = spread(psnr)
            outcome = SHOWN if ratio <= 1 else REFUTED if probability < LEVEL else UNDECIDED
            values = ", ".join(f"{value:g}" for value in runs)
            yield Finding(
                f"({name}) spread over its values, relative to that over seeds",
                r,
                (ratio,),
                len(seeds),
                outcome,
                (-math.inf, 1),
                detail=f"{values}; F test p = {probability:.2g}",
            )
            means = psnr.mean(axis=1)
            yield (
                f"At R = {r:g}, over {name} in {{{values}}} the PSNR has a standard deviation of "
                f"{np.std(means, ddof=1):.2f} dB ({means.min():.2f} to {means.max():.2f} dB), "
                f"{ratio:.2g} times that over seeds ({outcome})."
            )


def runs_by_value(table: RunTable, acceleration: float, name: str) -> dict[float, Seeds]:
    """The runs of 4S at one R by the value of one of ``SETTINGS``, rising."""
    field = SETTINGS[name]
    varied = [m.name for m in table.methods("setting of 4S") if field in m.changes]
    if not varied:
        raise NotRun(f"settings of {name} beside the profile's: none")
    runs = [table.runs(acceleration, method) for method in ("4S", *varied)]
    by_value = {getattr(next(iter(found.values())).config, field): found for found in runs}
    return dict(sorted(by_value.items()))


def spread(values: np.ndarray) -> tuple[float, float]:
    """Standard deviation of settings' means over that within settings; p value of the F test.

    Values are (settings, seeds), at least two of each; the test is that of the additive two-way
    table.
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
