"""Claim 4: 4S masks are nearly binary and adapted to the signal (Fig. 4)."""

from functools import partial

import numpy as np
import torch
from scipy import stats

from loupe_companion.claims.run_table import RunTable, paired
from loupe_companion.claims.statistics import Claim, Findings, NotTestable, compare
from loupe_companion.results import RunResult
from loupe_lib.data.images import mean_power
from loupe_lib.mask import binarize

NEARLY_BINARY = 0.1  # of the budget 1/R
RANDOM_MASKS = 100

CLAIM = Claim(
    number=4,
    title="4S masks are binary and adapted to the signal",
    says="A mask trained at a low s is adapted to the images but not binary, one trained at a high "
    "s is binary but not adapted; the masks of 4S are both (Fig. 4).",
    test=f"""\
At each R, for 4S, over seeds:

1. *nearly binary*: the mean distance of $P$ from its own binarization $[P > 0.5]$, as a fraction of
   the budget 1/R, is below {NEARLY_BINARY:.0%}. It is 0 for a binary $P$ and 100 % where
   $P = 1/R$ throughout;
2. *adapted, energy*: the fraction of the energy of the test images' k-space in the exact-budget
   mask (the $N^2/R$ largest $P$), minus that in random masks of as many samples (mean of
   {RANDOM_MASKS}), is above 0. DC is left out: one sample, and most of the energy;
3. *adapted, shape*: the rank correlation (Spearman) of $P$ with the mean power spectrum of the
   training images, minus that at the highest fixed slope, paired by seed, is above 0.""",
    short="distance of P from binary, as a fraction of 1/R; energy against random masks; "
    "correlation with the spectrum against the highest slope",
    known=False,
    families=("fixed slope", "4S"),
)


def judge(table: RunTable) -> Findings:
    """Put claim 4 to its test."""
    found = {r: (table.runs(r, "4S"), table.grid(r)) for r in table.accelerations}
    if table.images is None:
        raise NotTestable("it needs the images of the runs, which are missing")
    power = mean_power(table.images.test.images).numpy()
    power[tuple(side // 2 for side in power.shape)] = 0  # DC
    spectrum = mean_power(table.images.train.images).numpy()
    correlation = partial(spectrum_correlation, power=spectrum)
    for r, (shrunk, grid) in found.items():
        highest, runs = max(grid), shrunk.values()
        distance = [100 * distance_from_binary(run) for run in runs]
        captured = np.array([100 * energy_fraction(run, power) for run in runs])
        at_random = np.array([100 * random_fraction(run, power) for run in runs])
        gain = (captured - at_random).tolist()
        shape = paired(shrunk, grid[highest], correlation)
        part = "(1) distance of P from binary, % of 1/R"
        yield compare(part, r, distance, high=100 * NEARLY_BINARY)
        part = "(2) energy in the mask, minus random masks (percentage points)"
        yield compare(part, r, gain, low=0)
        part = "(3) rank correlation with the spectrum, minus the highest s"
        yield compare(part, r, shape, low=0)
        own = np.mean([*map(correlation, runs)])
        theirs = np.mean([*map(correlation, grid[highest].values())])
        yield (
            f"At R = {r:g}, the distance of the probabilities from binary is "
            f"{np.mean(distance):.1f} % of the budget. The masks hold {captured.mean():.1f} % of "
            f"the energy outside DC, random masks {at_random.mean():.1f} %. The rank correlation "
            f"with the spectrum is {own:.2f}; at s = {highest:g} it is {theirs:.2f}."
        )


def distance_from_binary(run: RunResult) -> float:
    """Mean of ``|P - [P > 0.5]|``, as a fraction of the budget 1/R."""
    p = run.probabilities
    return float(np.abs(p - (p > 0.5)).mean() * run.config.acceleration)


def energy_fraction(run: RunResult, power: np.ndarray) -> float:
    """Fraction of an (N, N) power spectrum in the exact-budget mask of a run."""
    mask = binarize(torch.from_numpy(run.probabilities), run.config.acceleration, "topk").numpy()
    return float((mask * power).sum() / power.sum())


def random_fraction(run: RunResult, power: np.ndarray) -> float:
    """The mean fraction in 100 random masks of as many samples, drawn with the run's seed."""
    rng = np.random.default_rng(run.config.seed)
    budget = round(power.size / run.config.acceleration)
    taken = [rng.choice(power.ravel(), budget, replace=False).sum() for _ in range(RANDOM_MASKS)]
    return float(np.mean(taken) / power.sum())


def spectrum_correlation(run: RunResult, power: np.ndarray) -> float:
    """Spearman's correlation of a run's P with an (N, N) power spectrum."""
    return float(stats.spearmanr(run.probabilities.ravel(), power.ravel()).statistic)
