"""4S against other ways to choose a mask: other binarizations, fixed masks, lines."""

import itertools
from typing import NamedTuple

from loupe_companion.claims.run_table import RunTable, best, paired, validation_quality
from loupe_companion.claims.statistics import Finding, NotRun, NotTestable, compare
from loupe_companion.methods import Family
from loupe_companion.profiles import OWN_SUBJECTS
from loupe_companion.results import RunResult

COMPARED: tuple[Family, ...] = ("schedule", "binarization", "fixed mask")
BEST_FIXED, START_200 = "best fixed s", "4S s0=200"

TEST = """\
The paper makes no claim here, so there is no verdict. Every mask gets the same decoder, images,
seeds and number of epochs, and the exact budget of $N^2/R$ samples (for lines $N/R$ whole
columns): learned masks keep their most probable entries. The difference is the test PSNR of 4S
minus that of the other mask, paired by seed. Points are compared with points and lines with lines.
A schedule that starts at s = 200 is compared with 4S from s = 200. The best fixed slope is that of
the lowest validation loss. A difference is shown if its interval excludes 0; by chance alone, one
interval in twenty does. A mask that keeps the zero frequency (DC) has an advantage that 4S could
have too: see [The zero frequency](zero.ipynb)."""


class Baseline(NamedTuple):
    """One way to choose a mask, compared with 4S at one R."""

    name: str  # of the method
    rival: str  # the name of the 4S that it is compared with
    own: list[RunResult]  # the runs of this 4S
    other: list[RunResult]  # those of the mask
    finding: Finding  # PSNR of 4S minus that of the other mask, paired by seed


def baselines(table: RunTable) -> tuple[list[Baseline], list[str]]:
    """Compare 4S with every other mask, at each R points before lines; and name what is missing.

    The seeds are those of all methods: later ones were trained for claim 3 alone. Missing are
    methods without enough runs, or without a finite PSNR, at some R.
    """
    table = table.only(lambda run: run.config.seed < OWN_SUBJECTS)
    found, missing = [], []
    for r, lines in itertools.product(table.accelerations, (False, True)):
        own = "4S" + " lines" * lines
        rivals = {BEST_FIXED + " lines" * lines: own}
        for method in table.methods(*COMPARED, lines=lines):
            starts_at_200 = method.family == "schedule" and method.changes.get("slope") == 200
            rivals[method.name] = START_200 if starts_at_200 else own
        for name in sorted(rivals, key=lambda name: rivals[name] == START_200):
            try:
                found.append(_compare(table, r, name, lines, rivals[name]))
            except NotRun:
                missing.append(name)
            except NotTestable:
                missing.append(f"{name} (without a finite PSNR)")
    return found, list(dict.fromkeys(missing))


def _compare(table: RunTable, acceleration: float, name: str, lines: bool, rival: str) -> Baseline:
    own = table.runs(acceleration, rival)
    if name.startswith(BEST_FIXED):
        grid = table.grid(acceleration, lines)
        other = grid[best(grid, validation_quality)]
    else:
        other = table.runs(acceleration, name)
    finding = compare(name, "dB", acceleration, paired(own, other, exact))
    return Baseline(name, rival, [*own.values()], [*other.values()], finding)


def exact(run: RunResult) -> float:
    """Test PSNR with the mask of exactly N*N/R samples, in dB."""
    return run.psnr("topk")
