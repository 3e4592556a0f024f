"""The training of 4S, beside Fig. 3: its slope and its loss, epoch by epoch."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.figures.style import GREY, WIDTH, draw_history
from loupe_companion.groups import groups_in_paper
from loupe_companion.results import RunResult


def training_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """The histories of the runs with 4S: a row for each run and epoch."""
    return pd.concat(
        pd.DataFrame(
            {"run": run.config.label, "epoch": np.arange(1, len(run.history["loss"]) + 1)}
            | {name: run.history[name] for name in ("round", "slope", "loss")}
        )
        for run in _shrunk(results)
    )


def training_figure(results: Sequence[RunResult]) -> Figure:
    """How 4S acts: validation loss of the inference model, and slope, epoch by epoch.

    Dashed: round 2 begins. Dot: the weights that are kept.
    """
    runs = _shrunk(results)
    figure = Figure(figsize=(WIDTH, 3.2 * math.ceil(len(runs) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(runs) / 2), 2, squeeze=False, sharey=True)
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    for ax, run in zip(axes.flat, runs, strict=False):
        draw_history(ax, run.history["loss"], run.history["slope"])
        second = np.flatnonzero(run.history["round"] == 2)
        if len(second):
            ax.axvline(second[0] + 0.5, color=GREY, linewidth=0.8, linestyle="--")
        ax.set_title(run.config.label, fontsize=10)
    return figure


def _shrunk(results: Sequence[RunResult]) -> list[RunResult]:
    groups = [group for row in groups_in_paper(results).values() for group in row]
    return [run for group in groups if group.config.shrinks for run in group.runs]
