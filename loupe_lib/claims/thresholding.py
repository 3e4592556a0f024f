"""Claim 6: thresholding costs much at a low slope and nothing under 4S."""

from loupe_lib.claims.verdict import Claim

MUCH, NOTHING = 1.0, 0.1  # dB
LEAST, MOST = 0.9, 1.1  # samples, relative to the budget N*N/R

CLAIM = Claim(
    number=6,
    title="Thresholding costs much at low s, nothing under 4S",
    says="At a low s thresholding changes the mask that the decoder was trained on, and "
    "that costs quality; 4S fossilizes the mask, and the cost goes.",
    test=f"""\
The cost is the test PSNR with relaxed random masks, as in training, minus that with the
thresholded mask of the same run. At each R, over seeds:

1. at the lowest fixed slope the cost is above {MUCH:g} dB;
2. under 4S it is below {NOTHING:g} dB, which no eye sees (a thresholded mask that does *better*
   than the random ones passes);
3. under 4S thresholding keeps the budget: the number of samples over $N^2/R$ lies between {LEAST:g}
   and {MOST:g}.""",
    short="PSNR, relaxed minus thresholded (dB), at the lowest slope and under 4S; samples "
    "over budget",
    known=True,
)
