"""Fig. 3: image quality against slope; the training of 4S; reconstructions of a slice."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loupe_companion.claims.returned_slope import PAPER
from loupe_companion.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    UNIT,
    WIDTH,
    YELLOW,
    colour_of,
    pixel_table,
    show,
)
from loupe_companion.groups import Group, groups_in_paper, groups_with_starts
from loupe_companion.results import RunResult

EMPTY = 64.0  # an achieved R above this, or infinite, is drawn here
STARTS = ("#F8DC9C", "#A87000", "#D9BC7A")  # of 4S from other initial slopes, the lowest first
NEAR_BEST = 1.0  # dB below the best fixed slope: what the insets show
INSET = (0.055, 0.125, 0.335, 0.4)  # left, bottom, width, height: fractions of the upper plot
ERROR: dict[str, Any] = {"cmap": "magma", "vmin": 0, "vmax": 0.1}


def psnr_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """What Fig. 3 shows: a row for each run, with its test PSNR (dB) by kind of mask."""
    return pd.DataFrame(
        {
            "R": group.config.acceleration,
            "method": group.title,
            "seed": run.config.seed,
            "slope": run.slope,
            "psnr": run.psnr(),
            "psnr_exact_budget": run.psnr("topk"),
            "achieved_R": run.achieved_acceleration(),
            "p_dc": run.p_dc,
            "warnings": "; ".join(run.warnings),
        }
        for groups in groups_with_starts(results).values()
        for group in groups
        for run in group.runs
    )


def psnr_figure(results: Sequence[RunResult]) -> Figure | None:
    """Fig. 3: test PSNR against slope; below it, the R that thresholding achieves.

    Fixed slopes blue, 4S yellow at the slopes that it returned; R = 4 circles, R = 8 squares. Large
    with bar: mean and standard deviation over seeds, and for 4S the range of returned slopes.
    Small: each seed. Hollow: the mask of exactly N*N/R samples. An inset for each R enlarges 4S and
    the fixed slopes near the best one. Triangles: the slopes that the paper's 4S returned.

    Returns:
        The figure; None for results without the paper's methods.
    """
    rows = groups_with_starts(results)
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 7.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    colours = _colours(rows)
    everything = [group for groups in rows.values() for group in groups]
    for group in everything:
        style: dict[str, Any] = {"color": colours[group.title], "linestyle": "none"}
        style["marker"] = MARKERS.get(group.config.acceleration, "D")
        slopes = [run.slope for run in group.runs]
        if len(slopes) > 1:
            above.plot(slopes, group.psnr, markersize=3.5, alpha=0.7, **style)
        if group.in_paper:
            exact = np.mean([run.psnr("topk") for run in group.runs])
            middle = _middle(group) * 1.08
            above.plot(middle, exact, markersize=8, markerfacecolor="none", **style)
        _draw_mean(above, group, colours[group.title])
        achieved = [min(run.achieved_acceleration(), EMPTY) for run in group.runs]
        below.plot(slopes, achieved, markersize=5 if group.in_paper else 3.5, alpha=0.8, **style)
        for run in group.runs:
            if run.warnings:
                above.plot(run.slope, run.psnr(), "x", color="black", markersize=11)
    for r in rows:
        below.axhline(r, color=GREY, linewidth=0.8, linestyle="--")
    above.set_ylabel("test PSNR (dB), mean over slices")
    below.set(xlabel="slope $s$", ylabel="achieved R", xscale="log", yscale="log")
    ticks = sorted({*rows, 2.0, 16.0, EMPTY})
    below.set_yticks(ticks, ["∞" if tick == EMPTY else f"{tick:g}" for tick in ticks])
    below.minorticks_off()
    for ax in (above, below):
        ax.grid(alpha=0.3)
    _mark_paper(above, list(rows))
    _add_insets(above, rows, colours)
    for entry in _legend(rows, colours):
        above.plot([], [], **({"linestyle": "none", "markersize": 7} | entry))
    figure.legend(
        handles=above.lines[-len(_legend(rows, colours)) :],
        ncols=4,
        fontsize=8,
        loc="outside upper center",
    )
    return figure


def overview_figure(results: Sequence[RunResult]) -> Figure | None:
    """Fig. 3 at a glance, for a narrow column: fixed slopes and 4S, without seeds and insets.

    Returns:
        The figure; None for results without the paper's methods.
    """
    rows = groups_in_paper(results)
    if not rows:
        return None
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    ax = figure.subplots()
    for group in (group for groups in rows.values() for group in groups):
        _draw_mean(ax, group, colour_of(group))
    marks = [(f"R = {r:g}", MARKERS.get(r, "D"), GREY) for r in rows]
    for label, marker, colour in (*marks, ("fixed slope", "o", BLUE), ("4S", "o", YELLOW)):
        ax.plot([], [], marker, color=colour, markersize=8, label=label)
    ax.set(xscale="log", xlabel="slope $s$", ylabel="test PSNR (dB)")
    ax.grid(alpha=0.3)
    ax.legend(ncols=2, loc="lower left")
    return figure


def _colours(rows: dict[float, list[Group]]) -> dict[str, str]:
    """By title: blue, yellow, and a tint for 4S from another initial slope."""
    groups = [group for row in rows.values() for group in row]
    starts = sorted({g.config.slope: g.title for g in groups if not g.in_paper}.items())
    tints = {title: STARTS[k % len(STARTS)] for k, (_, title) in enumerate(starts)}
    return {g.title: colour_of(g) for g in groups} | tints


def _middle(group: Group) -> float:
    """The geometric mean of the slopes of a group's runs."""
    return math.exp(np.mean([math.log(run.slope) for run in group.runs]))


