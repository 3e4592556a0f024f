"""Claim 2: both too low and too high a slope cost image quality (Fig. 3)."""

from loupe_companion.claims.run_table import RunTable, Seeds, best, paired
from loupe_companion.claims.statistics import Claim, Findings, NotTestable, compare
from loupe_companion.profiles import PAPER_SLOPES
from loupe_companion.results import RunResult

CLAIM = Claim(
    number=2,
    title="A slope that is too low or too high lowers the PSNR",
    says="Test PSNR against s has a maximum inside the range of slopes. At the low end, "
    "thresholding changes the mask; at the high end, the gradient vanishes (Fig. 3).",
    test="""\
At each R, the best slope *between* the ends of the grid is that of the highest mean test PSNR
(thresholded mask). Its PSNR minus that of the lowest slope, and minus that of the highest, each
paired by seed, is above 0 dB. The paper's lowest slope is 20. At N = 64, where 20 is the best slope
of its grid, the grid starts at 2; that s = 2 costs several dB was known from a run of the profile
`quick`. Choosing the slope by the number that is then compared favours the claim a little.

Also reported, but not counted: at N = 64, the same with the paper's slopes alone.""",
    short="PSNR of the best slope between the ends of the grid minus that of the lowest, and of "
    "the highest",
    known=True,
    families=("fixed slope",),
)


def judge(table: RunTable) -> Findings:
    """Put claim 2 to its test."""
    for r in table.accelerations:
        grid = table.grid(r)
        yield from _compare(grid, r)
        if min(grid) < min(PAPER_SLOPES):
            papers = {slope: runs for slope, runs in grid.items() if slope >= min(PAPER_SLOPES)}
            yield from _compare(papers, r, f", slopes from {min(papers):g}")


def _compare(grid: dict[float, Seeds], r: float, label: str = "") -> Findings:
    """The best inner slope of a grid against both ends; with a label it does not count."""
    _, *between, _ = grid
    if not between:
        raise NotTestable(f"it needs three fixed slopes; the grid has {len(grid)}")
    peak = best({slope: grid[slope] for slope in between}, RunResult.psnr)
    words = []
    for number, name, end in ((1, "lowest", min(grid)), (2, "highest", max(grid))):
        part = f"({number}) best inner slope minus {name}{label}"
        gains = paired(grid[peak], grid[end], RunResult.psnr)
        detail = f"s = {peak:g} minus s = {end:g}"
        gain = compare(part, "dB", r, gains, low=0, decides=not label, detail=detail)
        words.append(f"{gain.mean:.2f} dB against the {name} ({gain.outcome})")
        yield gain
    yield f"At R = {r:g}{label}, the best inner slope is s = {peak:g}: {', '.join(words)}."
