"""Claim 9: 4S is useful beyond MRI, for other binary layers."""

from loupe_companion.beyond.experiment import Record
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.claims.statistics import CONFIDENCE, MIN_SEEDS, Claim, Finding, NotRun, compare

MARGIN = 1.0  # points of accuracy

CLAIM = Claim(
    number=9,
    title="4S serves other binary layers",
    says="Tested within LOUPE alone, the method should be valid for a wide range of layers with "
    "a slope, such as local binary convolution.",
    test=f"""\
Two binary layers of other kinds, trained with nothing but `SelfShrinkingSlope`: a *pixel mask*
that keeps exactly 10 of the 64 pixels of a handwritten digit (threshold against random numbers,
as in LOUPE), and a *local binary convolution* whose 3 x 3 filters have weights -1, 0 and 1 and
tell textures apart (a threshold without random numbers). For each: seven fixed slopes from 1 to
4096, a factor of 4 apart, and 4S, which starts at the lowest of them; ten seeds; the same number
of epochs; the weights of the lowest validation loss of the *binary* layer are kept, and the test
images are looked at once, with the binary layer.

The best fixed slope is the one with the lowest validation loss, mean over seeds. For each layer
the test accuracy of 4S, paired by seed,

1. minus that of the best fixed slope, is above -{MARGIN:g} point (non-inferiority). The margin is
   the standard error of one accuracy: between 1.0 and 1.4 points at 95 and 87 % of 500 and 600
   test images, so that whoever tunes s on one split could not see less;
2. minus that of the lowest fixed slope, is above 0;
3. minus that of the highest fixed slope, is above 0.

Sizes, epochs and patience were chosen beforehand on validation images, with seeds that are not
among the ten. A seed draws its own split of the same images, so the interval tells of other
splits and trainings, not of other writers or materials.""",
    short="test accuracy of 4S minus that of the best, the lowest and the highest fixed slope "
    f"(points), margin -{MARGIN:g} point at the best",
    known=False,
)


def judge(record: Record) -> tuple[list[Finding], list[str]]:
    """Put claim 9 to its test.

    Args:
        record: what ``python -m loupe_companion beyond`` measured.

    Raises:
        NotRun: if there are fewer than ``MIN_SEEDS`` seeds of any run.
    """
    findings: list[Finding] = []
    sentences = []
    for task in TASKS:
        shrunk = {outcome.seed: outcome for outcome in record.of(task, None)}
        slopes = record.plan.slopes
        for slope in slopes:
            fixed = {outcome.seed for outcome in record.of(task, slope)}
            if len(shrunk.keys() & fixed) < MIN_SEEDS:
                many = f"{len(shrunk.keys() & fixed)} of at least {MIN_SEEDS} seeds"
                raise NotRun(f"{task}, s = {slope:g} and 4S: {many}")
        best = record.best_slope(task)
        for name, slope, low in (
            ("the best by validation", best, -MARGIN),
            ("the lowest", slopes[0], 0.0),
            ("the highest", slopes[-1], 0.0),
        ):
            pairs = [
                100 * (shrunk[outcome.seed].accuracy - outcome.accuracy)
                for outcome in record.of(task, slope)
                if outcome.seed in shrunk
            ]
            found = compare(
                f"({len(findings) + 1}) {task}: accuracy of 4S minus that of the fixed slope "
                f"that is {name} (points)",
                None,
                pairs,
                low=low,
                detail=f"s = {slope:g}",
            )
            findings.append(found)
            side = "above" if found.mean > 0 else "below"
            lowest, highest = found.interval
            sentences.append(
                f"For the {task} 4S is {abs(found.mean):.1f} points {side} s = {slope:g}, {name} "
                f"of {len(slopes)} fixed slopes ({CONFIDENCE:.0%} interval {lowest:.1f} to "
                f"{highest:.1f}: {found.outcome})."
            )
    return findings, sentences
