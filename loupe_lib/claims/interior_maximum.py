"""Claim 2: both too low and too high a slope cost image quality (Fig. 3)."""

from loupe_lib.claims.verdict import Claim

CLAIM = Claim(
    number=2,
    title="Too low and too high a slope both cost",
    says="Test PSNR against s has a maximum inside the range of slopes: a mask that "
    "thresholding changes costs at the low end, a vanishing gradient at the high end "
    "(Fig. 3).",
    test="""\
At each R, the best fixed slope is that of the highest mean test PSNR (thresholded mask). Its
PSNR minus that of the lowest slope, and minus that of the highest, each paired by seed, is above
0 dB. Where the best slope *is* the lowest or the highest, that comparison is refuted. Choosing
the best by the number that is then compared favours the claim a little.""",
    short="PSNR of the best fixed slope minus that of the lowest, and of the highest (dB)",
    known=True,
)
