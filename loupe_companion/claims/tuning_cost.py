"""What it costs to find the best fixed slope, and what one run of 4S costs."""

from dataclasses import dataclass

import numpy as np

from loupe_companion.claims.run_table import Evidence, common, validation_quality
from loupe_companion.results import RunResult

TEST = """\
The point of 4S is tuning, so tuning is measured: for one seed, the trainings and epochs that a
search over the grid of fixed slopes takes, and what keeping the best of its models by validation
loss reaches on the test images; beside it one run of 4S. Seconds are each run's share of the
time of the pack it was trained in, on the device that trained it."""


@dataclass(frozen=True)
class Cost:
    """What one seed of a way to choose the slope took, and what it reached.

    Attributes:
        acceleration: R.
        way: to choose it.
        trainings: how many.
        epochs: of all of them.
        seconds: of all of them, mean over seeds.
        psnr: test PSNR of the model that is kept, one a seed, in dB.
    """

    acceleration: float
    way: str
    trainings: int
    epochs: int
    seconds: float
    psnr: tuple[float, ...]


def tuning_costs(evidence: Evidence) -> list[Cost]:
    """The search over the grid, then 4S, at each R.

    Raises:
        NotRun: if runs are missing.
    """
    costs = []
    for r in evidence.accelerations:
        grid, shrunk = evidence.grid(r), evidence.runs(r, "4S")
        seeds = common(shrunk, *grid.values())
        searches = [[runs[seed] for runs in grid.values()] for seed in seeds]
        costs += [
            _cost(r, f"best of {len(grid)} fixed slopes", searches),
            _cost(r, "4S", [[shrunk[seed]] for seed in seeds]),
        ]
    return costs


def _cost(acceleration: float, way: str, searches: list[list[RunResult]]) -> Cost:
    """Of several seeds; each keeps the model of the lowest validation loss."""
    return Cost(
        acceleration,
        way,
        trainings=len(searches[0]),
        epochs=sum(len(run.history["loss"]) for run in searches[0]),
        seconds=float(
            np.mean([sum(run.history["seconds"].sum() for run in runs) for runs in searches])
        ),
        psnr=tuple(max(runs, key=validation_quality).psnr() for runs in searches),
    )
