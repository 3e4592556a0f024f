"""The runs that the claims are judged by: which of them a test asks for, and whether they exist."""

import math
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from loupe_companion.claims.statistics import MIN_SEEDS, NotRun
from loupe_companion.methods import Method
from loupe_companion.profiles import Profile
from loupe_companion.results import RunResult
from loupe_lib.data.images import Images
from loupe_lib.training.config import RunConfig

Seeds = dict[int, RunResult]  # the runs of one method at one R, by seed
FIXED_SLOPES = r"s=\S+"  # the methods that are fixed slopes of point masks


class Evidence:
    """Results, sorted out by what was trained.

    Args:
        results: of any sweeps; those that are no runs of the profile's methods are left out.
        profile: the sweep whose methods are compared. Its seeds are those that are found.
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

    def methods(self, pattern: str) -> list[Method]:
        """The methods of the profile whose whole name a regular expression matches."""
        return [method for method in self.profile.methods if re.fullmatch(pattern, method.name)]

    def found(self, acceleration: float, method: Method) -> Seeds:
        """The runs of an method at one R that exist."""
        wanted = {seed: self.profile.config(method, acceleration, seed) for seed in self._seeds}
        return {s: self._results[c] for s, c in wanted.items() if c in self._results}

    def runs(self, acceleration: float, name: str) -> Seeds:
        """The runs of the method of that name at one R.

        Raises:
            NotRun: if there is no such method, or fewer than ``MIN_SEEDS`` runs.
        """
        found = {}
        for method in self.methods(re.escape(name)):
            found = self.found(acceleration, method)
        if len(found) < MIN_SEEDS:
            raise NotRun(f"{name} at R = {acceleration:g} has {len(found)} of {MIN_SEEDS} seeds")
        return found

    def grid(self, acceleration: float, pattern: str = FIXED_SLOPES) -> dict[float, Seeds]:
        """The runs at every fixed slope at one R, slopes rising, each with the same seeds.

        Raises:
            NotRun: if there are fewer than two slopes, or than ``MIN_SEEDS`` that all have.
        """
        methods = sorted(self.methods(pattern), key=lambda method: float(method.changes["slope"]))
        if len(methods) < 2:
            raise NotRun(f"fixed slopes: {len(methods)} of at least 2")
        runs = {float(a.changes["slope"]): self.runs(acceleration, a.name) for a in methods}
        seeds = common(*runs.values())
        return {slope: {seed: runs[slope][seed] for seed in seeds} for slope in runs}

    def missing(self, pattern: str) -> list[str]:
        """The names of the methods that have fewer than ``MIN_SEEDS`` runs at some R."""
        return [
            method.name
            for method in self.methods(pattern)
            if any(len(self.found(r, method)) < MIN_SEEDS for r in self.accelerations)
        ]

    def how(self, pattern: str) -> str:
        """What trains the runs of such methods that are missing, a sentence in Markdown."""
        missing, name = ",".join(self.missing(pattern)), self.profile.name
        if not missing:
            return f"The profile {name!r} lacks the methods, or its runs share too few seeds."
        return (
            f"To train them: `python -m loupe_companion sweep --profile {name} "
            f'--methods "{missing}" '
            f"--seeds 0,1,2 --out results/{name}.h5`; in parts of under ten minutes: "
            "`results/README.md`."
        )

    def warned(self, pattern: str) -> list[RunConfig]:
        """The runs of such methods that carry a warning."""
        runs = [
            run
            for r in self.accelerations
            for a in self.methods(pattern)
            for run in self.found(r, a).values()
        ]
        return [run.config for run in runs if run.warnings]

    def without_warnings(self) -> "Evidence":
        """The same without the runs that carry a warning."""
        kept = (result for result in self._results.values() if not result.warnings)
        return Evidence(kept, self.profile, self.images)


def common(*methods: Mapping[int, RunResult]) -> list[int]:
    """The seeds that several methods share.

    Raises:
        NotRun: if they are fewer than ``MIN_SEEDS``.
    """
    seeds = sorted(set.intersection(*(set(method) for method in methods)))
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


def best(methods: Mapping[float, Seeds], measure: Callable[[RunResult], float]) -> float:
    """The key of the runs with the highest mean of a number; NaN is less than any."""

    def mean(runs: Seeds) -> float:
        found = sum(map(measure, runs.values())) / len(runs)
        return -math.inf if math.isnan(found) else found

    return max(methods, key=lambda key: mean(methods[key]))


def validation_quality(run: RunResult) -> float:
    """Minus the lowest validation loss of a run: the higher the better; all that a tuner sees."""
    return -float(np.min(run.history["loss"], initial=math.inf, where=run.history["loss"] >= 0))