def _draw_mean(ax: Axes, group: Group, colour: str) -> None:
    """Mean and standard deviation over seeds, and the range of the slopes."""
    slopes, middle, psnr = [run.slope for run in group.runs], _middle(group), group.psnr
    mean = np.mean(psnr)
    style: dict[str, Any] = {"color": colour, "capsize": 3, "linewidth": 1.3, "fmt": "none"}
    if len(psnr) > 1:
        reach = [[middle - min(slopes)], [max(slopes) - middle]]
        wide = reach if max(slopes) > min(slopes) else None
        ax.errorbar(middle, mean, np.std(psnr, ddof=1), wide, **style)
    ax.plot(
        middle,
        mean,
        MARKERS.get(group.config.acceleration, "D"),
        color=colour,
        markersize=9 if group.in_paper else 6.5,
        markeredgecolor="black",
        zorder=3,
    )


def _mark_paper(ax: Axes, accelerations: Sequence[float]) -> None:
    """A triangle on the slope axis for each slope that the paper's 4S returned."""
    place = ax.get_xaxis_transform()
    for r in accelerations:
        if r in PAPER:
            ax.plot(PAPER[r], 0, "^", color="black", markersize=8, transform=place, clip_on=False)
            note: dict[str, Any] = {"textcoords": "offset points", "xycoords": place, "fontsize": 8}
            ax.annotate(f"R = {r:g}", (PAPER[r], 0), (0, 7), ha="center", va="bottom", **note)


def _add_insets(ax: Axes, rows: dict[float, list[Group]], colours: dict[str, str]) -> None:
    """An inset for each R: 4S, and the fixed slopes that are near the best one."""
    chosen = {r: close for r, groups in rows.items() if (close := _near_best(groups))}
    left, bottom, width, height = INSET
    step = width + 0.06  # from one inset to the next
    for k, (r, groups) in enumerate(chosen.items()):
        inset = ax.inset_axes((left + k * step, bottom, width, height))
        for group in groups:
            _draw_mean(inset, group, colours[group.title])
        fixed = [group for group in groups if not group.config.shrinks]
        (shrunk,) = (group for group in groups if group.config.shrinks and group.in_paper)
        best = max(fixed, key=lambda group: group.mean_psnr)
        difference = shrunk.mean_psnr - best.mean_psnr
        inset.axhline(best.mean_psnr, color=BLUE, linewidth=0.8, linestyle=":")
        inset.axhline(shrunk.mean_psnr, color=YELLOW, linewidth=0.8, linestyle=":")
        inset.set_xscale("log")
        words = f"{abs(difference):.2f} dB {'above' if difference > 0 else 'below'}"
        inset.set_title(f"R = {r:g}: 4S is {words} s = {best.config.slope:g}", fontsize=8)
        inset.tick_params(labelsize=7)
        inset.grid(alpha=0.3)
        ax.indicate_inset(inset.viewLim.bounds, edgecolor=GREY, alpha=0.4)
    if chosen:
        # Room for the insets and their titles below the runs at the same slopes.
        low, high = ax.get_ylim()
        first, last = np.log(ax.get_xlim())
        until = math.exp(first + len(chosen) * step * (last - first))
        runs = [run for groups in rows.values() for group in groups for run in group.runs]
        floor = min(run.psnr() for run in runs if run.slope < until and run.psnr() > -math.inf)
        ax.set_ylim(min(low, high - (high - floor) / (0.94 - bottom - height)), high)


