"""Claim 8: the slope cannot be trained."""

import math

from loupe_lib.claims.verdict import Claim

GONE = math.log(3)  # below, every entry of M lies between 1/4 and 3/4 whatever P and U are

CLAIM = Claim(
    number=8,
    title="The slope cannot be trained",
    says="Were s a trainable parameter, training would drive it to 0, where the mask is "
    "1/2 everywhere and nothing is undersampled.",
    test=f"""\
With s a parameter of the same optimizer, at each R, over seeds:

1. *it falls*: s after the last epoch minus s after the first is below 0;
2. *to nothing*: s after the last epoch is below $\\ln 3 = {GONE:.2f}$. Since $|P - U| \\le 1$,
   every entry of $M$ then lies between 1/4 and 3/4, whatever was learned.

Where only the first is shown, s was on its way within the epochs that it had. The share of the
entries of $M$ near 1/2 is shown for the weights that were kept, those of the lowest loss of the
thresholded mask, which may be from any epoch.""",
    short="s after the last epoch minus s after the first; s after the last epoch",
    known=False,
)
