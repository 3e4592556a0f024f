"""4S against what one would use instead: other binarizations, fixed masks, lines."""

import dataclasses
import re

from loupe_companion.claims.run_table import (
    FIXED_SLOPES,
    Evidence,
    Seeds,
    best,
    paired,
    validation_quality,
)
from loupe_companion.claims.statistics import (
    SHOWN,
    UNDECIDED,
    Finding,
    NotRun,
    NotTestable,
    compare,
)
from loupe_companion.results import RunResult

POINTS = (
    "4S released",
    "exponential",
    "straight-through",
    "concrete",
    "tanh",
    "spectrum",
    "gaussian",
    "poisson",
    "disc",
    "uniform",
)
LINES = tuple(f"{name} lines" for name in ("spectrum", "gaussian", "disc", "uniform"))

TEST = """\
The paper makes no claim here, so there is no verdict. Every mask gets the same decoder, images,
seeds and number of epochs, and the exact budget of $N^2/R$ samples (for lines $N/R$ whole
columns): learned masks keep their most probable entries. The difference is the test PSNR of 4S
minus that of the other, paired by seed; points are compared with points and lines with lines. Of
the soft slope fixed by a grid, the one of the lowest validation loss stands for the grid. Where
an interval leaves out 0 the difference is shown; one interval in twenty would leave it out by
chance alone."""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """One way to choose a mask, beside 4S.

    Attributes:
        name: of the method.
        lines: whether its masks, and those of the 4S beside it, are whole lines.
        psnr: test PSNR of each seed with the exact budget, in dB.
        own: that of 4S.
        warned: how many of its runs carry a warning.
        finding: that of 4S minus it, paired by seed.
    """

    name: str
    lines: bool
    psnr: tuple[float, ...]
    own: tuple[float, ...]
    warned: int
    finding: Finding


METHODS = "|".join(map(re.escape, (*POINTS, *LINES))) + f"|4S|4S lines|{FIXED_SLOPES}( lines)?"


def baselines(evidence: Evidence) -> tuple[list[Baseline], list[str]]:
    """Compare 4S with all that was run, and tell what was not.

    Returns:
        The comparisons, points before lines at each R; and the names of those that are missing, or
        have no PSNR, at some R.
    """
    found, missing = [], []
    for r in evidence.accelerations:
        for lines, methods in ((False, POINTS), (True, LINES)):
            end = " lines" if lines else ""
            grid = f"s fixed by a grid{end}"
            for name in (grid, *methods):
                try:
                    own = evidence.runs(r, f"4S{end}")
                    other = _tuned(evidence, r, end) if name == grid else evidence.runs(r, name)
                    found.append(_compare(name, lines, r, own, other))
                except NotRun:
                    missing.append(name)
                except NotTestable:
                    missing.append(f"{name} (without a finite PSNR)")
    return found, list(dict.fromkeys(missing))


def _tuned(evidence: Evidence, acceleration: float, end: str) -> Seeds:
    """The runs of the fixed slope that a tuner would choose."""
    grid = evidence.grid(acceleration, FIXED_SLOPES + end)
    return grid[best(grid, validation_quality)]


def _compare(name: str, lines: bool, acceleration: float, own: Seeds, other: Seeds) -> Baseline:
    difference = compare(name, acceleration, paired(own, other, exact), decides=False)
    low, high = difference.interval
    outcome = SHOWN if low > 0 or high < 0 else UNDECIDED
    return Baseline(
        name=name,
        lines=lines,
        psnr=tuple(map(exact, other.values())),
        own=tuple(map(exact, own.values())),
        warned=sum(bool(run.warnings) for run in other.values()),
        finding=dataclasses.replace(difference, outcome=outcome),
    )


def exact(run: RunResult) -> float:
    """Test PSNR with the mask of exactly N*N/R samples, in dB."""
    return run.psnr("topk")