def _near_best(groups: Sequence[Group]) -> list[Group]:
    """4S, and what is near the best fixed slope; none if there is no such comparison."""
    known = [group for group in groups if group.mean_psnr > -math.inf]
    fixed = [group.mean_psnr for group in known if not group.config.shrinks]
    own = [group for group in known if group.config.shrinks and group.in_paper]
    if not fixed or not own:
        return []
    return [g for g in known if g in own or g.mean_psnr >= max(fixed) - NEAR_BEST]


def _legend(rows: dict[float, list[Group]], colours: dict[str, str]) -> list[dict[str, Any]]:
    """Every kind of mark on Fig. 3."""
    groups = [group for row in rows.values() for group in row]
    several = any(len(group.runs) > 1 for group in groups)
    methods = {
        "fixed $s$" if not g.config.shrinks else f"4S from s = {g.config.slope:g}": colours[g.title]
        for g in groups
    }
    mean = "mean ± SD; range of s" if several else "one run"
    entries: list[dict[str, Any]] = [
        *({"color": GREY, "marker": MARKERS.get(r, "D"), "label": f"R = {r:g}"} for r in rows),
        *({"color": c, "marker": "o", "label": label} for label, c in methods.items()),
        {"color": GREY, "marker": "o", "mfc": "none", "label": "exact budget"},
        {"color": GREY, "linestyle": "--", "label": "R that was set"},
    ]
    if several:
        entries.append({"color": GREY, "marker": "o", "markersize": 3.5, "label": "one seed"})
    entries.append({"color": GREY, "marker": "o", "mec": "black", "markersize": 9, "label": mean})
    if any(map(_near_best, rows.values())):
        entries.append({"color": GREY, "linestyle": ":", "label": "mean of 4S, of the best s"})
    if any(r in PAPER for r in rows):
        entries.append({"color": "black", "marker": "^", "label": "returned in the paper"})
    if any(run.warnings for group in groups for run in group.runs):
        entries.append({"color": "black", "marker": "x", "label": "warning"})
    return entries


def training_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """The histories of the runs with 4S: a row for each run and epoch."""
    runs = [run for group in _shrunk(results) for run in group.runs]
    return pd.concat(
        pd.DataFrame(
            {"run": run.config.label, "epoch": np.arange(1, len(run.history["loss"]) + 1)}
        ).assign(**{name: run.history[name] for name in ("round", "slope", "loss")})
        for run in runs
    )


def training_figure(results: Sequence[RunResult]) -> Figure | None:
    """How 4S acts: validation loss of the inference model, and slope, epoch by epoch.

    Dashed: round 2 begins. Dot: the weights that are kept.

    Returns:
        The figure; None for results without 4S.
    """
    runs = [run for group in _shrunk(results) for run in group.runs]
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


def _shrunk(results: Sequence[RunResult]) -> list[Group]:
    return [g for groups in groups_in_paper(results).values() for g in groups if g.config.shrinks]


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


def reconstruction_figure(results: Sequence[RunResult]) -> Figure | None:
    """A test slice, zero-filled and reconstructed, and below each image its absolute error.

    Shown are the first seed of 4S, of the best and of the highest fixed slope.

    Returns:
        The figure; None for results without 4S, or without pictures of test slices.
    """
    rows = groups_with_pictures(results)
    if not rows:
        return None
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
                method = f"4S, {method} to {run.slope:.0f}"
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
