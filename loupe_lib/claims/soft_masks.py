"""Claim 1: a low slope leaves soft masks, a high slope nearly binary ones (Fig. 2)."""

from loupe_lib.claims.verdict import Claim

MANY, FEW = 0.10, 0.01  # shares of the entries of M

CLAIM = Claim(
    number=1,
    title="Low slopes leave soft masks",
    says="A low s leaves many entries of the training mask far from 0 and 1, which "
    "thresholding then changes; a high s makes them nearly binary (Fig. 2; for the "
    "probabilities, Fig. 4).",
    test=f"""\
At each R, over seeds:

1. at the lowest fixed slope, the share of entries of $M$ in (0.05, 0.95), over 1000 draws, is
   above {MANY:.0%}; at the highest it is below {FEW:.0%};
2. the share of *probabilities* $P$ in (0.1, 0.9) is larger at the lowest slope than at the
   highest.

The first is the paper's own figure, and says little: an entry of $M$ is soft where $|P - U| <
\\ln(19)/s$, and $U$ is uniform, so the share lies between $\\ln(19)/s$ and $2\\ln(19)/s$
*whatever* was learned: between 15 and 29 % at s = 20, at most 0.012 % at s = 50000. Only the
second can come out either way: it is on $P$ that thresholding acts.""",
    short="soft share of M by slope; undecided share of P, lowest minus highest slope",
    known=True,
)
