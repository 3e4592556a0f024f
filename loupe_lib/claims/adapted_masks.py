"""Claim 4: 4S masks are nearly binary and adapted to the signal (Fig. 4)."""

from loupe_lib.claims.verdict import Claim

NEARLY_BINARY = 0.1  # of the budget 1/R

CLAIM = Claim(
    number=4,
    title="4S masks are binary and adapted to the signal",
    says="A mask trained at a low s is adapted to the images but not binary, one trained "
    "at a high s is binary but has lost the adaptation; the masks of 4S are both "
    "(Fig. 4).",
    test=f"""\
At each R, for 4S, over seeds:

1. *nearly binary*: the mean distance of $P$ from its own binarization $[P > 0.5]$, as a share of
   the budget 1/R, is below {NEARLY_BINARY:.0%}. It is 0 for a binary $P$ and 100 % where
   $P = 1/R$ throughout;
2. *adapted, energy*: the share of the energy of the test images' k-space that the exact-budget
   mask (the $N^2/R$ largest $P$) takes, minus that of random masks of as many samples (mean of
   100), is above 0. DC is left out: one sample, and most of the energy;
3. *adapted, shape*: the rank correlation (Spearman) of $P$ with the mean power spectrum of the
   training images, minus that at the highest fixed slope, paired by seed, is above 0.""",
    short="distance of P from binary, as a share of 1/R; energy against random masks; "
    "correlation with the spectrum against the highest slope",
    known=False,
)
