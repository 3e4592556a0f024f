"""The figures of the claims' page: results in, Figure out; None where the runs are missing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loupe_companion.claims.baselines import baselines
from loupe_companion.claims.returned_slope import EVERYWHERE
from loupe_companion.claims.run_table import Evidence
from loupe_companion.claims.settings import FIELDS, SETTINGS
from loupe_companion.claims.statistics import Finding, NotRun, Verdict
from loupe_companion.figures import BLUE, GREY, MARKERS, WIDTH, YELLOW

PAPER_SLOPES_RETURNED = {4.0: 18800.0, 8.0: 1675.0}  # of 4S, one seed each (paper, Fig. 3)
SOFT = math.log(19)  # sigmoid(±ln 19) = 0.95 and 0.05


def findings_figure(verdict: Verdict) -> Figure | None:
    """A panel for each part of a test: seeds, mean and interval at each R, and the test's region.

    The shaded values bear the claim out. Hollow: without a say in the verdict.
    """
    findings = [finding for finding in verdict.findings if len(finding.values) > 1]
    parts = list(dict.fromkeys(finding.part for finding in findings))
    if not parts:
        return None
    rows = max(len([f for f in findings if f.part == part]) for part in parts)
    height = 0.75 + 0.3 * rows
    figure = Figure(figsize=(WIDTH, height * len(parts)), layout="constrained")
    for ax, part in zip(figure.subplots(len(parts), 1, squeeze=False).flat, parts, strict=True):
        shown = [finding for finding in findings if finding.part == part]
        _intervals(ax, shown, [_row(finding) for finding in shown])
        ax.set_title(part, fontsize=10)
        low, high = ax.get_xlim()
        start, end = np.clip(shown[0].region, low, high)
        ax.axvspan(start, end, color=YELLOW, alpha=0.18, linewidth=0)
        ax.set_xlim(low, high)
    return figure


def baselines_figure(evidence: Evidence) -> Figure | None:
    """4S minus each other way to choose a mask, by seed, with interval; a panel for each R."""
    found, _ = baselines(evidence)
    rows = sorted({(b.finding.acceleration or 0.0, b.lines) for b in found})
    if not rows:
        return None
    panels = [[b for b in found if (b.finding.acceleration, b.lines) == row] for row in rows]
    figure = Figure(figsize=(WIDTH, sum(0.9 + 0.27 * len(p) for p in panels)), layout="constrained")
    heights = [0.9 + 0.27 * len(panel) for panel in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for ax, panel, (acceleration, lines) in zip(axes.flat, panels, rows, strict=True):
        _intervals(ax, [b.finding for b in panel], [b.name for b in panel])
        ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        ax.set_title(f"R = {acceleration:g}, {'lines' if lines else 'points'}", fontsize=10)
        ax.tick_params(labelbottom=True)
    axes[-1, 0].set_xlabel("PSNR of 4S minus that of the other (dB), exact budget")
    return figure


def shares_figure(evidence: Evidence) -> Figure | None:
    """Claim 1: soft entries of M against the slope, between their bounds; undecided ones of P."""
    try:
        grids = {r: evidence.grid(r) for r in evidence.accelerations}
    except NotRun:
        return None
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    slopes = np.array(sorted(next(iter(grids.values()))))
    fine = np.geomspace(slopes[0], slopes[-1], 100)
    bounds = np.clip(SOFT / fine, 0, 1), np.clip(2 * SOFT / fine, 0, 1)
    left.fill_between(fine, *bounds, color=GREY, alpha=0.25, label="possible", linewidth=0)
    for r, grid in grids.items():
        style: dict[str, Any] = {"marker": MARKERS.get(r, "D"), "linestyle": "none", "color": BLUE}
        style |= {"markerfacecolor": BLUE if r == min(grids) else "none", "alpha": 0.7}
        for ax, name in ((left, "soft_share"), (right, "undecided_share")):
            points = [(s, getattr(run, name)) for s in grid for run in grid[s].values()]
            ax.plot(*zip(*points, strict=True), label=f"R = {r:g}", **style)
    left.set_yscale("log")
    left.set_title("entries of $M$ in (0.05, 0.95)", fontsize=10)
    right.set_title("entries of $P$ in (0.1, 0.9)", fontsize=10)
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("slope $s$")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=9)
    left.set_ylabel("share")
    return figure


def returned_slopes_figure(evidence: Evidence) -> Figure | None:
    """Claim 5: the slope that 4S returned at each R, a line for each seed; crosses: the paper."""
    try:
        runs = {r: evidence.runs(r, "4S") for r in evidence.accelerations}
    except NotRun:
        return None
    figure = Figure(figsize=(WIDTH * 0.6, 3.4), layout="constrained")
    ax = figure.subplots()
    for seed in sorted(set.union(*(set(found) for found in runs.values()))):
        has = [r for r in runs if seed in runs[r]]
        places = [list(runs).index(r) for r in has]
        slopes = [runs[r][seed].slope for r in has]
        ax.plot(places, slopes, "o-", color=YELLOW, markeredgecolor="black", label=f"seed {seed}")
    for place, r in enumerate(runs):
        if r in PAPER_SLOPES_RETURNED:
            ax.plot(place, PAPER_SLOPES_RETURNED[r], "x", color="black", markersize=9)
    ax.set_yscale("log")
    ax.set_ylabel("returned slope $s$")
    ax.set_xticks(range(len(runs)), [f"R = {r:g}" for r in runs])
    ax.set_xlim(-0.5, len(runs) - 0.5)
    ax.grid(alpha=0.3)
    return figure


def settings_figure(evidence: Evidence) -> Figure | None:
    """Claim 7: test PSNR against p, m and the initial slope; thin: seeds, thick: their mean."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots(1, len(SETTINGS), sharey=True)
    for ax, (name, pattern) in zip(axes, SETTINGS.items(), strict=True):
        for r in evidence.accelerations:
            try:
                methods = [
                    evidence.runs(r, method.name) for method in evidence.methods(f"4S|{pattern}")
                ]
            except NotRun:
                return None
            psnr: dict[float, list[float]] = {}
            for runs in methods:
                for run in runs.values():
                    psnr.setdefault(getattr(run.config, FIELDS[name]), []).append(run.psnr())
            style: dict[str, Any] = {"color": YELLOW, "marker": MARKERS.get(r, "D")}
            values = sorted(psnr)
            means = [np.mean(psnr[value]) for value in values]
            ax.plot(values, means, label=f"R = {r:g}", markeredgecolor="black", **style)
            points = [(value, one) for value in values for one in psnr[value]]
            ax.plot(*zip(*points, strict=True), markersize=3.5, alpha=0.6, linestyle="", **style)
        if len(ax.lines) < 2:
            return None
        ax.set_xscale("log")
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
        ax.set_xlabel(name)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test PSNR (dB)")
    axes[-1].legend(fontsize=9)
    return figure


