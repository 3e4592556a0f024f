"""Claim 2: both too low and too high a slope cost image quality (Fig. 3)."""

import dataclasses

from loupe_companion.claims.run_table import FIXED_SLOPES, Evidence, best, paired
from loupe_companion.claims.statistics import REFUTED, Claim, Finding, compare
from loupe_companion.results import RunResult

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
    methods=FIXED_SLOPES,
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 2 to its test."""
    findings, sentences = [], []
    for r in evidence.accelerations:
        grid = evidence.grid(r)
        peak = best(grid, RunResult.psnr)
        for part, name, end in (("a", "lowest", min(grid)), ("b", "highest", max(grid))):
            gain = compare(
                f"({part}) best minus {name} fixed s (dB)",
                r,
                paired(grid[peak], grid[end], RunResult.psnr),
                low=0,
                detail=f"s = {peak:g} minus s = {end:g}",
            )
            findings.append(gain if peak != end else dataclasses.replace(gain, outcome=REFUTED))
        below, above = findings[-2:]
        sentences.append(
            f"At R = {r:g} the best fixed slope is s = {peak:g}: {below.mean:.2f} dB above the "
            f"lowest ({below.outcome}), {above.mean:.2f} dB above the highest ({above.outcome})."
        )
    return findings, sentences
