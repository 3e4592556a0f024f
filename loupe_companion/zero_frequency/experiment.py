"""Is DC the cause? The same runs, trained again with a change that makes the mask keep DC."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.claims.statistics import (
    CONFIDENCE,
    NOT_RUN,
    UNDECIDED,
    place,
    t_interval,
)
from loupe_companion.figures.style import GREY, WIDTH
from loupe_companion.groups import group_runs
from loupe_companion.results import RunResult
from loupe_companion.tables import mean_and_spread
from loupe_companion.zero_frequency.runs import draw_points, learned_runs, run_row
from loupe_lib.data.heads import HEADS, TEST_HEAD

AS_IT_IS = "as it is"
TRAININGS: dict[str, dict[str, Any]] = {  # what differs in RunConfig
    AS_IT_IS: {},
    "raised": {"dc_raised": True},
    "always measured": {"center": 1},
}
INTERVAL = f"{CONFIDENCE:.0%} interval"


def find_experiment(results: Sequence[RunResult]) -> tuple[list[RunResult], pd.DataFrame]:
    """The runs of each method of which one run or more was trained with a change, too.

    Returns:
        The runs, and a row for each: the columns of ``run_row``, and ``training``, a key of
        ``TRAININGS``. ``method`` is that of the run as it is.
    """
    found = {run.config: run for run in results}
    runs, rows = [], []
    for group in group_runs(learned_runs(results)):
        trained = [
            (name, found[config])
            for run in group.runs
            for name, change in TRAININGS.items()
            if (config := dataclasses.replace(run.config, **change)) in found
        ]
        if len(trained) > len(group.runs):
            runs += [run for _, run in trained]
            rows += [run_row(group.title, run) | {"training": name} for name, run in trained]
    return runs, pd.DataFrame(rows)


def experiment_figure(data: pd.DataFrame) -> Figure:
    """PSNR in the three trainings: a panel for each method, a line for each seed."""
    panels = data.groupby(["R", "method"], sort=False)
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, ((r, method), runs) in zip(axes, panels, strict=True):
        x = runs["training"].map(list(TRAININGS).index)
        for _, line in runs.groupby("seed"):
            ax.plot(x[line.index], line["psnr"], color=GREY, linewidth=0.8, zorder=1)
        draw_points(ax, runs, x, runs["psnr"])
        ax.set_xticks(
            range(len(TRAININGS)), TRAININGS, rotation=45, ha="right", rotation_mode="anchor"
        )
        ax.set_xlim(-0.4, 2.4)
        ax.set_title(f"{method}\nR = {r:g}", fontsize=9)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test PSNR (dB)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def gain_table(data: pd.DataFrame) -> pd.DataFrame:
    """How each change acts on PSNR, apart for masks that lost DC without it and that kept DC.

    The outcome is *shown* if the whole t interval of the mean lies above 0, *refuted* if it lies
    below, else *undecided*, as on the page of the claims.
    """
    plain, changed = (data[(data["training"] == AS_IT_IS) == same] for same in (True, False))
    pairs = changed.merge(plain, on=["R", "method", "seed"], suffixes=("", "_before"))
    rows = []
    for (r, kept, training), runs in pairs.groupby(["R", "dc_kept_before", "training"]):
        gains = list(runs["psnr"] - runs["psnr_before"])
        rows.append(
            {
                "R": f"{r:g}",
                "DC as it is": "kept" if kept else "lost",
                "change": training,
                "masks that keep DC": f"{runs['dc_kept'].sum()} of {len(runs)}",
            }
            | _gain(gains)
        )
    return pd.DataFrame(rows)


def _gain(gains: Sequence[float]) -> dict[str, str]:
    """The mean of PSNR differences, its t interval, and whether that lies above 0."""
    if not gains:
        return dict.fromkeys(("gain (dB)", INTERVAL, "outcome"), NOT_RUN)
    interval, outcome = "-", UNDECIDED
    if len(gains) > 1:
        low, high = t_interval(gains)
        interval, outcome = f"{low:+.2f} to {high:+.2f}", place((low, high), 0, math.inf)
    return {"gain (dB)": mean_and_spread(gains), INTERVAL: interval, "outcome": outcome}


def gains_of_lost(gains: pd.DataFrame) -> str:
    """What a :func:`gain_table` says of the masks that had lost DC: a list in Markdown."""
    return "\n".join(
        f"- **{row['change'].capitalize()}**, R = {row['R']}: {row['masks that keep DC']} masks "
        f"keep DC now. Their PSNR changes by {row['gain (dB)']} dB ({INTERVAL}: {row[INTERVAL]}): "
        f"a gain is {row['outcome']}."
        for row in gains[gains["DC as it is"] == "lost"].to_dict("records")
    )


def head_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """PSNR with DC and without, for each R and test head, and the gain if DC is always measured.

    Of runs that exist with every test head. Brackets have the number of runs and their seeds. The
    gain is that of the runs without DC.
    """
    found = {run.config: run for run in results}
    groups: dict[tuple[float, str], list[RunResult]] = {}
    for config in found:
        alike = [found.get(dataclasses.replace(config, test_head=head)) for head in HEADS]
        if config.variant in ("", f" tested on {config.test_head}") and all(alike):
            groups.setdefault((config.acceleration, config.test_head), []).append(found[config])
    rows = []
    for (r, head), runs in sorted(groups.items()):
        kept, lost = ([run for run in runs if (run.p_dc > 0.5) == dc] for dc in (True, False))
        gains = [
            measured.psnr() - run.psnr()
            for run in lost
            if (measured := found.get(dataclasses.replace(run.config, center=1)))
        ]
        row = {"R": f"{r:g}", "test head": head}
        row |= {"DC kept (dB)": _psnr_of(kept), "DC missing (dB)": _psnr_of(lost)}
        rows.append(row | _gain(gains))
    return pd.DataFrame(rows)


def gains_of_heads(heads: pd.DataFrame) -> str:
    """What a :func:`head_table` says of heads other than the usual test head: a list."""
    return "\n".join(
        f"- **Always measured, tested on {row['test head']}**, R = {row['R']}: the PSNR of masks "
        f"that had lost DC changes by {row['gain (dB)']} dB ({INTERVAL}: {row[INTERVAL]}): a gain "
        f"is {row['outcome']}."
        for row in heads.to_dict("records")
        if row["test head"] != TEST_HEAD and row["outcome"] != NOT_RUN
    )


def _psnr_of(runs: Sequence[RunResult]) -> str:
    if not runs:
        return "-"
    seeds = ", ".join(str(seed) for seed in sorted({run.config.seed for run in runs}))
    return f"{mean_and_spread([run.psnr() for run in runs])} ({len(runs)}; seeds {seeds})"
