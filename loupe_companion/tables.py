"""What tables and captions share: Markdown, mean and spread, how the runs were trained."""

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from loupe_companion.groups import Group, group_runs, returned_slope, span
from loupe_companion.results import RunResult
from loupe_lib.training.config import HEADS

CONFIDENCE = 0.95  # of intervals
NUMBERS = r"([-+±.,%\d\s]|inf|nan|to)*"  # such as 36.43 ± 0.98, 7.36 to inf, 1.5%


def markdown(frame: pd.DataFrame) -> str:
    """A table of text cells in Markdown; columns of only numbers are set flush right."""
    numbers = [frame[name].astype(str).str.fullmatch(NUMBERS).all() for name in frame]
    align = ["right" if only else "left" for only in numbers]
    return frame.to_markdown(index=False, disable_numparse=True, colalign=align)


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the standard deviation where there are several; the range if one is infinite."""
    if not np.isfinite(values).all():
        return span([f"{value:.{digits}f}" for value in sorted(values)])
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def conditions(results: Sequence[RunResult]) -> str:
    """A figure's caption, in Markdown: seeds, sizes, device and training time of the runs.

    Their dates and code are on the page of the versions.
    """
    config = results[0].config
    seeds = {r.config.seed for r in results}
    epochs = sorted({len(r.history["loss"]) for r in results})
    devices = sorted({r.provenance["device"] for r in results})
    own = f"image file {config.data[:12]}"
    images = "virtual subjects from the embedded heads" if config.data == HEADS else own
    seconds = sum(r.provenance["training_seconds"] for r in results)
    return (
        f"*{len(results)} run{'s' * (len(results) > 1)} ({name_seeds(seeds)}): "
        f"N = {config.size}, U-Net width {config.width}, "
        f"{config.train} / {config.validation} / {config.test} training / validation / test "
        f"slices of {images}, {span(epochs)} epochs. Trained on {' and '.join(devices)}; "
        f"all runs together: {seconds / 60:.1f} minutes."
        f"{' ±: standard deviation over seeds.' * (len(seeds) > 1)}*"
    )


def name_seeds(seeds: Iterable[int]) -> str:
    """``seed 3``, ``seeds 3 to 7``, or each of them if they are two or some between are missing."""
    ordered = sorted(seeds)
    first, last = ordered[0], ordered[-1]
    if len(ordered) == 1:
        return f"seed {first}"
    whole = len(ordered) == last - first + 1 > 2
    return f"seeds {f'{first} to {last}' if whole else ', '.join(map(str, ordered))}"


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of the mean of two or more independent numbers (Student 1908)."""
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def left_out(results: Sequence[RunResult], rows: Iterable[Sequence[Group]]) -> str:
    """Which methods a figure with these rows leaves out."""
    drawn = {group.title for row in rows for group in row}
    titles = dict.fromkeys(g.title for g in group_runs(results) if g.title not in drawn)
    if not titles:
        return ""
    meaning = " (s0: the slope that 4S starts from)" * any("s0=" in title for title in titles)
    return f"The figure leaves out {', '.join(titles)}{meaning}."


def count_dc(runs: Collection[RunResult]) -> str:
    """How many of some runs have a mask that keeps the zero frequency: ``2 of 3``."""
    return f"{sum(run.p_dc > 0.5 for run in runs)} of {len(runs)}"


def dc_kept(results: Sequence[RunResult]) -> str:
    """A sentence: in how many runs the mask keeps the zero frequency, at each R."""
    rows: dict[float, list[RunResult]] = {}
    for run in results:
        rows.setdefault(run.config.acceleration, []).append(run)
    counts = [f"in {count_dc(runs)} runs at R = {r:g}" for r, runs in sorted(rows.items())]
    return f"The mask keeps the zero frequency, P(DC) > 0.5, {' and '.join(counts)}."


def by_slope(groups: Sequence[Group], fraction: Callable[[RunResult], float]) -> str:
    """A fraction, mean over seeds, at the lowest and the highest fixed slope, and with 4S."""
    fixed = [group for group in groups if not group.config.shrinks]
    shrunk = [group for group in groups if group.config.shrinks]
    shown = {group.title: group for group in (*fixed[:1], *fixed[-1:], *shrunk)}
    *first, last = (
        f"{np.mean([fraction(run) for run in group.runs]):.1%} ({title})"
        for title, group in shown.items()
    )
    return f"{', '.join(first)} and {last}" if first else last


def p_dc_of(group: Group) -> str:
    """P at the zero frequency, of each seed: with or without it, not between, so no mean."""
    return ", ".join(f"{run.p_dc:.2f}" for run in group.runs)


def metric(group: Group, name: str, mask: str = "threshold", digits: int = 2) -> str:
    """A metric of a group's runs: of each the mean over its slices or volumes."""
    return mean_and_spread([float(r.metrics[mask][name].mean()) for r in group.runs], digits)


def row_start(group: Group) -> dict[str, str]:
    """R and method, with the slopes that a schedule returned."""
    returned = f": {returned_slope(group.runs)}" * group.config.shrinks
    return {"R": f"{group.config.acceleration:g}", "method": group.title + returned}


def warning_list(results: Sequence[RunResult]) -> str:
    """Every warning with its run, as a Markdown list."""
    return "\n".join(
        f"- **Warning**, R={run.config.acceleration:g} {group.title} seed {run.config.seed}: {text}"
        for group in group_runs(results)
        for run in group.runs
        for text in run.warnings
    )
