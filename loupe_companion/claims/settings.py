"""Claim 7: patience and factor of 4S are not critical."""

import functools
import math
from typing import Any

import numpy as np
from scipy import stats

from loupe_companion.claims.run_table import RunTable, Seeds, common
from loupe_companion.claims.statistics import Claim, Findings, NotRun, compare, outcome_of
from loupe_companion.methods import FROM_200
from loupe_companion.tables import CONFIDENCE, t_interval

MARGIN = 0.5  # dB
# The fields of RunConfig by symbol; those of the paper's claim come first.
SETTINGS = {"p": "patience", "m": "factor", "initial s": "slope"}

CLAIM = Claim(
    number=7,
    title="p and m are not critical",
    says="The patience p and the factor m of 4S need no tuning: they only have to let s run "
    "through a broad enough range.",
    test=f"""\
One of p and m is changed at a time, with 4S from s = 200. At each R, all pairs of values of p are
compared, and all pairs of values of m, by the difference of their test PSNR (thresholded mask). The
intervals are Tukey's, which hold for all pairs at once ({CONFIDENCE:.0%}), from the two-way table
of values and seeds without interaction.

- *Shown*: all intervals lie within ± {MARGIN:g} dB, so that the values are equivalent.
- *Refuted*: at least one interval lies outside.
- *Undecided*: neither.

All intervals have the same width, so the pair with the largest difference decides; the table shows
it. If 4S hardly raises s, a run is practically one with a fixed slope. The highest slope that was
reached is therefore given for each value, and the largest difference without the longest patience.
The paper says nothing about the slope from which 4S starts. It is compared in the same way, but
not counted.""",
    short="PSNR of one value of p, or of m, minus that of another: the pair that differs most",
    known=True,
    families=("4S", "setting of 4S"),
)


def judge(table: RunTable) -> Findings:
    """Put claim 7 to its test."""
    for name in SETTINGS:
        for r in table.accelerations:
            runs = runs_by_value(table, r, name)
            seeds = common(*runs.values())
            psnr = np.array([[found[seed].psnr() for seed in seeds] for found in runs.values()])
            values, means = list(runs), psnr.mean(axis=1)
            low, high, interval = _largest(psnr)
            gains = (psnr[high] - psnr[low]).tolist()
            part = f"largest difference between two values of {name}"
            detail = f"{values[high]:g} minus {values[low]:g}"
            counts = name != "initial s"
            yield compare(part, "dB", r, gains, -MARGIN, MARGIN, counts, detail, interval)
            paired = t_interval(gains)
            listed = ", ".join(f"{m:.2f} ({v:g})" for v, m in zip(values, means, strict=True))
            reached = ", ".join(
                f"{np.mean([run.history['slope'].max() for run in found.values()]):.0f} ({value:g})"
                for value, found in runs.items()
            )
            yield (
                f"At R = {r:g}, the mean PSNR in dB by {name} is {listed}. The highest slope that "
                f"4S reached on the way is {reached}, mean over seeds. The paired t interval of "
                f"the largest difference alone is {paired[0]:.2f} to {paired[1]:.2f} dB "
                f"({outcome_of(paired, -MARGIN, MARGIN)})."
            )
            if name == "p" and len(values) > 2:  # the values rise
                low, high, interval = _largest(psnr[:-1])
                yield (
                    f"Without p = {values[-1]:g}, the largest difference at R = {r:g} is that of p "
                    f"= {values[high]:g} minus {values[low]:g}, with an interval of "
                    f"{interval[0]:.2f} to {interval[1]:.2f} dB "
                    f"({outcome_of(interval, -MARGIN, MARGIN)})."
                )


def _largest(psnr: np.ndarray) -> tuple[int, int, tuple[float, float]]:
    """Of (settings, seeds): the rows of the lowest and highest mean, and Tukey's interval."""
    means = psnr.mean(axis=1)
    low, high = int(means.argmin()), int(means.argmax())
    gain, half = float(means[high] - means[low]), tukey(psnr)
    return low, high, (gain - half, gain + half)


def tukey(values: np.ndarray) -> float:
    """Half the width of Tukey's simultaneous intervals of all differences between rows.

    Values are (settings, seeds), at least two of each, without interaction between them.
    """
    k, n = values.shape
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    degrees = (k - 1) * (n - 1)
    variance = np.square(residual).sum() / degrees
    return _studentized_range(k, degrees) * math.sqrt(variance / n)


@functools.cache  # which takes a tenth of a second
def _studentized_range(k: int, degrees: int) -> float:
    return float(stats.studentized_range.ppf(CONFIDENCE, k, degrees))


def runs_by_value(table: RunTable, acceleration: float, name: str) -> dict[float, Seeds]:
    """The runs of 4S at one R by the value of one of ``SETTINGS``, rising."""
    field = SETTINGS[name]

    def others(changes: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in changes.items() if key != field}

    methods = table.methods("4S", "setting of 4S")
    found = [method for method in methods if others(method.changes) == others(FROM_200)]
    if len(found) < 2:
        raise NotRun(f"values of {name}: {len(found)} of at least 2")
    runs = [table.runs(acceleration, method.name) for method in found]
    by_value = {getattr(next(iter(each.values())).config, field): each for each in runs}
    return dict(sorted(by_value.items()))
