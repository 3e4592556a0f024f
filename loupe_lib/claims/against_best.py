"""Claim 3: 4S is at least as good as the best fixed slope, without tuning (Fig. 3)."""

from loupe_lib.claims.evidence import FIXED_SLOPES, Evidence, best, paired, validation_quality
from loupe_lib.claims.verdict import Claim, Finding, NotRun, NotTestable, compare
from loupe_lib.results import RunResult

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
    arms=f"{FIXED_SLOPES}|4S",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 3 to its test, and beside it the choice by test PSNR and the released reading."""
    findings, sentences = [], []
    for r in evidence.accelerations:
        grid = evidence.grid(r)
        slopes = {
            "by validation": best(grid, validation_quality),
            "by test": best(grid, RunResult.psnr),
        }
        readings = {"4S": evidence.runs(r, "4S")}
        try:
            readings["released 4S"] = evidence.runs(r, "4S released")
        except NotRun:
            sentences.append(f"At R = {r:g} the released reading was not run.")
        for reading, runs in readings.items():
            for choice, slope in slopes.items():
                decides = (reading, choice) == ("4S", "by validation")
                try:
                    found = compare(
                        f"{reading} minus best fixed s {choice} (dB)",
                        r,
                        paired(runs, grid[slope], RunResult.psnr),
                        low=-MARGIN,
                        decides=decides,
                        detail=f"s = {slope:g}",
                    )
                except (NotRun, NotTestable) as error:
                    if decides:
                        raise
                    sentences.append(f"At R = {r:g} there is no such comparison: {error}.")
                    continue
                findings.append(found)
                side = "above" if found.mean > 0 else "below"
                sentences.append(
                    f"At R = {r:g} {reading} is {abs(found.mean):.2f} dB {side} s = {slope:g}, the "
                    f"best {choice}; that it is no worse than the margin is {found.outcome}."
                )
    return findings, sentences
