"""Claim 2: both too low and too high a slope cost image quality (Fig. 3)."""

from loupe_companion.claims.run_table import RunTable, best, paired
from loupe_companion.claims.statistics import Claim, Findings, compare
from loupe_companion.results import RunResult

CLAIM = Claim(
    number=2,
    title="Too low and too high a slope both cost",
    says="Test PSNR against s has a maximum inside the range of slopes. At the low end, "
    "thresholding changes the mask; at the high end, the gradient vanishes (Fig. 3).",
    test="""\
At each R, the best fixed slope is that of the highest mean test PSNR (thresholded mask). Its
PSNR minus that of the lowest slope, and minus that of the highest, each paired by seed, is above
0 dB. If the best slope *is* the lowest or the highest, that comparison is refuted. Choosing
the best by the number that is then compared favours the claim a little.""",
    short="PSNR of the best fixed slope minus that of the lowest, and of the highest (dB)",
    known=True,
    families=("fixed slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 2 to its test."""
    for r in table.accelerations:
        grid = table.grid(r)
        peak = best(grid, RunResult.psnr)
        words = []
        for part, name, end in (("a", "lowest", min(grid)), ("b", "highest", max(grid))):
            gain = compare(
                f"({part}) best minus {name} fixed s (dB)",
                r,
                paired(grid[peak], grid[end], RunResult.psnr),
                low=0,
                detail=f"s = {peak:g} minus s = {end:g}",
            )
            words.append(f"{gain.mean:.2f} dB above the {name} ({gain.outcome})")
            yield gain
        yield f"At R = {r:g} the best fixed slope is s = {peak:g}: {', '.join(words)}."
