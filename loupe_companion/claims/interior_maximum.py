"""Claim 2: both too low and too high a slope cost image quality (Fig. 3)."""

from loupe_companion.claims.run_table import RunTable, best, paired
from loupe_companion.claims.statistics import Claim, Findings, NotTestable, compare
from loupe_companion.results import RunResult

CLAIM = Claim(
    number=2,
    title="A slope that is too low or too high lowers the PSNR",
    says="Test PSNR against s has a maximum inside the range of slopes. At the low end, "
    "thresholding changes the mask; at the high end, the gradient vanishes (Fig. 3).",
    test="""\
At each R, the best slope *between* the ends of the grid is that of the highest mean test PSNR
(thresholded mask). Its PSNR minus that of the lowest slope, and minus that of the highest, each
paired by seed, is above 0 dB. The paper's lowest slope is 20; at N = 64, where 20 is the best slope
of its grid, the grid starts at 2. Choosing the slope by the number that is then compared favours
the claim a little.""",
    short="PSNR of the best slope between the ends of the grid minus that of the lowest, and of "
    "the highest",
    known=True,
    families=("fixed slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 2 to its test."""
    for r in table.accelerations:
        grid = table.grid(r)
        _, *between, _ = grid
        if not between:
            raise NotTestable(f"it needs three fixed slopes; the grid has {len(grid)}")
        peak = best({slope: grid[slope] for slope in between}, RunResult.psnr)
        words = []
        for part, name, end in (("1", "lowest", min(grid)), ("2", "highest", max(grid))):
            gain = compare(
                f"({part}) best inner slope minus {name}",
                "dB",
                r,
                paired(grid[peak], grid[end], RunResult.psnr),
                low=0,
                detail=f"s = {peak:g} minus s = {end:g}",
            )
            words.append(f"{gain.mean:.2f} dB against the {name} ({gain.outcome})")
            yield gain
        yield f"At R = {r:g} the best inner slope is s = {peak:g}: {', '.join(words)}."
