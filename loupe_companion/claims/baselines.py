"""4S against other ways to choose a mask: other binarizations, fixed masks, lines."""

from dataclasses import dataclass

from loupe_companion.claims.run_table import RunTable, Seeds, best, paired, validation_quality
from loupe_companion.claims.statistics import Finding, NotRun, NotTestable, compare
from loupe_companion.methods import CLAIMS, Family, Method
from loupe_companion.results import RunResult

COMPARED: tuple[Family, ...] = ("schedule", "binarization", "fixed mask")

TEST = """\
The paper makes no claim here, so there is no verdict. Every mask gets the same decoder, images,
seeds and number of epochs, and the exact budget of $N^2/R$ samples (for lines $N/R$ whole
columns): learned masks keep their most probable entries. The difference is the test PSNR of 4S
minus that of the other mask, paired by seed; points are compared with points and lines with lines.
The grid of fixed slopes is represented by the slope of the lowest validation loss. A difference
is shown if its interval excludes 0; by chance alone, one interval in twenty does."""


@dataclass(frozen=True)
class Baseline:
    """One way to choose a mask, compared with 4S.

    Attributes:
        name: of the method.
        lines: whether its masks, and those of the 4S beside it, are whole lines.
        psnr: test PSNR of each seed with the exact budget, in dB.
        own: that of 4S.
        warned: how many of its runs have a warning.
        finding: PSNR of 4S minus that of the baseline, paired by seed.
    """

    name: str
    lines: bool
    psnr: tuple[float, ...]
    own: tuple[float, ...]
    warned: int
    finding: Finding


def compared_methods(table: RunTable) -> list[Method]:
    """The methods of the profile whose runs are compared here."""
    families: tuple[Family, ...] = ("4S", "fixed slope", *COMPARED)
    return [*table.methods(*families), *table.methods(*families, lines=True)]


def baselines(table: RunTable) -> tuple[list[Baseline], list[str]]:
    """Compare 4S with every baseline.

    Returns:
        The comparisons, points before lines at each R; and the names of the baselines that have
        no runs, or no finite PSNR, at some R.
    """
    found, missing = [], []
    for r in table.accelerations:
        for lines in (False, True):
            end = " lines" * lines
            grid = f"s fixed by a grid{end}"
            methods = [m.name for m in CLAIMS if m.family in COMPARED and m.lines == lines]
            for name in (grid, *methods):
                try:
                    own = table.runs(r, f"4S{end}")
                    other = _tuned(table, r, lines) if name == grid else table.runs(r, name)
                    found.append(_compare(name, lines, r, own, other))
                except NotRun:
                    missing.append(name)
                except NotTestable:
                    missing.append(f"{name} (without a finite PSNR)")
    return found, list(dict.fromkeys(missing))


def _tuned(table: RunTable, acceleration: float, lines: bool) -> Seeds:
    """The runs of the fixed slope with the lowest validation loss."""
    grid = table.grid(acceleration, lines)
    return grid[best(grid, validation_quality)]


def _compare(name: str, lines: bool, acceleration: float, own: Seeds, other: Seeds) -> Baseline:
    return Baseline(
        name=name,
        lines=lines,
        psnr=tuple(map(exact, other.values())),
        own=tuple(map(exact, own.values())),
        warned=sum(bool(run.warnings) for run in other.values()),
        finding=compare(name, acceleration, paired(own, other, exact)),
    )


def exact(run: RunResult) -> float:
    """Test PSNR with the mask of exactly N*N/R samples, in dB."""
    return run.psnr("topk")
