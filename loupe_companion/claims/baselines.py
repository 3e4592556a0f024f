"""4S against other ways to choose a mask: other binarizations, fixed masks, lines."""

import itertools
from typing import NamedTuple

from loupe_companion.claims.run_table import RunTable, best, paired, validation_quality
from loupe_companion.claims.statistics import Finding, NotRun, NotTestable, compare
from loupe_companion.methods import CLAIMS, Family
from loupe_companion.results import RunResult

COMPARED: tuple[Family, ...] = ("schedule", "binarization", "fixed mask")
GRID = "s fixed by a grid"

TEST = """\
The paper makes no claim here, so there is no verdict. Every mask gets the same decoder, images,
seeds and number of epochs, and the exact budget of $N^2/R$ samples (for lines $N/R$ whole
columns): learned masks keep their most probable entries. The difference is the test PSNR of 4S
minus that of the other mask, paired by seed; points are compared with points and lines with lines.
The grid of fixed slopes is represented by the slope of the lowest validation loss. A difference
is shown if its interval excludes 0; by chance alone, one interval in twenty does."""


class Baseline(NamedTuple):
    """One way to choose a mask, compared with 4S at one R."""

    name: str  # of the method
    lines: bool  # whether its masks, and those of 4S, are whole lines
    own: list[float]  # test PSNR of 4S with the exact budget, one value a seed, in dB
    psnr: list[float]  # that of the other mask
    warned: int  # how many runs of the other mask have a warning
    finding: Finding  # PSNR of 4S minus that of the other mask, paired by seed


def baselines(table: RunTable) -> tuple[list[Baseline], list[str]]:
    """Compare 4S with every other mask, at each R points before lines; and name what is missing.

    Missing are methods without enough runs, or without a finite PSNR, at some R.
    """
    found, missing = [], []
    for r, lines in itertools.product(table.accelerations, (False, True)):
        methods = [m.name for m in CLAIMS if m.family in COMPARED and m.lines == lines]
        for name in (GRID + " lines" * lines, *methods):
            try:
                found.append(_compare(table, r, name, lines))
            except NotRun:
                missing.append(name)
            except NotTestable:
                missing.append(f"{name} (without a finite PSNR)")
    return found, list(dict.fromkeys(missing))


def _compare(table: RunTable, acceleration: float, name: str, lines: bool) -> Baseline:
    own = table.runs(acceleration, "4S" + " lines" * lines)
    if name.startswith(GRID):
        grid = table.grid(acceleration, lines)
        other = grid[best(grid, validation_quality)]
    else:
        other = table.runs(acceleration, name)
    finding = compare(name, "dB", acceleration, paired(own, other, exact))
    warned = sum(bool(run.warnings) for run in other.values())
    psnr = [*map(exact, other.values())]
    return Baseline(name, lines, [*map(exact, own.values())], psnr, warned, finding)


def exact(run: RunResult) -> float:
    """Test PSNR with the mask of exactly N*N/R samples, in dB."""
    return run.psnr("topk")
