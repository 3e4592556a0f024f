"""The runs that the claims are judged by: which of them a test asks for, and whether they exist."""

import math
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from loupe_lib.arms import Arm
from loupe_lib.claims.verdict import MIN_SEEDS, NotRun
from loupe_lib.config import RunConfig
from loupe_lib.images import Images
from loupe_lib.profiles import Profile
from loupe_lib.results import RunResult

Seeds = dict[int, RunResult]  # the runs of one arm at one R, by seed
FIXED_SLOPES = r"s=\S+"  # the arms that are fixed slopes of point masks


class Evidence:
    """Results, sorted out by what was trained.

    Args:
        results: of any sweeps; those that are no runs of the profile's arms are left out.
        profile: the sweep whose arms are compared. Its seeds are those that are found.
        images: those that the runs were trained and tested on; None where they are not at hand.
    """

    def __init__(
        self, results: Iterable[RunResult], profile: Profile, images: Images | None = None
    ) -> None:
        self.profile = profile
        self.images = images
        self._results = {result.config: result for result in results}
        self._seeds = sorted({config.seed for config in self._results})

    @property
    def accelerations(self) -> list[float]:
        """The R of the profile, rising."""
        return sorted(map(float, self.profile.accelerations))

    def arms(self, pattern: str) -> list[Arm]:
        """The arms of the profile whose whole name a regular expression matches."""
        return [arm for arm in self.profile.arms if re.fullmatch(pattern, arm.name)]

    def found(self, acceleration: float, arm: Arm) -> Seeds:
        """The runs of an arm at one R that exist."""
        wanted = {seed: self.profile.config(arm, acceleration, seed) for seed in self._seeds}
        return {s: self._results[c] for s, c in wanted.items() if c in self._results}

    def runs(self, acceleration: float, name: str) -> Seeds:
        """The runs of the arm of that name at one R.

        Raises:
            NotRun: if there is no such arm, or fewer than ``MIN_SEEDS`` runs.
        """
        found = {}
        for arm in self.arms(re.escape(name)):
            found = self.found(acceleration, arm)
        if len(found) < MIN_SEEDS:
            raise NotRun(f"{name} at R = {acceleration:g} has {len(found)} of {MIN_SEEDS} seeds")
        return found

    def grid(self, acceleration: float, pattern: str = FIXED_SLOPES) -> dict[float, Seeds]:
        """The runs at every fixed slope at one R, slopes rising, each with the same seeds.

        Raises:
            NotRun: if there are fewer than two slopes, or than ``MIN_SEEDS`` that all have.
        """
        arms = sorted(self.arms(pattern), key=lambda arm: float(arm.changes["slope"]))
        if len(arms) < 2:
            raise NotRun(f"fixed slopes: {len(arms)} of at least 2")
        runs = {float(a.changes["slope"]): self.runs(acceleration, a.name) for a in arms}
        seeds = common(*runs.values())
        return {slope: {seed: runs[slope][seed] for seed in seeds} for slope in runs}

    def missing(self, pattern: str) -> list[str]:
        """The names of the arms that have fewer than ``MIN_SEEDS`` runs at some R."""
        return [
            arm.name
            for arm in self.arms(pattern)
            if any(len(self.found(r, arm)) < MIN_SEEDS for r in self.accelerations)
        ]

    def how(self, pattern: str) -> str:
        """What trains the runs of such arms that are missing, a sentence in Markdown."""
        missing, name = ",".join(self.missing(pattern)), self.profile.name
        if not missing:
            return f"The profile {name!r} lacks the arms, or its runs share too few seeds."
        return (
            f'To train them: `python -m loupe_lib sweep --profile {name} --arms "{missing}" '
            f"--seeds 0,1,2 --out results/{name}.h5`; in parts of under ten minutes: "
            "`results/README.md`."
        )

    def warned(self, pattern: str) -> list[RunConfig]:
        """The runs of such arms that carry a warning."""
        runs = [
            run
            for r in self.accelerations
            for a in self.arms(pattern)
            for run in self.found(r, a).values()
        ]
        return [run.config for run in runs if run.warnings]

    def without_warnings(self) -> "Evidence":
        """The same without the runs that carry a warning."""
        kept = (result for result in self._results.values() if not result.warnings)
        return Evidence(kept, self.profile, self.images)


def common(*arms: Mapping[int, RunResult]) -> list[int]:
    """The seeds that several arms share.

    Raises:
        NotRun: if they are fewer than ``MIN_SEEDS``.
    """
    seeds = sorted(set.intersection(*(set(arm) for arm in arms)))
    if len(seeds) < MIN_SEEDS:
        raise NotRun(f"seeds in common: {len(seeds)} of {MIN_SEEDS}")
    return seeds


def paired(
    first: Mapping[int, RunResult],
    second: Mapping[int, RunResult],
    measure: Callable[[RunResult], float],
) -> list[float]:
    """What a number is in the first minus what it is in the second, seed by seed."""
    return [measure(first[seed]) - measure(second[seed]) for seed in common(first, second)]


def best(arms: Mapping[float, Seeds], measure: Callable[[RunResult], float]) -> float:
    """The key of the runs with the highest mean of a number; NaN is less than any."""

    def mean(runs: Seeds) -> float:
        found = sum(map(measure, runs.values())) / len(runs)
        return -math.inf if math.isnan(found) else found

    return max(arms, key=lambda key: mean(arms[key]))


def validation_quality(run: RunResult) -> float:
    """Minus the lowest validation loss of a run: the higher the better; all that a tuner sees."""
    return -float(np.min(run.history["loss"], initial=math.inf, where=run.history["loss"] >= 0))
