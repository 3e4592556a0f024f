"""Claim 3: 4S is at least as good as the best fixed slope, without tuning (Fig. 3)."""

from loupe_lib.claims.verdict import Claim

MARGIN = 0.5  # dB

CLAIM = Claim(
    number=3,
    title="4S is as good as the best fixed slope",
    says="Without any tuning, 4S reaches at least the PSNR of the best fixed s, at R = 4 "
    "and at R = 8.",
    test=f"""\
At each R, the best fixed slope is the one with the lowest validation loss, mean over seeds: what
somebody who tunes s can see. The test PSNR (thresholded mask) of 4S minus that of this slope,
paired by seed, is above -{MARGIN:g} dB (non-inferiority). The margin is about half of what
another seed changes, roughly 1 dB: no tuner could see less in one training of each slope.

Beside it, without a say in the verdict: the same against the slope that is best by *test* PSNR,
which nobody can choose beforehand and which favours the fixed slopes; and both comparisons for
4S as the authors released it, which watches the soft validation loss and not the loss of the
thresholded mask.""",
    short="PSNR of 4S minus that of the slope with the best validation loss (dB), "
    f"margin -{MARGIN:g} dB",
    known=True,
)
