"""The runs that the claims are tested on: which a test needs, and which of them exist."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from loupe_companion.claims.statistics import MIN_SEEDS, NotRun
from loupe_companion.methods import Family, Method
from loupe_companion.profiles import Profile
from loupe_companion.results import RunResult
from loupe_lib.data.images import Images

Seeds = dict[int, RunResult]  # the runs of one method at one R, by seed


class RunTable:
    """Results by method, acceleration and seed.

    Args:
        results: of any sweeps; runs that do not belong to the profile are ignored.
        profile: the sweep whose methods are compared, with the seeds of the results.
        images: those that the runs were trained and tested on; None if they are missing.
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

    def methods(self, *families: Family, lines: bool = False) -> list[Method]:
        """The profile's methods of some families: those of point masks, or those of lines."""
        return [m for m in self.profile.methods if m.family in families and m.lines == lines]

    def found(self, acceleration: float, method: Method) -> Seeds:
        """The existing runs of a method at one R."""
        wanted = {seed: self.profile.config(method, acceleration, seed) for seed in self._seeds}
        return {s: self._results[c] for s, c in wanted.items() if c in self._results}

    def runs(self, acceleration: float, name: str) -> Seeds:
        """The runs of the method of that name at one R.

        Raises:
            NotRun: if the profile has no such method, or fewer than ``MIN_SEEDS`` runs exist.
        """
        methods = [method for method in self.profile.methods if method.name == name]
        found = self.found(acceleration, methods[0]) if methods else {}
        if len(found) < MIN_SEEDS:
            raise NotRun(f"{name} at R = {acceleration:g} has {len(found)} of {MIN_SEEDS} seeds")
        return found

    def grid(self, acceleration: float, lines: bool = False) -> dict[float, Seeds]:
        """The runs at every fixed slope at one R, slopes rising, all with the same seeds.

        Raises:
            NotRun: with fewer than two slopes, or fewer than ``MIN_SEEDS`` common seeds.
        """
        methods = self.methods("fixed slope", lines=lines)
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
            if any(len(self.found(r, method)) < MIN_SEEDS for r in self.accelerations)
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
            for run in self.found(r, method).values()
            if run.warnings
        ]

    def without_warnings(self) -> "RunTable":
        """The same without the runs that have a warning."""
        kept = (result for result in self._results.values() if not result.warnings)
        return RunTable(kept, self.profile, self.images)


def common(*methods: Mapping[int, RunResult]) -> list[int]:
    """The seeds that several methods share.

    Raises:
        NotRun: if they are fewer than ``MIN_SEEDS``.
    """
    seeds = sorted(set.intersection(*map(set, methods)))
    if len(seeds) < MIN_SEEDS:
        raise NotRun(f"seeds in common: {len(seeds)} of {MIN_SEEDS}")
    return seeds


def paired(
    first: Mapping[int, RunResult],
    second: Mapping[int, RunResult],
    measure: Callable[[RunResult], float],
) -> list[float]:
    """A number of the first runs minus that of the second, seed by seed."""
    return [measure(first[seed]) - measure(second[seed]) for seed in common(first, second)]


def best(methods: Mapping[float, Seeds], measure: Callable[[RunResult], float]) -> float:
    """The key of the runs with the highest mean of a number; NaN is lower than any number."""

    def mean(key: float) -> float:
        found = float(np.mean([measure(run) for run in methods[key].values()]))
        return -math.inf if math.isnan(found) else found

    return max(methods, key=mean)


def validation_quality(run: RunResult) -> float:
    """Minus the lowest validation loss of a run, by which a slope is tuned: higher is better."""
    return -float(np.min(run.history["loss"], initial=math.inf, where=run.history["loss"] >= 0))
