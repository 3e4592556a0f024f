"""Fig. 2: how the entries of the masks are distributed before thresholding."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from loupe_companion.figures.style import WIDTH, colour_of, title_of
from loupe_companion.groups import groups_in_paper
from loupe_companion.results import RunResult


def histogram_figure(results: Sequence[RunResult]) -> Figure | None:
    """Fig. 2: histograms of the entries of M before thresholding; a row for each R.

    Over 1000 draws a run; with several seeds their mean, and the spread of the soft fraction.

    Returns:
        The figure; None for results without the paper's methods.
    """
    rows = groups_in_paper(results)
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.9 + 1.7 * len(rows)), layout="constrained")
    columns = max(map(len, rows.values()))
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for row, (acceleration, groups) in zip(axes, rows.items(), strict=True):
        for ax in row[len(groups) :]:
            ax.set_axis_off()
        for ax, group in zip(row, groups, strict=False):
            histogram = np.mean([run.histogram for run in group.runs], axis=0)
            edges = np.linspace(0, 1, len(histogram) + 1)
            ax.stairs(histogram, edges, fill=True, color=colour_of(group))
            ax.set_yscale("log")
            ax.set_title(title_of(group.runs).replace("4S (s = ", "4S\n").strip(")"), fontsize=8)
            soft = [run.soft_share for run in group.runs]
            text = f"soft {np.mean(soft):.1%}" + (f"\n±{np.std(soft):.1%}" if len(soft) > 1 else "")
            ax.text(0.5, 0.92, text, transform=ax.transAxes, ha="center", va="top", fontsize=8)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        row[0].set_ylabel(f"R = {acceleration:g}\nfraction of entries")
    figure.supxlabel("entry of $M$ before thresholding", fontsize=10)
    return figure
