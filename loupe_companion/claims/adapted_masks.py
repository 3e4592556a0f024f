"""Claim 4: 4S masks are nearly binary and adapted to the signal (Fig. 4)."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from loupe_companion.claims.run_table import FIXED_SLOPES, Evidence, paired
from loupe_companion.claims.statistics import Claim, Finding, NotTestable, compare
from loupe_companion.results import RunResult
from loupe_lib.mask import binarize

NEARLY_BINARY = 0.1  # of the budget 1/R
RANDOM_MASKS = 100

CLAIM = Claim(
    number=4,
    title="4S masks are binary and adapted to the signal",
    says="A mask trained at a low s is adapted to the images but not binary, one trained "
    "at a high s is binary but has lost the adaptation; the masks of 4S are both "
    "(Fig. 4).",
    test=f"""\
At each R, for 4S, over seeds:

1. *nearly binary*: the mean distance of $P$ from its own binarization $[P > 0.5]$, as a share of
   the budget 1/R, is below {NEARLY_BINARY:.0%}. It is 0 for a binary $P$ and 100 % where
   $P = 1/R$ throughout;
2. *adapted, energy*: the share of the energy of the test images' k-space that the exact-budget
   mask (the $N^2/R$ largest $P$) takes, minus that of random masks of as many samples (mean of
   {RANDOM_MASKS}), is above 0. DC is left out: one sample, and most of the energy;
3. *adapted, shape*: the rank correlation (Spearman) of $P$ with the mean power spectrum of the
   training images, minus that at the highest fixed slope, paired by seed, is above 0.""",
    short="distance of P from binary, as a share of 1/R; energy against random masks; "
    "correlation with the spectrum against the highest slope",
    known=False,
    methods=f"{FIXED_SLOPES}|4S",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 4 to its test."""
    found = {r: (evidence.runs(r, "4S"), evidence.grid(r)) for r in evidence.accelerations}
    if evidence.images is None:
        raise NotTestable("it needs the images of the runs, and they are not at hand")
    tested = mean_power(evidence.images.test.images)
    tested[tuple(side // 2 for side in tested.shape)] = 0  # DC
    correlation = spectrum_correlation(mean_power(evidence.images.train.images))
    findings, sentences = [], []
    for r, (shrunk, grid) in found.items():
        highest, runs = max(grid), shrunk.values()
        distance = [100 * distance_from_binary(run) for run in runs]
        captured = [100 * energy_share(run, tested) for run in runs]
        at_random = [100 * random_share(run, tested) for run in runs]
        gain = [mine - theirs for mine, theirs in zip(captured, at_random, strict=True)]
        shape = paired(shrunk, grid[highest], correlation)
        findings += [
            compare(
                "(1) distance of P from binary, % of 1/R", r, distance, high=100 * NEARLY_BINARY
            ),
            compare("(2) energy in the mask, above random masks (points)", r, gain, low=0),
            compare("(3) rank correlation with the spectrum, above the highest s", r, shape, low=0),
        ]
        correlations = [
            np.mean([correlation(run) for run in some]) for some in (runs, grid[highest].values())
        ]
        sentences.append(
            f"At R = {r:g} the probabilities are {np.mean(distance):.1f} % of the budget away "
            f"from binary; the masks take {np.mean(captured):.1f} % of the energy outside DC, "
            f"random ones {np.mean(at_random):.1f} %; the rank correlation with the spectrum is "
            f"{correlations[0]:.2f}, at s = {highest:g} it is {correlations[1]:.2f}."
        )
    return findings, sentences


def mean_power(images: Tensor) -> np.ndarray:
    """(N, N) mean power ``|F x|^2`` over (n, N, N) images, centred."""
    k = torch.fft.fft2(images, norm="ortho")
    return torch.fft.fftshift(k.abs().square().mean(0)).numpy()


def distance_from_binary(run: RunResult) -> float:
    """Mean of ``|P - [P > 0.5]|``, as a share of the budget 1/R."""
    p = run.probabilities
    return float(np.abs(p - (p > 0.5)).mean() * run.config.acceleration)


def energy_share(run: RunResult, power: np.ndarray) -> float:
    """Share of (N, N) power that the exact-budget mask of a run takes."""
    mask = binarize(torch.from_numpy(run.probabilities), run.config.acceleration, "topk").numpy()
    return float((mask * power).sum() / power.sum())


def random_share(run: RunResult, power: np.ndarray) -> float:
    """The same for random masks of as many samples: the mean of 100, drawn with the run's seed."""
    rng = np.random.default_rng(run.config.seed)
    budget = round(power.size / run.config.acceleration)
    taken = [rng.choice(power.ravel(), budget, replace=False).sum() for _ in range(RANDOM_MASKS)]
    return float(np.mean(taken) / power.sum())


def spectrum_correlation(power: np.ndarray) -> Callable[[RunResult], float]:
    """Spearman's correlation of a run's P with an (N, N) power spectrum."""
    return lambda run: float(stats.spearmanr(run.probabilities.ravel(), power.ravel()).statistic)
