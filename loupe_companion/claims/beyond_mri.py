"""Claim 9: 4S is useful beyond MRI, for other binary layers."""

import math
from collections.abc import Sequence

import numpy as np

from loupe_companion.beyond.experiment import Record
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.claims.statistics import (
    MIN_SEEDS,
    Claim,
    Findings,
    NotRun,
    compare,
    outcome_of,
)
from loupe_companion.tables import CONFIDENCE, t_interval

MARGIN = 1.0  # percentage points of accuracy

CLAIM = Claim(
    number=9,
    title="4S works in other binary layers",
    says="The method was tested only within LOUPE, and should be valid for a wide range of layers "
    "with a slope, such as local binary convolution.",
    test=f"""\
Two binary layers of other kinds, trained with nothing but `SelfShrinkingSlope`: a *pixel mask*
that keeps exactly 10 of the 64 pixels of a handwritten digit (threshold against random numbers,
as in LOUPE), and a *local binary convolution* whose 3 x 3 filters have weights -1, 0 and 1 and
classify textures (a threshold without random numbers). For each: seven fixed slopes from 1 to
4096, a factor of 4 apart, and 4S, which starts at the lowest of them; ten seeds; the same number
of epochs. The weights of the lowest validation loss of the *binary* layer are kept, and the test
images are used once, with the binary layer.

The best fixed slope is the one with the lowest validation loss, mean over seeds. For each layer
the test accuracy of 4S, paired by seed,

1. minus that of the best fixed slope, is above -{MARGIN:g} percentage point (non-inferiority). The
   margin is the standard error of one accuracy: between 1.0 and 1.4 percentage points at 95 and
   87 % of 500 and 600 test images, so that tuning s on one split could not detect less;
2. minus that of the lowest fixed slope, is above 0;
3. minus that of the highest fixed slope, is above 0.

Sizes, epochs and patience were chosen beforehand on validation images, with seeds that are not
among the ten. A seed draws its own split of the same images, so the interval covers other splits
and trainings, not other writers or materials. The images of different seeds overlap, so the
interval is too narrow. An interval with the correction of Nadeau and Bengio (2003) is also
reported, but not counted: the variance of the mean over n seeds is then that over seeds times
$1/n + q$, where q is the number of test images over that of training images.""",
    short="test accuracy of 4S minus that of the best, the lowest and the highest fixed slope "
    f"(percentage points), margin -{MARGIN:g} at the best",
    known=False,
)


def judge(record: Record) -> Findings:
    """Put claim 9 to its test.

    Raises:
        NotRun: if any training has fewer than ``MIN_SEEDS`` seeds.
    """
    slopes = record.plan.slopes
    gains = {(task, slope): _gains(record, task, slope) for task in TASKS for slope in slopes}
    cases = [
        case
        for task in TASKS
        for case in (
            (task, "best fixed slope by validation", record.best_slope(task), -MARGIN),
            (task, "lowest fixed slope", slopes[0], 0.0),
            (task, "highest fixed slope", slopes[-1], 0.0),
        )
    ]
    for number, (task, name, slope, low) in enumerate(cases, start=1):
        part, detail = f"({number}) {task}: accuracy of 4S minus {name}", f"s = {slope:g}"
        found = compare(part, "percentage points", None, gains[task, slope], low, detail=detail)
        yield found
        side = "above" if found.mean > 0 else "below"
        lowest, highest = found.interval
        wide = _corrected_interval(found.values, TASKS[task].test_to_train)
        yield (
            f"For the {task}, 4S is {abs(found.mean):.1f} percentage points {side} "
            f"s = {slope:g}, the {name} of {len(slopes)} "
            f"({CONFIDENCE:.0%} interval {lowest:.1f} to {highest:.1f}: {found.outcome}; with the "
            f"correction {wide[0]:.1f} to {wide[1]:.1f}: {outcome_of(wide, low, math.inf)})."
        )


def _corrected_interval(values: Sequence[float], test_to_train: float) -> tuple[float, float]:
    """The t interval of a mean over splits of the same images (Nadeau and Bengio 2003)."""
    mean, (low, high) = float(np.mean(values)), t_interval(values)
    half = (high - low) / 2 * math.sqrt(1 + len(values) * test_to_train)
    return mean - half, mean + half


def _gains(record: Record, task: str, slope: float) -> list[float]:
    """Accuracy of 4S minus that of a fixed slope, seed by seed, in percentage points."""
    shrunk = {run.seed: run.accuracy for run in record.of(task, None)}
    fixed = {run.seed: run.accuracy for run in record.of(task, slope)}
    seeds = sorted(shrunk.keys() & fixed)
    if len(seeds) < MIN_SEEDS:
        raise NotRun(f"{task}, s = {slope:g} and 4S: {len(seeds)} of at least {MIN_SEEDS} seeds")
    return [100 * (shrunk[seed] - fixed[seed]) for seed in seeds]
