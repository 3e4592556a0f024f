"""Claim 7: patience, factor and initial slope of 4S are not critical."""

from loupe_lib.claims.verdict import Claim

LEVEL = 0.05  # of the F test

CLAIM = Claim(
    number=7,
    title="p and m are not critical",
    says="The patience p and the factor m of 4S need no tuning: they only have to let s "
    "run through a broad enough range. (Of the initial slope the paper says nothing; "
    "it is put to the same test.)",
    test=f"""\
One of p, m and the initial slope is changed at a time. For each of the three and each R: the
standard deviation of the test PSNR (thresholded mask) *over settings*, each the mean over seeds,
against that *over seeds* of one setting (root mean square over settings).

- *Shown*: the spread over settings is at most that over seeds: whoever tunes the value gains no
  more than by drawing another seed.
- *Refuted*: it is larger, and the settings differ by the F test of the two-way table (settings
  and seeds, additive) at the {LEVEL:.0%} level.
- *Undecided*: it is larger, and the F test cannot tell it from chance.""",
    short="spread of PSNR over settings over that over seeds, for p, m and initial s",
    known=False,
)
