"""Claim 3: 4S is at least as good as the best fixed slope, without tuning (Fig. 3)."""

from loupe_companion.claims.run_table import (
    FIXED_SLOPES,
    Evidence,
    best,
    paired,
    validation_quality,
)
from loupe_companion.claims.statistics import Claim, Finding, NotRun, NotTestable, compare
from loupe_companion.profiles import Profile
from loupe_companion.results import RunResult

MARGIN = 0.5  # dB
TUNED = "by validation"

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
which nobody can choose beforehand and which favours the fixed slopes; both comparisons for
4S as the authors released it, which watches the soft validation loss and not the loss of the
thresholded mask; and 4S from lower initial slopes ("s0"), added when the runs of claim 7 had been
seen.""",
    short="PSNR of 4S minus that of the slope with the best validation loss (dB), "
    f"margin -{MARGIN:g} dB",
    known=True,
    methods=f"{FIXED_SLOPES}|4S",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 3 to its test, and beside it what has no say in it."""
    findings, sentences = [], []
    for r in evidence.accelerations:
        grid = evidence.grid(r)
        slopes = {TUNED: best(grid, validation_quality), "by test": best(grid, RunResult.psnr)}
        compared = [(name, choice) for name in ("4S", "4S released") for choice in slopes]
        compared += [(name, TUNED) for name in lower_starts(evidence.profile)]
        for name, choice in compared:
            decides = (name, choice) == ("4S", TUNED)
            slope = slopes[choice]
            try:
                found = compare(
                    f"{name} minus best fixed s {choice} (dB)",
                    r,
                    paired(evidence.runs(r, name), grid[slope], RunResult.psnr),
                    low=-MARGIN,
                    decides=decides,
                    detail=f"s = {slope:g}",
                )
            except (NotRun, NotTestable) as error:
                if decides:
                    raise
                sentences.append(f"At R = {r:g} {name} is not compared {choice}: {error}.")
                continue
            findings.append(found)
            if decides:
                side = "above" if found.mean > 0 else "below"
                sentences.append(
                    f"At R = {r:g} 4S is {abs(found.mean):.2f} dB {side} s = {slope:g}, the best "
                    f"{choice}; that it is no worse than the margin is {found.outcome}."
                )
    return findings, sentences


def lower_starts(profile: Profile) -> list[str]:
    """The methods that are 4S from a lower slope than the profile's."""
    return [
        method.name
        for method in profile.methods
        if method.name.startswith("4S s0=") and method.changes["slope"] < profile.initial_slope
    ]
