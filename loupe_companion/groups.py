"""Results by method: runs that differ only by their seed belong together."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loupe_companion.methods import INITIAL_SLOPE
from loupe_companion.results import RunResult
from loupe_lib.training.config import RunConfig

# The paper's symbols for the settings of 4S, and s0 for the slope it starts from.
SYMBOLS = {"patience": "p", "factor": "m", "slope": "s0"}


@dataclass(frozen=True)
class Group:
    """The runs of one method at one acceleration, one run a seed.

    Attributes:
        title: names the method: ``s=200``, ``4S``, ``4S p=16``, ``tanh``, ``disc lines``.
        runs: at least one, by rising seed.
    """

    title: str
    runs: tuple[RunResult, ...]

    @property
    def config(self) -> RunConfig:
        """The configuration of the first run; the others differ by seed."""
        return self.runs[0].config

    @property
    def psnr(self) -> list[float]:
        """Test PSNR of each run, in dB."""
        return [run.psnr() for run in self.runs]

    @property
    def mean_psnr(self) -> float:
        """The mean of it, to rank groups: minus infinity if a run has none (NaN)."""
        mean = statistics.fmean(self.psnr)
        return -math.inf if math.isnan(mean) else mean

    @property
    def in_paper(self) -> bool:
        """Whether the paper has this method: a fixed slope of the sigmoid, or 4S as it stands."""
        config = self.config
        as_paper = config.mask == "sigmoid" and config.schedule == "4S" and not config.variant
        return as_paper and self.title == config.method


def group_runs(results: Sequence[RunResult]) -> list[Group]:
    """Group results by acceleration and method.

    Returns:
        Groups by rising R; of each R the fixed slopes, rising, then 4S, then other methods in the
        order of ``results``.
    """
    configs = [result.config for result in results]
    alike: dict[RunConfig, list[RunResult]] = {}
    for result in results:
        config = dataclasses.replace(result.config, seed=0, data_seed=0)
        alike.setdefault(config, []).append(result)
    groups = [
        Group(_title(config, configs), tuple(sorted(runs, key=lambda run: run.config.seed)))
        for config, runs in alike.items()
    ]
    return sorted(groups, key=_place)


def groups_in_paper(results: Sequence[RunResult]) -> dict[float, list[Group]]:
    """The groups that the paper's figures show, by R: fixed slopes, then 4S, if there are any."""
    rows: dict[float, list[Group]] = {}
    for group in group_runs(results):
        if group.in_paper:
            rows.setdefault(group.config.acceleration, []).append(group)
    return rows


def groups_with_starts(results: Sequence[RunResult]) -> dict[float, list[Group]]:
    """The same, and after 4S its variants that differ by the initial slope alone, rising."""
    groups = sorted(group_runs(results), key=lambda group: group.config.slope)
    rows = groups_in_paper(results)
    for row in rows.values():
        shrunk = row[-1]
        row += [group for group in groups if _differs_by_start(group, shrunk)]
    return rows


def _differs_by_start(group: Group, shrunk: Group) -> bool:
    own, other = dataclasses.asdict(shrunk.config), dataclasses.asdict(group.config)
    different = {name for name in own if own[name] != other[name]} - {"seed", "data_seed"}
    return shrunk.config.shrinks and different == {"slope"}


def returned_slope(runs: Sequence[RunResult]) -> str:
    """The slope of the kept weights: ``450``, or ``450 to 1012`` where runs differ."""
    return span(sorted(round(run.slope) for run in runs))


def span(values: Sequence[object]) -> str:
    """One value, or the first and the last of several."""
    return " to ".join(dict.fromkeys((str(values[0]), str(values[-1]))))


def _title(config: RunConfig, configs: Sequence[RunConfig]) -> str:
    """The method's name, with each setting that is not the usual one of these results."""
    alike = [other for other in configs if other.method == config.method]
    words = [config.method]
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        skipped = name in ("acceleration", "seed", "data_seed")
        if not skipped and not _is_usual(name, config, alike, configs):
            text = f"{value:g}" if isinstance(value, float) else value
            words.append(f"{SYMBOLS.get(name, name)}={text}")
    return " ".join(words)


def _is_usual(
    name: str, config: RunConfig, alike: list[RunConfig], configs: Sequence[RunConfig]
) -> bool:
    """Whether a setting has the only most frequent value among runs of the same method, ``alike``.

    Fixed slopes have the same p and m as the plain 4S of their sweep, so they tell the usual ones.
    4S usually starts at ``INITIAL_SLOPE``, if one of these runs does.
    """
    if name == "slope" and INITIAL_SLOPE in (other.slope for other in alike):
        return config.slope == INITIAL_SLOPE or not config.shrinks
    if name in ("patience", "factor") and config.method == "4S":
        alike = [*alike, *filter(_is_fixed_slope, configs)]
    return statistics.multimode(getattr(other, name) for other in alike) == [getattr(config, name)]


def _is_fixed_slope(config: RunConfig) -> bool:
    return config.mask == "sigmoid" and not config.shrinks and not config.variant


def _place(group: Group) -> tuple[float, int, float]:
    config = group.config
    if not group.in_paper:
        return config.acceleration, 2, 0.0
    return config.acceleration, int(config.shrinks), config.slope
