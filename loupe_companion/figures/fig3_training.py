"""The training of 4S, beside Fig. 3: its slope and its loss, epoch by epoch."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.figures.style import BLUE, GREY, WIDTH, YELLOW
from loupe_companion.groups import Group, groups_in_paper
from loupe_companion.results import RunResult


def training_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """The histories of the runs with 4S: a row for each run and epoch."""
    runs = [run for group in _shrunk(results) for run in group.runs]
    return pd.concat(
        pd.DataFrame(
            {"run": run.config.label, "epoch": np.arange(1, len(run.history["loss"]) + 1)}
        ).assign(**{name: run.history[name] for name in ("round", "slope", "loss")})
        for run in runs
    )


def training_figure(results: Sequence[RunResult]) -> Figure:
    """How 4S acts: validation loss of the inference model, and slope, epoch by epoch.

    Dashed: round 2 begins. Dot: the weights that are kept.
    """
    runs = [run for group in _shrunk(results) for run in group.runs]
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
