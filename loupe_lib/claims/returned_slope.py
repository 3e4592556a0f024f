"""Claim 5: the slope that 4S returns depends on R."""

from loupe_lib.claims.verdict import Claim

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
)