def trained_slope_figure(evidence: Evidence) -> Figure | None:
    """Claim 8: a trained slope, epoch by epoch, and the entries of M in the end."""
    try:
        runs = {r: evidence.runs(r, "trained-slope") for r in evidence.accelerations}
    except NotRun:
        return None
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for r, found in runs.items():
        dash = "-" if r == min(runs) else "--"
        for run in found.values():
            left.plot(
                1 + np.arange(len(run.history["slope"])), run.history["slope"], dash, color=BLUE
            )
        histogram = np.mean([run.histogram for run in found.values()], axis=0)
        edges = np.linspace(0, 1, len(histogram) + 1)
        right.stairs(histogram, edges, color=BLUE, linestyle=dash, label=f"R = {r:g}")
    left.set_yscale("log")
    left.set_xlabel("epoch")
    left.set_ylabel("trained slope $s$")
    left.grid(alpha=0.3)
    right.set_yscale("log")
    right.set_xlabel("entry of $M$ before thresholding")
    right.set_ylabel("share of entries")
    right.legend(fontsize=9)
    return figure


def _intervals(ax: Axes, findings: Sequence[Finding], rows: Sequence[str]) -> None:
    """A row for each finding, the first on top: its seeds small, its mean large, its interval."""
    for y, finding in enumerate(findings):
        low, high = finding.interval
        face = BLUE if finding.decides or finding.region == EVERYWHERE else "white"
        ax.plot((low, high), (y, y), color=BLUE, linewidth=1.5)
        ax.plot(finding.values, [y] * len(finding.values), "o", color=GREY, markersize=3.5)
        ax.plot(finding.mean, y, "o", color=BLUE, markersize=7, markerfacecolor=face)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)


def _row(finding: Finding) -> str:
    r = "" if finding.acceleration is None else f"R = {finding.acceleration:g}"
    return ", ".join(filter(None, (r, finding.detail)))
