"""Figures of 4S in layers beyond MRI: results in, Figure out."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from loupe_companion.beyond.experiment import Record, Training
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.figures.style import BLUE, GREY, WIDTH, YELLOW, draw_history


def accuracy_figure(record: Record) -> Figure:
    """Test accuracy by slope, a panel for each layer: fixed slopes blue, 4S yellow.

    4S is drawn at the slopes that it returned. Small: each seed; large with bar: mean and standard
    deviation over seeds. Hollow: the same models with the relaxed layer of training.
    """
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    for ax, (task, what) in zip(figure.subplots(1, len(TASKS)), TASKS.items(), strict=True):
        for slope in (*record.plan.slopes, None):
            _draw_accuracy(ax, record.of(task, slope), BLUE if slope else YELLOW)
        ax.set(xscale="log", xlabel="slope $s$")
        ax.set_title(what.title.replace(": ", "\n"), fontsize=9)
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy (%)")
    for label, colour, face in (
        ("fixed $s$", BLUE, BLUE),
        ("4S", YELLOW, YELLOW),
        ("relaxed layer", GREY, "none"),
    ):
        figure.axes[0].plot([], [], "o", color=colour, mfc=face, markersize=8, label=label)
    figure.legend(ncols=3, fontsize=9, loc="outside upper center")
    return figure


def _draw_accuracy(ax: Axes, runs: list[Training], colour: str) -> None:
    slopes = np.array([run.kept_slope for run in runs])
    accuracy = 100 * np.array([run.accuracy for run in runs])
    relaxed = 100 * np.array([run.relaxed_accuracy for run in runs])
    middle = float(np.exp(np.log(slopes).mean()))
    style: dict[str, Any] = {"marker": "o", "color": colour, "linestyle": "none"}
    ax.plot(middle * 1.15, relaxed.mean(), markersize=8, markerfacecolor="none", **style)
    ax.plot(slopes, accuracy, markersize=3.5, alpha=0.55, **style)
    ax.errorbar(middle, accuracy.mean(), accuracy.std(ddof=1), capsize=3, **style)
    ax.plot(middle, accuracy.mean(), markersize=9, markeredgecolor="black", **style)


def pixels_figure(record: Record) -> Figure:
    """The pixels that the masks keep, by slope: the fraction of seeds that keep each."""
    cases = _shown(record, "pixels")
    figure = Figure(figsize=(WIDTH, 2.1), layout="constrained")
    axes = figure.subplots(1, len(cases))
    for ax, (title, runs) in zip(axes, cases.items(), strict=True):
        kept = np.mean([run.layer for run in runs], axis=0).reshape(TASKS["pixels"].layer_shape)
        picture = ax.imshow(kept, vmin=0, vmax=1, cmap="gray")
        ax.set_title(title, fontsize=9)
        ax.set(xticks=[], yticks=[])
    figure.colorbar(picture, ax=list(axes), shrink=0.8, label="fraction of seeds")
    return figure


def filters_figure(record: Record) -> Figure:
    """The binary filters of the first seed, by slope: -1 black, 0 grey, 1 white."""
    cases = _shown(record, "filters")
    shape = TASKS["filters"].layer_shape
    figure = Figure(figsize=(WIDTH, 1.5 * len(cases) * WIDTH / 9), layout="constrained")
    axes = figure.subplots(len(cases), shape[0])
    for row, (title, runs) in zip(axes, cases.items(), strict=True):
        for ax, weights in zip(row, np.reshape(runs[0].layer, shape), strict=True):
            ax.imshow(weights, vmin=-1, vmax=1, cmap="gray")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    return figure


def _shown(record: Record, task: str) -> dict[str, list[Training]]:
    """The lowest, the best and the highest fixed slope, and 4S, each with its title."""
    slopes = record.plan.slopes
    fixed = dict.fromkeys((slopes[0], record.best_slope(task), slopes[-1]))
    cases = {f"s = {slope:g}": record.of(task, slope) for slope in fixed}
    return {**cases, "4S": record.of(task, None)}


def digits_figure(x: Tensor, mask: Tensor) -> Figure:
    """(n, 64) digits in [0, 1], and below each the pixels that a (64,) mask keeps."""
    figure = Figure(figsize=(WIDTH, 1.9), layout="constrained")
    axes = figure.subplots(2, len(x), squeeze=False)
    kept: Any = np.ma.masked_array(x.numpy(), (mask == 0).expand_as(x).numpy())
    for ax, values in zip(axes.flat, (*x.numpy(), *kept), strict=True):
        ax.imshow(values.reshape(8, 8), vmin=0, vmax=1, cmap="gray")
        ax.set_facecolor("#9FC6E0")  # the pixels that are not kept
        ax.set(xticks=[], yticks=[])
    return figure


def history_figure(losses: list[float], slopes: list[float]) -> Figure:
    """One training by epoch: loss of the binary layer, and slope. Dot: the epoch that is kept."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    draw_history(figure.subplots(), losses, slopes)
    return figure
