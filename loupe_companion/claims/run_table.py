"""The runs that the claims are tested on: which a test needs, and which of them exist."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from loupe_companion.claims.statistics import MIN_SEEDS, NotRun
from loupe_companion.methods import Family, Method
from loupe_companion.profiles import Profile
from loupe_companion.results import RunResult

Seeds = dict[int, RunResult]  # the runs of one method at one R, by seed
Measure = Callable[[RunResult], float]


class RunTable:
    """Results by method, acceleration and seed.

    Args:
        results: of any sweeps; runs that do not belong to the profile are ignored.
        profile: the sweep whose methods are compared, with the seeds of the results.
    """

    def __init__(self, results: Iterable[RunResult], profile: Profile) -> None:
        self.profile = profile
        self.results = list(results)
        made = {result.config: result for result in self.results}
        seeds = sorted({config.seed for config in made})
        self._runs: dict[tuple[float, str], Seeds] = {}  # those that exist, by R and method
        for r, method in itertools.product(self.accelerations, profile.methods):
            wanted = {seed: profile.config(method, r, seed) for seed in seeds}
            found = {seed: made[config] for seed, config in wanted.items() if config in made}
            self._runs[r, method.name] = found

    @property
    def accelerations(self) -> list[float]:
        """The R of the profile, rising."""
        return sorted(map(float, self.profile.accelerations))

    def with_settings(self, **settings: Any) -> "RunTable":
        """The same results, seen by a profile with other settings, such as ``center=1``.

        Its accelerations are those of the runs with these settings.
        """
        accelerations = {
            run.config.acceleration
            for run in self.results
            if all(getattr(run.config, name) == value for name, value in settings.items())
        }
        profile = dataclasses.replace(
            self.profile,
            settings=self.profile.settings | settings,
            accelerations=tuple(accelerations),
        )
        return RunTable(self.results, profile)

    def only(self, wanted: Callable[[RunResult], bool]) -> "RunTable":
        """Some of the runs."""
        return RunTable(filter(wanted, self.results), self.profile)

    def methods(self, *families: Family, lines: bool = False) -> list[Method]:
        """The profile's methods of some families: those of point masks, or those of lines."""
        return [m for m in self.profile.methods if m.family in families and m.lines == lines]

    def runs(self, acceleration: float, name: str) -> Seeds:
        """The runs of the method of that name at one R.

        Raises:
            NotRun: if the profile has no such method, or fewer than ``MIN_SEEDS`` runs exist.
        """
        found = self._runs.get((acceleration, name), {})
        if len(found) < MIN_SEEDS:
            raise NotRun(f"{name} at R = {acceleration:g} has {len(found)} of {MIN_SEEDS} seeds")
        return found

    def grid(
        self, acceleration: float, lines: bool = False, whole: bool = True
    ) -> dict[float, Seeds]:
        """The runs at every fixed slope at one R, slopes rising, all with the same seeds.

        Args:
            acceleration: R.
            lines: whether the masks are whole lines.
            whole: whether all slopes of the profile are needed, or those that were run will do.

        Raises:
            NotRun: with fewer than two slopes, or fewer than ``MIN_SEEDS`` common seeds.
        """
        methods = self.methods("fixed slope", lines=lines)
        if not whole:
            found = {m.name: self._runs.get((acceleration, m.name), {}) for m in methods}
            methods = [m for m in methods if len(found[m.name]) >= MIN_SEEDS]
        if len(methods) < 2:
            raise NotRun(f"fixed slopes: {len(methods)} of at least 2")
        runs = {float(m.changes["slope"]): self.runs(acceleration, m.name) for m in methods}
        seeds = common(*runs.values())
        return {slope: {seed: runs[slope][seed] for seed in seeds} for slope in sorted(runs)}

    def how(self, methods: Sequence[Method]) -> str:
        """How to train the missing runs of these methods, a sentence in Markdown."""
        missing = ",".join(
            method.name
            for method in methods
            if any(len(self._runs[r, method.name]) < MIN_SEEDS for r in self.accelerations)
        )
        name = self.profile.name
        if not missing:
            return f"The profile {name!r} lacks the methods, or its runs share too few seeds."
        return (
            f"To train them: `python -m loupe_companion sweep --profile {name} "
            f'--methods "{missing}" --seeds 0,1,2 --out results/{name}.h5`; '
            "in parts of under ten minutes: `results/README.md`."
        )

    def warned(self, methods: Sequence[Method]) -> list[RunResult]:
        """The runs of these methods that have a warning."""
        return [
            run
            for r in self.accelerations
            for method in methods
            for run in self._runs[r, method.name].values()
            if run.warnings
        ]


def common(*methods: Seeds) -> list[int]:
    """The seeds that several methods share.

    Raises:
        NotRun: if they are fewer than ``MIN_SEEDS``.
    """
    seeds = sorted(set.intersection(*map(set, methods)))
    if len(seeds) < MIN_SEEDS:
        raise NotRun(f"seeds in common: {len(seeds)} of {MIN_SEEDS}")
    return seeds


def paired(first: Seeds, second: Seeds, measure: Measure) -> list[float]:
    """A measure of the first runs minus that of the second, seed by seed."""
    return [measure(first[seed]) - measure(second[seed]) for seed in common(first, second)]


def best(methods: dict[float, Seeds], measure: Measure) -> float:
    """The key of the runs with the highest mean of a measure; NaN counts as the lowest."""

    def mean(key: float) -> float:
        found = float(np.mean([measure(run) for run in methods[key].values()]))
        return -math.inf if math.isnan(found) else found

    return max(methods, key=mean)


def validation_quality(run: RunResult) -> float:
    """Minus the lowest validation loss of a run, by which a slope is tuned: higher is better."""
    return -float(np.min(run.history["loss"], initial=math.inf, where=run.history["loss"] >= 0))
