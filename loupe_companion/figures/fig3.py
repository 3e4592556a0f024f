"""Fig. 3: image quality against slope; the training of 4S; reconstructions of a slice."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from loupe_companion.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    UNIT,
    WIDTH,
    YELLOW,
    colour_of,
    show,
    title_of,
)
from loupe_companion.groups import group_runs, groups_in_paper
from loupe_companion.results import RunResult

EMPTY = 64.0  # an achieved R above this, or infinite, is drawn here


def psnr_figure(results: Sequence[RunResult]) -> Figure | None:
    """Fig. 3: test PSNR against slope; below it, the R that thresholding achieves.

    Fixed slopes blue, 4S yellow at the slope it returned; R = 4 circles, R = 8 squares. Hollow:
    the mask of exactly N*N/R samples. Small: each seed; large with bar: mean and standard
    deviation over seeds. Crossed out: a run with a warning.

    Returns:
        The figure; None for results without the paper's methods.
    """
    rows = groups_in_paper(results)
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for acceleration, groups in rows.items():
        marker = MARKERS.get(acceleration, "D")
        for group in groups:
            runs = group.runs
            slopes = np.array([run.slope for run in runs])
            middle = float(np.exp(np.log(slopes).mean()))
            exact = np.array([run.psnr("topk") for run in runs])
            hard = np.array(group.psnr)
            achieved = np.array([min(run.achieved_acceleration(), EMPTY) for run in runs])
            style: dict[str, Any] = {
                "marker": marker,
                "color": colour_of(group),
                "linestyle": "none",
            }
            above.plot(middle * 1.08, exact.mean(), markersize=8, markerfacecolor="none", **style)
            if len(runs) > 1:
                above.plot(slopes, hard, markersize=3.5, alpha=0.55, **style)
                above.errorbar(middle, hard.mean(), hard.std(ddof=1), capsize=3, **style)
            above.plot(middle, hard.mean(), markersize=9, markeredgecolor="black", **style)
            below.plot(slopes, achieved, markersize=5, alpha=0.8, **style)
            for run in runs:
                if run.warnings:
                    above.plot(run.slope, run.psnr(), "x", color="black", markersize=11)
        below.axhline(acceleration, color=GREY, linewidth=0.8, linestyle="--")
    above.set_ylabel("test PSNR (dB), mean over slices")
    below.set(xlabel="slope $s$", ylabel="achieved R", xscale="log", yscale="log")
    ticks = sorted({*rows, 2.0, 16.0, EMPTY})
    below.set_yticks(ticks, ["∞" if tick == EMPTY else f"{tick:g}" for tick in ticks])
    below.minorticks_off()
    for ax in (above, below):
        ax.grid(alpha=0.3)
    entries: list[dict[str, Any]] = [
        *({"color": GREY, "marker": MARKERS.get(r, "D"), "label": f"R = {r:g}"} for r in rows),
        {"color": BLUE, "marker": "o", "label": "fixed $s$"},
        {"color": YELLOW, "marker": "o", "label": "4S"},
        {"color": GREY, "marker": "o", "mfc": "none", "label": "exact budget"},
    ]
    if any(run.warnings for groups in rows.values() for group in groups for run in group.runs):
        entries.append({"color": "black", "marker": "x", "label": "warning"})
    for entry in entries:
        above.plot([], [], linestyle="none", markersize=8, **entry)
    above.legend(ncols=6, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def training_figure(results: Sequence[RunResult]) -> Figure | None:
    """How 4S acts: validation loss of the inference model, and slope, epoch by epoch.

    Dashed: round 2 begins. Dot: the weights that are kept.

    Returns:
        The figure; None for results without 4S.
    """
    shrunk = [g for g in group_runs(results) if g.in_paper and g.config.shrinks]
    runs = [run for group in shrunk for run in group.runs]
    if not runs:
        return None
    figure = Figure(figsize=(WIDTH, 3.2 * math.ceil(len(runs) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(runs) / 2), 2, squeeze=False, sharey=True)
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    for ax, run in zip(axes.flat, runs, strict=False):
        epochs = np.arange(1, len(run.history["loss"]) + 1)
        ax.plot(epochs, run.history["loss"], color=BLUE, linewidth=1)
        ax.set_yscale("log")
        best = int(run.history["loss"].argmin())
        ax.plot(epochs[best], run.history["loss"][best], "o", color="black", markersize=5)
        second = np.flatnonzero(run.history["round"] == 2)
        if len(second):
            ax.axvline(epochs[second[0]] - 0.5, color=GREY, linewidth=0.8, linestyle="--")
        right = ax.twinx()
        right.plot(epochs, run.history["slope"], color=YELLOW, drawstyle="steps-mid")
        right.set_yscale("log")
        right.set_ylabel("slope $s$ (yellow)", fontsize=9)
        ax.set_title(run.config.label, fontsize=10)
        ax.set_xlabel("epoch", fontsize=9)
        ax.set_ylabel("validation loss (blue)", fontsize=9)
    return figure


def reconstruction_figure(results: Sequence[RunResult]) -> Figure | None:
    """A test slice, zero-filled and reconstructed: the first seed's.

    Shown are the lowest and the highest fixed slope, where there are any, and 4S.

    Returns:
        The figure; None for results without 4S, or without pictures of test slices.
    """
    rows = []
    for *fixed, shrunk in groups_in_paper(results).values():
        if shrunk.config.shrinks and len(shrunk.runs[0].shown):
            rows.append([*(fixed if len(fixed) < 2 else (fixed[0], fixed[-1])), shrunk])
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.3 + 1.8 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2 + max(map(len, rows)), squeeze=False)
    for row, groups in zip(axes, rows, strict=True):
        for ax in row[2 + len(groups) :]:
            ax.set_axis_off()
        last = groups[-1].runs[0]
        shown = [
            (last.truth[0], f"R = {last.config.acceleration:g}\ntest slice"),
            (last.zero_filled[0], "4S mask,\nzero-filled"),
        ]
        for group in groups:
            run = group.runs[0]
            error = np.mean((run.reconstructions[0] - run.truth[0]) ** 2)
            title = f"{title_of(group.runs[:1])}\n{-10 * np.log10(error):.1f} dB"
            shown.append((run.reconstructions[0], title))
        for ax, (values, title) in zip(row, shown, strict=False):
            show(ax, values, title, 8, **UNIT)
    return figure
