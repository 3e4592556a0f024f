"""Fig. 3: image quality against slope."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from loupe_companion.figures.style import BLUE, GREY, MARKERS, WIDTH, YELLOW, colour_of
from loupe_companion.groups import Group, group_runs, groups_in_paper, groups_with_starts
from loupe_companion.methods import PAPER_RETURNED
from loupe_companion.results import RunResult
from loupe_companion.tables import CONFIDENCE, metric, p_dc_of, row_start, t_interval

EMPTY = 64.0  # an achieved R above this, or infinite, is drawn here
STARTS = ("#CC79A7", "#A87000", "#D9BC7A")  # of 4S from other initial slopes, the lowest first
NEAR_BEST = 1.0  # dB below the best fixed slope: what the insets show
INSET = (0.055, 0.125, 0.335, 0.4)  # left, bottom, width, height: fractions of the upper plot


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


def psnr_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 3: test PSNR against slope; below it, the R that thresholding achieves.

    Fixed slopes blue, 4S yellow at the slopes that it returned; R = 4 circles, R = 8 squares. Large
    with bar: mean and standard deviation over seeds, and for 4S the range of returned slopes.
    Small: each seed. Hollow: the mask of exactly N*N/R samples. An inset for each R enlarges 4S and
    the fixed slopes near the best one. Triangles: the slopes that the paper's 4S returned.
    """
    rows = groups_with_starts(results)
    figure = Figure(figsize=(WIDTH, 7.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    everything = [group for groups in rows.values() for group in groups]
    colours = _colours(everything)
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
    figure.legend(handles=_legend(rows, colours), ncols=4, fontsize=8, loc="outside upper center")
    return figure


def overview_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 3 at a glance, for a narrow column: fixed slopes and 4S, without seeds and insets."""
    rows = groups_in_paper(results)
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


def _colours(groups: Sequence[Group]) -> dict[str, str]:
    """By title: blue, yellow, and a tint for 4S from another initial slope."""
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
        if r in PAPER_RETURNED:
            s = PAPER_RETURNED[r]
            ax.plot(s, 0, "^", color="black", markersize=8, transform=place, clip_on=False)
            note: dict[str, Any] = {"textcoords": "offset points", "xycoords": place, "fontsize": 8}
            ax.annotate(f"R = {r:g}", (s, 0), (0, 7), ha="center", va="bottom", **note)


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
        free = 0.94 - bottom - height  # fraction of the axis above the insets and their titles
        ax.set_ylim(min(low, high - (high - floor) / free), high)


def _near_best(groups: Sequence[Group]) -> list[Group]:
    """4S, and what is near the best fixed slope; none if there is no such comparison."""
    known = [group for group in groups if group.mean_psnr > -math.inf]
    fixed = [group.mean_psnr for group in known if not group.config.shrinks]
    own = [group for group in known if group.config.shrinks and group.in_paper]
    if not fixed or not own:
        return []
    return [g for g in known if g in own or g.mean_psnr >= max(fixed) - NEAR_BEST]


def _legend(rows: dict[float, list[Group]], colours: dict[str, str]) -> list[Line2D]:
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
    if any(r in PAPER_RETURNED for r in rows):
        entries.append({"color": "black", "marker": "^", "label": "returned in the paper"})
    if any(run.warnings for group in groups for run in group.runs):
        entries.append({"color": "black", "marker": "x", "label": "warning"})
    common: dict[str, Any] = {"linestyle": "none", "markersize": 7}
    return [Line2D([], [], **(common | entry)) for entry in entries]


def psnr_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Test PSNR by kind of mask, achieved R, P(DC): a row for each R and method."""
    return pd.DataFrame(
        row_start(group)
        | {
            "PSNR (dB)": metric(group, "psnr"),
            "achieved R": metric(group, "achieved_acceleration"),
            "P(DC)": p_dc_of(group),
            "exact budget (dB)": metric(group, "psnr", mask="topk"),
            "relaxed masks (dB)": metric(group, "psnr", mask="relaxed"),
            "zero-filled (dB)": metric(group, "zero_filled_psnr"),
        }
        for group in group_runs(results)
    )


def volume_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """The same runs in the metrics of the fastMRI challenge, a mean over test volumes."""
    return pd.DataFrame(
        row_start(group)
        | {
            "volume PSNR (dB)": metric(group, "volume_psnr"),
            "SSIM": metric(group, "volume_ssim", digits=3),
            "NMSE": metric(group, "volume_nmse", digits=4),
        }
        for group in group_runs(results)
    )


def difference(results: Sequence[RunResult]) -> str:
    """A sentence for each R: 4S minus the best fixed slope, paired by seed, with its interval."""
    sentences = []
    for r, groups in groups_in_paper(results).items():
        *fixed, shrunk = groups
        if fixed and shrunk.config.shrinks:
            best = max(fixed, key=lambda group: group.mean_psnr)
            of = f"the best of {len(fixed)} fixed slopes" if fixed[1:] else "the only fixed slope"
            # The same seed has the same initial weights, order of images and draws of U.
            own, theirs = (
                {run.config.seed: run.psnr() for run in group.runs} for group in (shrunk, best)
            )
            gains = [own[seed] - theirs[seed] for seed in own.keys() & theirs.keys()]
            gap = np.mean(gains)
            spread = "one seed: no interval"
            if len(gains) > 1:
                low, high = t_interval(gains)
                spread = (
                    f"mean difference {gap:+.2f} dB, {CONFIDENCE:.0%} t interval "
                    f"[{low:+.2f}, {high:+.2f}], n = {len(gains)} seeds"
                )
            sentences.append(
                f"At R = {r:g}, 4S is {abs(gap):.2f} dB {'above' if gap > 0 else 'below'} {of}, "
                f"s = {best.config.slope:g} ({spread})."
            )
    return " ".join(sentences)
