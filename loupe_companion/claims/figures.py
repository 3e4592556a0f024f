"""The figures of the claims' page: a Figure of runs that exist."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loupe_companion.claims.baselines import baselines
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.settings import SETTINGS, runs_by_value
from loupe_companion.claims.statistics import Finding, Verdict
from loupe_companion.figures.style import BLUE, GREY, MARKERS, WIDTH, YELLOW
from loupe_companion.methods import PAPER_RETURNED
from loupe_companion.tables import CONFIDENCE

SOFT = math.log(19)  # sigmoid(±ln 19) = 0.95 and 0.05
FINDINGS_CAPTION = f"""\
Small dots: seeds. Large dot and bar: mean and {CONFIDENCE:.0%} interval. Hollow: not counted.
Yellow: the values that support the claim."""


def findings_figure(verdict: Verdict) -> Figure:
    """Seeds, mean and interval of each comparison of a test: a panel for each part, and one beside.

    The last panels show what is not counted for the verdict, hollow, in a panel for each range of
    values that support the claim, which is shaded; those of other test heads, whose intervals are
    wide, are apart.
    """
    panels: dict[tuple[object, ...], list[Finding]] = {}
    for finding in sorted(verdict.findings, key=lambda finding: not finding.decides):
        beside = f"not counted{', other test heads' * ('tested on' in finding.part)}"
        key = (finding.part,) if finding.decides else (beside, finding.unit, finding.region)
        panels.setdefault(key, []).append(finding)
    heights = [0.75 + 0.27 * len(shown) for shown in panels.values()]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for ax, ((title, *_), shown) in zip(axes.flat, panels.items(), strict=True):
        rows = [
            ", ".join(filter(None, (f.part * (not f.decides), f.place, f.detail))) for f in shown
        ]
        _draw_intervals(ax, shown, rows, f"{title}{f' ({shown[0].unit})' * bool(shown[0].unit)}")
        low, high = ax.get_xlim()
        ax.axvspan(*np.clip(shown[0].region, low, high), color=YELLOW, alpha=0.18, linewidth=0)
        ax.set_xlim(low, high)
    return figure


def baselines_figure(table: RunTable) -> Figure | None:
    """4S minus each other way to choose a mask, by seed, with interval; a panel for each R."""
    found, _ = baselines(table)
    if not found:
        return None
    panels = [list(group) for _, group in groupby(found, lambda b: (b.finding.place, b.rival))]
    heights = [0.9 + 0.27 * len(panel) for panel in panels]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for ax, panel in zip(axes.flat, panels, strict=True):
        title = f"{panel[0].finding.place}, against {panel[0].rival}"
        _draw_intervals(ax, [b.finding for b in panel], [b.name for b in panel], title)
        ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        ax.tick_params(labelbottom=True)
    axes[-1, 0].set_xlabel("PSNR of 4S minus that of the other (dB), exact budget")
    return figure


def soft_fractions_figure(table: RunTable) -> Figure:
    """Claim 1: by slope, entries of M in (0.05, 0.95), with their bounds; of P in (0.1, 0.9)."""
    grids = {r: table.grid(r) for r in table.accelerations}
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    slopes = list(next(iter(grids.values())))
    fine = np.geomspace(slopes[0], slopes[-1], 100)
    bounds = np.clip(SOFT / fine, 0, 1), np.clip(2 * SOFT / fine, 0, 1)
    left.fill_between(fine, *bounds, color=GREY, alpha=0.25, label="possible", linewidth=0)
    for r, grid in grids.items():
        style: dict[str, Any] = {"marker": MARKERS.get(r, "D"), "linestyle": "none", "color": BLUE}
        style |= {"markerfacecolor": BLUE if r == min(grids) else "none", "alpha": 0.7}
        for ax, name in ((left, "soft_share"), (right, "undecided_share")):
            points = [(s, getattr(run, name)) for s in grid for run in grid[s].values()]
            ax.plot(*zip(*points, strict=True), label=f"R = {r:g}", **style)
    left.set(yscale="log", ylabel="fraction")
    left.set_title("entries of $M$ in (0.05, 0.95)", fontsize=10)
    right.set_title("entries of $P$ in (0.1, 0.9)", fontsize=10)
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.set(xscale="log", xlabel="slope $s$")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=9)
    return figure


def slopes_figure(table: RunTable) -> Figure:
    """Claim 2: test PSNR by fixed slope, with random relaxed masks and with the thresholded one."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots(1, len(table.accelerations), sharey=True, squeeze=False)
    for ax, r in zip(axes.flat, table.accelerations, strict=True):
        grid = table.grid(r)
        for mask, label, dash, face in (
            ("relaxed", "random relaxed masks", "--", "none"),
            ("threshold", "thresholded mask", "-", BLUE),
        ):
            psnr = {s: [run.psnr(mask) for run in runs.values()] for s, runs in grid.items()}
            style = {"color": BLUE, "marker": MARKERS.get(r, "D"), "markerfacecolor": face}
            _draw_means(ax, psnr, style, linestyle=dash, label=label)
        ax.set(xscale="log", xlabel="slope $s$")
        ax.set_title(f"R = {r:g}", fontsize=10)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel("test PSNR (dB)")
    axes[0, 0].legend(fontsize=9, loc="lower left")
    return figure


