"""One test slice, beside Fig. 3: its reconstructions and their errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.figures.style import UNIT, WIDTH, pixel_table, show
from loupe_companion.groups import Group, groups_with_starts
from loupe_companion.results import RunResult

ERROR: dict[str, Any] = {"cmap": "magma", "vmin": 0, "vmax": 0.1}


def groups_with_pictures(results: Sequence[RunResult]) -> dict[float, list[Group]]:
    """The methods whose reconstructions are shown, by R: 4S, the best fixed slope, the highest.

    Where the runs of 4S keep no pictures, those of 4S from another initial slope are taken. An R
    without runs of 4S that have pictures is left out.
    """
    chosen = {}
    for r, groups in groups_with_starts(results).items():
        shown = [group for group in groups if len(group.runs[0].shown)]
        shrunk = [group for group in shown if group.config.shrinks][:1]
        fixed = [group for group in shown if not group.config.shrinks]
        if shrunk:
            best = sorted(fixed, key=lambda group: group.mean_psnr)[-1:]
            ends = {group.title: group for group in (*best, *fixed[-1:])}
            chosen[r] = [*shrunk, *ends.values()]
    return chosen


def reconstruction_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """The images of the slice that :func:`reconstruction_figure` shows, a column each."""
    maps = {}
    for r, groups in groups_with_pictures(results).items():
        maps["test slice"] = groups[0].runs[0].truth[0]
        maps[f"R={r:g} zero-filled"] = groups[0].runs[0].zero_filled[0]
        for group in groups:
            maps[f"R={r:g} {group.title}"] = group.runs[0].reconstructions[0]
    return pixel_table(maps)


def reconstruction_figure(results: Sequence[RunResult]) -> Figure:
    """A test slice, zero-filled and reconstructed, and below each image its absolute error.

    Shown are the first seed of 4S, of the best and of the highest fixed slope.
    """
    rows = groups_with_pictures(results)
    figure = Figure(figsize=(WIDTH, 0.6 + 3.6 * len(rows)), layout="constrained")
    axes = figure.subplots(2 * len(rows), 2 + max(map(len, rows.values())), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for images, errors, (r, groups) in zip(axes[::2], axes[1::2], rows.items(), strict=True):
        first = groups[0].runs[0]
        truth = first.truth[0]
        show(images[0], truth, f"R = {r:g}\ntest slice", 8, **UNIT)
        shown = [(first.zero_filled[0], "zero-filled,\nmask of 4S")]
        for group in groups:
            run = group.runs[0]
            psnr = -10 * np.log10(np.mean((run.reconstructions[0] - truth) ** 2))
            method = f"s = {group.config.slope:g}"
            if group.config.shrinks:
                method = f"4S from {group.config.slope:g},\nreturned {run.slope:.0f}"
            shown.append((run.reconstructions[0], f"{method}\n{psnr:.1f} dB"))
        for image, error, (values, title) in zip(images[1:], errors[1:], shown, strict=False):
            show(image, values, title, 8, **UNIT)
            show(error, np.abs(values - truth), "", 8, **ERROR)
    bar = figure.colorbar(
        axes[1, 1].images[0], ax=axes, location="bottom", shrink=0.4, aspect=30, extend="max"
    )
    bar.set_label("absolute error", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure
