"""Fig. 2: how the entries of the masks are distributed before thresholding."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.evaluation import BINS, average_mask
from loupe_companion.figures.style import GREY, WIDTH, colour_of, title_of
from loupe_companion.groups import Group, groups_in_paper, groups_with_starts
from loupe_companion.results import RunResult
from loupe_companion.tables import by_slope, p_dc_of, row_start


def histogram_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """What Fig. 2 shows: for each R, method and bin the two fractions, means over seeds."""
    edges = np.linspace(0, 1, BINS + 1)
    frames = []
    for acceleration, groups in groups_in_paper(results).items():
        for group in groups:
            entries, averages = _histograms(group)
            columns = {"R": acceleration, "method": group.title, "from": edges[:-1]}
            columns |= {"to": edges[1:], "entries": entries, "averages": averages}
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames)


def histogram_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 2: histograms of the entries of M before thresholding; a row for each R.

    Filled: the entries of 1000 draws. Line: the entries of the average of the draws. Of several
    seeds the mean is shown.
    """
    rows = groups_in_paper(results)
    figure = Figure(figsize=(WIDTH, 1.1 + 1.8 * len(rows)), layout="constrained")
    columns = max(map(len, rows.values()))
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    edges = np.linspace(0, 1, BINS + 1)
    for row, (acceleration, groups) in zip(axes, rows.items(), strict=True):
        for ax in row[len(groups) :]:
            ax.set_axis_off()
        for ax, group in zip(row, groups, strict=False):
            entries, averages = _histograms(group)
            filled = ax.stairs(entries, edges, fill=True, color=colour_of(group))
            line = ax.stairs(averages, edges, color="black", linewidth=0.9)
            ax.set_yscale("log")
            ax.set_title(title_of(group.runs).replace("4S (s = ", "4S\n").strip(")"), fontsize=8)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        row[0].set_ylabel(f"R = {acceleration:g}\nfraction of entries")
    figure.supxlabel("value before thresholding", fontsize=10)
    figure.legend(
        [filled, line],
        ["entries of 1000 masks (4S yellow, fixed slopes blue)", "entries of their average"],
        loc="outside upper center",
        ncols=2,
        fontsize=9,
        edgecolor=GREY,
    )
    return figure


def _histograms(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Fractions in each bin of the entries of M, and of the average of M; means over seeds."""
    averages = [
        np.histogram(average_mask(run.probabilities, run.slope), BINS, (0, 1))[0]
        for run in group.runs
    ]
    entries = np.mean([run.histogram for run in group.runs], axis=0)
    return entries, np.mean(averages, axis=0) / group.config.size**2


def soft_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Fractions of the entries of single masks, and of their average, between 0.05 and 0.95.

    A row for each R and each fixed slope or start of 4S; means over seeds.
    """
    return pd.DataFrame(
        row_start(group)
        | {
            "entries of M": f"{np.mean([run.soft_share for run in group.runs]):.1%}",
            "entries of the average": f"{np.mean(list(map(_average_soft, group.runs))):.1%}",
            "P(DC)": p_dc_of(group),
        }
        for groups in groups_with_starts(results).values()
        for group in groups
    )


def step_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """The step of the histograms of single masks at 1/2.

    A row for each R and each fixed slope or start of 4S; means over seeds. The last two columns are
    the height above 1/2 divided by that below it: as counted, and as P and s predict.
    """
    rows = []
    for group in (group for row in groups_with_starts(results).values() for group in row):
        near = [np.mean(run.probabilities < 0.1 / run.slope) for run in group.runs]
        counted = np.mean([run.histogram for run in group.runs], axis=0)
        low, high = counted[BINS // 2 - 1], counted[BINS // 2]
        below, above = np.mean([_beside_half(run) for run in group.runs], axis=0)
        rows.append(
            row_start(group)
            | {
                "P below 0.1/s": f"{np.mean(near):.1%}",
                "step at ½": f"{high / low:.2f}" if low else "none counted",
                "step from P": f"{above / below:.2f}",
            }
        )
    return pd.DataFrame(rows)


def _beside_half(run: RunResult) -> tuple[float, float]:
    """Fractions of the entries of M in the bins below and above 1/2, by P and s.

    M is in the bin above 1/2 if U is between P - d and P, where sigmoid(s d) is the bin's end.
    """
    p = run.probabilities.astype(np.float64)
    end = 0.5 + 1 / BINS
    d = np.log(end / (1 - end)) / run.slope
    return float(np.minimum(1 - p, d).mean()), float(np.minimum(p, d).mean())


def soft_readings(results: Sequence[RunResult]) -> str:
    """The two readings of Fig. 2 at the lowest and the highest slope and with 4S, in Markdown."""
    return "\n".join(
        f"- **R = {r:g}**: entries of single masks between 0.05 and 0.95: "
        f"{by_slope(groups, lambda run: run.soft_share)}; entries of the average: "
        f"{by_slope(groups, _average_soft)}."
        for r, groups in groups_in_paper(results).items()
    )


def _average_soft(run: RunResult) -> float:
    """Fraction of the entries of the average mask in (0.05, 0.95)."""
    average = average_mask(run.probabilities, run.slope)
    return float(np.mean((average > 0.05) & (average < 0.95)))
