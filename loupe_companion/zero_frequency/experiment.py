"""Is DC the cause? The same runs, trained again with a change that makes the mask keep DC."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.claims.against_best import DECIDING
from loupe_companion.claims.statistics import UNDECIDED, outcome_of
from loupe_companion.figures.style import GREY, WIDTH
from loupe_companion.groups import group_runs
from loupe_companion.profiles import OWN_SUBJECTS
from loupe_companion.results import RunResult
from loupe_companion.tables import CONFIDENCE, mean_and_spread, name_seeds, t_interval
from loupe_companion.zero_frequency.runs import comparable_runs, draw_points, run_row
from loupe_lib.data.heads import TEST_HEAD

AS_IT_IS = "as it is"
TRAININGS: dict[str, dict[str, Any]] = {  # what differs in RunConfig
    AS_IT_IS: {},
    "raised": {"dc_raised": True},
    "always measured": {"center": 1},
}
WRITTEN_METHODS = "s=20", "4S"  # of the test on the seeds that decide claim 3
MNI152_SEEDS = 3, 7, 9, 10  # of the second test on this head, in results/README.md
INTERVAL = f"{CONFIDENCE:.0%} interval"


def find_experiment(results: Sequence[RunResult]) -> tuple[list[RunResult], pd.DataFrame]:
    """The runs of each method of which one run or more was trained with a change, too.

    Returns:
        The runs, and a row for each: the columns of ``run_row``, and ``training``, a key of
        ``TRAININGS``. ``method`` is that of the run as it is.
    """
    found = {run.config: run for run in results}
    runs, rows = [], []
    for group in group_runs(comparable_runs(results)):
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
    """How each change acts on PSNR, apart for seeds whose masks lost DC without it or kept it.

    A gain is the mean over the methods of a seed, because runs of one seed are not independent.
    All seeds have the same methods: one that was not trained with every seed is left out. The
    outcome is *shown* if the whole t interval of the mean over seeds lies above 0, *refuted* if
    it lies below, else *undecided*, as on the page of the claims.
    """
    rows = []
    groups = _balanced(_pairs(data)).groupby(["R", "test head", "training", "fate"])
    # The usual test head comes first.
    for (r, head, training, fate), runs in sorted(groups, key=lambda g: g[0][1] != TEST_HEAD):
        rows.append(
            {
                "R": f"{r:g}",
                "test head": head,
                "change": training,
                "DC as it is": fate,
                "PSNR as it is (dB)": mean_and_spread(runs["psnr_before"]),
                "masks that keep DC": f"{runs['dc_kept'].sum()} of {len(runs)}",
            }
            | _gain(runs)
        )
    return pd.DataFrame(rows)


def gain_list(gains: pd.DataFrame) -> str:
    """What a :func:`gain_table` says of the usual test head: a list in Markdown."""
    lines = []
    usual = gains[gains["test head"] == TEST_HEAD]
    for (r, change), rows in usual.groupby(["R", "change"], sort=False):
        parts = [
            f"masks that had {row['DC as it is']} DC: {row['gain (dB)']} dB"
            + f" [{row[INTERVAL]}], a gain is *{row['outcome']}*" * (row[INTERVAL] != "-")
            + f" ({row['seeds']})"
            for row in rows.to_dict("records")
        ]
        lines.append(f"- **{change.capitalize()}, R = {r}**: {'; '.join(parts)}.")
    return "\n".join(lines)


def written_test(data: pd.DataFrame) -> str:
    """The outcome of the test on the seeds that decide claim 3: a list in Markdown."""
    methods = data[data["method"].isin(WRITTEN_METHODS)]
    pairs = _balanced(_always_measured(methods, TEST_HEAD, DECIDING))
    if set(pairs["seed"]) != set(DECIDING):
        return "Its runs are missing."
    return "\n".join(
        _line(f"Masks that had {fate} DC", runs) for fate, runs in pairs.groupby("fate", sort=False)
    )


def written_tests_on_mni152(data: pd.DataFrame) -> str:
    """The outcomes of the two tests on MNI152: a list in Markdown."""
    first = _always_measured(data, "mni152", range(OWN_SUBJECTS))
    first = first[~first["dc_kept_before"]]
    second = _always_measured(data, "mni152", MNI152_SEEDS)
    if first.empty or second.empty:
        return "Their runs are missing."
    by_run = _gain(first.assign(seed=range(len(first))))
    lines = (
        f"- The first, its {len(first)} runs as if independent: {by_run['gain (dB)']} dB "
        f"({INTERVAL} {by_run[INTERVAL]}), a gain is *{by_run['outcome']}*.",
        _line("The same runs by seed", first),
        _line("The second", second),
    )
    return "\n".join(lines)


def _always_measured(data: pd.DataFrame, head: str, seeds: Collection[int]) -> pd.DataFrame:
    """The runs of some seeds on one test head with DC always measured, beside those as they are."""
    pairs = _pairs(data)
    return pairs[
        (pairs["training"] == "always measured")
        & (pairs["test head"] == head)
        & pairs["seed"].isin(seeds)
    ]


def _line(name: str, pairs: pd.DataFrame) -> str:
    found = _gain(pairs)
    return (
        f"- {name} ({found['seeds']}): {found['gain (dB)']} dB ({INTERVAL} {found[INTERVAL]}), a "
        f"gain is *{found['outcome']}*."
    )


def _pairs(data: pd.DataFrame) -> pd.DataFrame:
    """Each run with a change beside the run as it is, whose columns end in ``_before``."""
    as_it_is = data["training"] == AS_IT_IS
    return data[~as_it_is].merge(
        data[as_it_is], on=["R", "test head", "method", "seed"], suffixes=("", "_before")
    )


def _balanced(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the methods that were trained with every seed, with a column ``fate``.

    It tells what the masks of a seed had done with DC without the change: ``kept`` or ``lost`` it,
    or ``partly kept`` it if only some did.
    """
    change = ["R", "test head", "training"]
    seeds = pairs.groupby(change)["seed"].transform("nunique")
    pairs = pairs[pairs.groupby([*change, "method"])["seed"].transform("nunique") == seeds]
    kept = pairs.groupby([*change, "seed"])["dc_kept_before"].transform("mean")
    return pairs.assign(fate=kept.map({0: "lost", 1: "kept"}).fillna("partly kept"))


def _gain(pairs: pd.DataFrame) -> dict[str, str]:
    """The mean over seeds of PSNR differences, its t interval, and whether that lies above 0."""
    gains = (pairs["psnr"] - pairs["psnr_before"]).groupby(pairs["seed"]).mean()
    interval, outcome = "-", UNDECIDED
    if len(gains) > 1:
        low, high = t_interval(list(gains))
        interval, outcome = f"{low:+.2f} to {high:+.2f}", outcome_of((low, high), 0, math.inf)
    seeds = name_seeds(gains.index)
    gain = mean_and_spread(gains)
    return {"seeds": seeds, "gain (dB)": gain, INTERVAL: interval, "outcome": outcome}
