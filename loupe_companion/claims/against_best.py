"""Claim 3: 4S is at least as good as the best fixed slope, without tuning (Fig. 3)."""

from loupe_companion.claims.run_table import RunTable, best, paired, validation_quality
from loupe_companion.claims.statistics import (
    Claim,
    Finding,
    Findings,
    NotRun,
    NotTestable,
    compare,
)
from loupe_companion.results import RunResult

MARGIN = 0.5  # dB
TUNED, BY_TEST = "by validation", "by test"  # how a slope is chosen

CLAIM = Claim(
    number=3,
    title="4S is as good as the best fixed slope",
    says="Without any tuning, 4S reaches at least the PSNR of the best fixed s, at R = 4 and at "
    "R = 8.",
    test=f"""\
At each R, the best fixed slope is the one with the lowest validation loss, mean over seeds: the
choice of somebody who tunes s. The test PSNR (thresholded mask) of 4S minus that of this slope,
paired by seed, is above -{MARGIN:g} dB (non-inferiority). The margin is about half of what
another seed changes, roughly 1 dB: tuning with one training per slope could not detect less.

Shown beside it, and not counted for the verdict: the same against the slope that is best by
*test* PSNR, which nobody can choose beforehand and which favours the fixed slopes; both
comparisons for 4S as its authors released it, which monitors the soft validation loss and not the
loss of the thresholded mask; and 4S from lower initial slopes ("s0"), added after the runs of
claim 7 had been seen.""",
    short="PSNR of 4S minus that of the slope with the best validation loss (dB), "
    f"margin -{MARGIN:g} dB",
    known=True,
    families=("fixed slope", "4S"),
)


def judge(table: RunTable) -> Findings:
    """Put claim 3 to its test; the comparisons beside it do not count."""
    initial = table.profile.initial_slope
    settings = table.methods("setting of 4S")
    lower = [method.name for method in settings if method.changes.get("slope", initial) < initial]
    beside = [("4S", BY_TEST), ("4S released", TUNED), ("4S released", BY_TEST)]
    beside += [(name, TUNED) for name in lower]
    for r in table.accelerations:
        grid = table.grid(r)
        slopes = {TUNED: best(grid, validation_quality), BY_TEST: best(grid, RunResult.psnr)}
        found = _compare(table, r, "4S", TUNED, slopes[TUNED])
        yield found
        side = "above" if found.mean > 0 else "below"
        yield (
            f"At R = {r:g}, 4S is {abs(found.mean):.2f} dB {side} s = {slopes[TUNED]:g}, the best "
            f"{TUNED}. Non-inferiority with a margin of {MARGIN:g} dB: {found.outcome}."
        )
        for name, choice in beside:
            try:
                yield _compare(table, r, name, choice, slopes[choice], decides=False)
            except (NotRun, NotTestable) as error:
                yield f"At R = {r:g} {name} is not compared {choice}: {error}."


def _compare(
    table: RunTable, r: float, name: str, choice: str, slope: float, decides: bool = True
) -> Finding:
    """PSNR of a kind of 4S minus that of a fixed slope, the best by some choice."""
    gains = paired(table.runs(r, name), table.grid(r)[slope], RunResult.psnr)
    part = f"{name} minus best fixed s {choice} (dB)"
    return compare(part, r, gains, low=-MARGIN, decides=decides, detail=f"s = {slope:g}")
