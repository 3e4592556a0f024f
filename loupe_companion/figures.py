"""The paper's figures and two more: each function takes results and returns a figure."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from loupe_companion.evaluation import DRAW_SEED
from loupe_companion.groups import Group, group_runs, groups_in_paper, returned_slope
from loupe_companion.results import RunResult
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.mask import ProbabilityMask, binarize, relax
from loupe_lib.metrics import target

# Okabe and Ito's blue and orange, close to the paper's colours: the colour-blind can tell them.
BLUE, YELLOW, GREY = "#0072B2", "#E69F00", "#666666"
MARKERS = {4.0: "o", 8.0: "s"}  # the paper's circles and squares
EMPTY = 64.0  # an achieved R above this, or infinite, is drawn here
WIDTH = 7.6  # inches; scaled to the width of the page, labels have the size of the text
UNIT: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}  # of images and masks
FIG_4_SLOPES = (20.0, 200.0, 2000.0, 50000.0)


def show(
    ax: Axes,
    values: Tensor | np.ndarray,
    title: str,
    size: float,
    bar: bool = False,
    frame: bool = False,
    **limits: Any,
) -> None:
    """Draw a map with a title of a font size; with a colour bar below it, or a frame, if wanted."""
    picture = ax.imshow(np.asarray(values), **limits)
    ax.set_title(title, fontsize=size)
    if frame:
        ax.set(xticks=[], yticks=[])
    else:
        ax.set_axis_off()
    if bar:
        place: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.85, "pad": 0.03}
        colours = ax.figure.colorbar(picture, ax=ax, **place)
        colours.ax.tick_params(labelsize=8)
        colours.ax.locator_params(nbins=3)


def decades(k: Tensor) -> Tensor:
    """Magnitude of (N, N) k-space as log10 of its ratio to the maximum, centred, from -4 to 0."""
    magnitude = torch.fft.fftshift(k.abs())
    return (magnitude / magnitude.max()).clamp(min=1e-4).log10()


def encoder_figure(mask: ProbabilityMask, x: Tensor) -> Figure:
    """Fig. 1: every intermediate result of the encoder, for one image.

    The top row leads from gamma to the mask M, the bottom row from the image to its zero-filled
    reconstruction. K-space is shown as log10 of its magnitude.

    Args:
        mask: a mask, trained or not.
        x: (N, N) image, real or complex.
    """
    with torch.no_grad():
        s = torch.sigmoid(mask.t * mask.gamma)
        p = mask.probabilities()
        u = _draw(p)
        m = relax(p, u, mask.slope)
        spectrum = undersample(x[None], torch.ones_like(m))[0]
        y = undersample(x[None], m)[0]
    steps: list[tuple[str, str, Tensor, dict[str, Any]]] = [
        ("", r"$\gamma$", mask.gamma.detach(), {}),
        (r"$\sigma_t$", "$S$", s, UNIT),
        (r"$\langle\cdot\rangle=r$", f"$P$, mean {float(p.mean()):.3g}", p, UNIT),
        (r"$-\,U$", r"$U$", u, UNIT),
        (r"$\sigma_s$", f"$M$, $s={float(mask.slope):.0f}$", m, UNIT),
        ("", "$|x|$" if x.is_complex() else "$x$", target(x), UNIT),
        (r"$\mathcal{F}$", r"$|\mathcal{F}(x)|$", decades(spectrum), {}),
        (r"$\circ\,M$", "$|y|$", decades(y), {}),
        (r"$|\mathcal{F}^{-1}|$", r"$|\mathcal{F}^{-1}(y)|$", zero_filled(y), UNIT),
    ]
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots(2, 5)
    axes[1, 4].set_axis_off()
    for ax, (arrow, title, values, limits) in zip(axes.flat, steps, strict=False):
        show(ax, values, title, 11, bar=True, **limits)
        if arrow:
            place: dict[str, Any] = {"xycoords": "axes fraction", "ha": "center"}
            ax.annotate(f"{arrow}\n→", (-0.15, 0.5), va="center", fontsize=9, **place)
    return figure


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
            ax.stairs(histogram, edges, fill=True, color=_colour(group))
            ax.set_yscale("log")
            ax.set_title(_title(group.runs).replace("4S (s = ", "4S\n").strip(")"), fontsize=8)
            soft = [run.soft_share for run in group.runs]
            text = f"soft {np.mean(soft):.1%}" + (f"\n±{np.std(soft):.1%}" if len(soft) > 1 else "")
            ax.text(0.5, 0.92, text, transform=ax.transAxes, ha="center", va="top", fontsize=8)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        row[0].set_ylabel(f"R = {acceleration:g}\nfraction of entries")
    figure.supxlabel("entry of $M$ before thresholding", fontsize=10)
    return figure


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
            style: dict[str, Any] = {"marker": marker, "color": _colour(group), "linestyle": "none"}
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


def mask_figure(results: Sequence[RunResult]) -> Figure | None:
    """Fig. 4: probability masks, and below each a draw of M and the thresholded mask.

    Of the fixed slopes the paper's four are shown if all are there, else all that are. As in the
    paper the larger R is on top, (a) to (e), the smaller below, (f) to (j). Of several seeds the
    first is shown.

    Returns:
        The figure; None for results without the paper's methods.
    """
    rows = list(groups_in_paper(results).values())[::-1]
    if not rows:
        return None
    if {g.config.slope for g in rows[0] if not g.config.shrinks} >= set(FIG_4_SLOPES):
        rows = [
            [g for g in row if g.config.shrinks or g.config.slope in FIG_4_SLOPES] for row in rows
        ]
    figure = Figure(figsize=(WIDTH, 4.9 * len(rows)), layout="constrained")
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    blocks = np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.03))
    for block, groups in zip(blocks, rows, strict=True):
        block.suptitle(f"R = {groups[0].config.acceleration:g}", fontsize=11, fontweight="bold")
        axes = block.subplots(3, len(groups), squeeze=False)
        for column, group in zip(axes.T, groups, strict=True):
            run = group.runs[0]
            p = torch.from_numpy(run.probabilities)
            achieved = f"{run.achieved_acceleration():.2f}".replace("inf", "∞: empty")
            shown = (
                (p, f"({next(letters)}) {_title(group.runs[:1])}"),
                (relax(p, _draw(p), run.slope), f"mean {float(p.mean()):.3f}"),
                (binarize(p), f"achieved R = {achieved}"),
            )
            for ax, (values, title) in zip(column, shown, strict=True):
                show(ax, values, title, 8, frame=True, interpolation="nearest", **UNIT)
        for ax, label in zip(axes[:, 0], ("$P$", "a draw of $M$", "$P > 0.5$"), strict=True):
            ax.set_ylabel(label, fontsize=10)
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
            title = f"{_title(group.runs[:1])}\n{-10 * np.log10(error):.1f} dB"
            shown.append((run.reconstructions[0], title))
        for ax, (values, title) in zip(row, shown, strict=False):
            show(ax, values, title, 8, **UNIT)
    return figure


def _draw(p: Tensor) -> Tensor:
    """The same U for each mask of one size."""
    return torch.rand(p.shape, generator=torch.Generator().manual_seed(DRAW_SEED))


def _colour(group: Group) -> str:
    return YELLOW if group.config.shrinks else BLUE


def _title(runs: Sequence[RunResult]) -> str:
    config = runs[0].config
    return f"4S (s = {returned_slope(runs)})" if config.shrinks else f"s = {config.slope:g}"