def returned_slopes_figure(table: RunTable) -> Figure:
    """Claim 5: the slope that 4S returned at each R, a point for each seed; crosses: the paper."""
    runs = {r: table.runs(r, "4S") for r in table.accelerations}
    figure = Figure(figsize=(WIDTH * 0.6, 3.4), layout="constrained")
    ax = figure.subplots()
    for seed in sorted(set.union(*map(set, runs.values()))):
        points = [(i, found[seed].slope) for i, found in enumerate(runs.values()) if seed in found]
        ax.plot(*zip(*points, strict=True), "o", color=YELLOW, markeredgecolor="black")
    ax.plot([PAPER_RETURNED.get(r, np.nan) for r in runs], "x", color="black", markersize=9)
    ax.set(yscale="log", ylabel="returned slope $s$", xlim=(-0.5, len(runs) - 0.5))
    ax.set_xticks(range(len(runs)), [f"R = {r:g}" for r in runs])
    ax.grid(alpha=0.3)
    return figure


def settings_figure(table: RunTable) -> Figure:
    """Claim 7: test PSNR by p, m and the initial slope. Small: each seed; large: the mean."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots(1, len(SETTINGS), sharey=True)
    for ax, name in zip(axes, SETTINGS, strict=True):
        for r in table.accelerations:
            runs = runs_by_value(table, r, name)
            psnr = {value: [run.psnr() for run in found.values()] for value, found in runs.items()}
            style = {"color": YELLOW, "marker": MARKERS.get(r, "D")}
            _draw_means(ax, psnr, style, label=f"R = {r:g}", markeredgecolor="black")
        ax.set(xscale="log", xlabel=name)
        ax.set_xticks(list(psnr), [f"{value:g}" for value in psnr])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test PSNR (dB)")
    axes[-1].legend(fontsize=9)
    return figure


def trained_slope_figure(table: RunTable) -> Figure:
    """Claim 8: a trained slope by epoch, and the entries of M at the end."""
    runs = {r: table.runs(r, "trained-slope") for r in table.accelerations}
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for r, found in runs.items():
        dash = "-" if r == min(runs) else "--"
        for run in found.values():
            slopes = run.history["slope"]
            left.plot(range(1, len(slopes) + 1), slopes, dash, color=BLUE)
        histogram = np.mean([run.histogram for run in found.values()], axis=0)
        edges = np.linspace(0, 1, len(histogram) + 1)
        right.stairs(histogram, edges, color=BLUE, linestyle=dash, label=f"R = {r:g}")
    left.set(yscale="log", xlabel="epoch", ylabel="trained slope $s$")
    left.grid(alpha=0.3)
    right.set(yscale="log", xlabel="entry of $M$ before thresholding", ylabel="fraction of entries")
    right.legend(fontsize=9)
    return figure


def _draw_means(
    ax: Axes, values: dict[float, list[float]], style: dict[str, Any], **of_means: Any
) -> None:
    """Large marks: the mean at each x, joined by a line. Small marks: each seed."""
    ax.plot([*values], [np.mean(each) for each in values.values()], **style, **of_means)
    points = [(x, y) for x, each in values.items() for y in each]
    ax.plot(*zip(*points, strict=True), linestyle="", markersize=3.5, alpha=0.6, **style)


def _draw_intervals(ax: Axes, findings: Sequence[Finding], rows: Sequence[str], title: str) -> None:
    """A row for each finding, the first on top. Small: seeds; large: mean; line: interval."""
    for y, finding in enumerate(findings):
        face = BLUE if finding.decides else "white"
        ax.plot(finding.interval, (y, y), color=BLUE, linewidth=1.5)
        ax.plot(finding.values, [y] * len(finding.values), "o", color=GREY, markersize=3.5)
        ax.plot(finding.mean, y, "o", color=BLUE, markersize=7, markerfacecolor=face)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_title(title, fontsize=10, loc="right")  # long titles extend over the labels
    ax.grid(axis="x", alpha=0.3)
