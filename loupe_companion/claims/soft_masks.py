"""Claim 1: a low slope leaves masks that are not binary, a high slope nearly binary ones."""

import numpy as np

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Claim, Findings, compare

MANY, FEW = 0.10, 0.01  # fractions of the entries of M

CLAIM = Claim(
    number=1,
    title="Low slopes leave masks that are not binary",
    says="A low s leaves many entries of the training mask far from 0 and 1, which thresholding "
    "then changes; a high s makes them nearly binary (Fig. 2; for the probabilities, Fig. 4).",
    test=f"""\
At each R, over seeds:

1. the fraction of *probabilities* $P$ in (0.1, 0.9) is larger at the lowest fixed slope than at the
   highest. This decides, because thresholding acts on $P$.

Also reported, but not counted:

- the natural logarithm of the ratio of these two fractions is above 0. With few seeds, the interval
  of a difference of percentages includes impossible values; that of this logarithm does not. It was
  added when the results were known;
- at the lowest slope, the fraction of entries of $M$ in (0.05, 0.95), over 1000 draws, is above
  {MANY:.0%}; at the highest it is below {FEW:.0%}. This is the paper's own figure, but it follows
  from the equations. An entry of $M$ is between 0.05 and 0.95 where $|P - U| < \\ln(19)/s$, and
  $U$ is uniform. The fraction therefore lies between $\\ln(19)/s$ and $2\\ln(19)/s$ *whatever*
  was learned: between 15 and 29 % at s = 20, at most 0.012 % at s = 50000.""",
    short="entries of P between 0.1 and 0.9: lowest minus highest slope",
    known=True,
    families=("fixed slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 1 to its test."""
    for r in table.accelerations:
        grid = table.grid(r)
        ends = min(grid), max(grid)
        low, high = ([100 * run.soft_share for run in grid[s].values()] for s in ends)
        p_low, p_high = ([100 * run.undecided_share for run in grid[s].values()] for s in ends)
        lowest, highest = (f"s = {s:g}" for s in ends)
        part = "(1) entries of P between 0.1 and 0.9, lowest minus highest s"
        difference = np.subtract(p_low, p_high).tolist()  # of the same seeds
        yield compare(part, "percentage points", r, difference, low=0)
        if min(p_low + p_high) > 0:
            part = "(2) the same as ln of the ratio"
            ratio = np.log(np.divide(p_low, p_high)).tolist()
            yield compare(part, "", r, ratio, low=0, decides=False)
        part = "(3) entries of M between 0.05 and 0.95 at the lowest s"
        yield compare(part, "%", r, low, low=100 * MANY, decides=False, detail=lowest)
        part = "(4) the same at the highest s"
        yield compare(part, "%", r, high, high=100 * FEW, decides=False, detail=highest)
        yield (
            f"At R = {r:g}, {np.mean(p_low):.1f} % of the probabilities are between 0.1 and 0.9 "
            f"at {lowest}, and {np.mean(p_high):.1f} % at {highest}. Of the entries of M, "
            f"{np.mean(low):.1f} % and {np.mean(high):.2f} % are between 0.05 and 0.95."
        )
