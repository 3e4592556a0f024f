"""What the kept runs show: which masks keep DC, and the PSNR with and without it.

``data`` is what :func:`loupe_companion.zero_frequency.runs.run_data` returns, of at least one run.
"""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from loupe_companion.claims.statistics import welch_interval
from loupe_companion.figures.style import WIDTH
from loupe_companion.groups import group_runs
from loupe_companion.results import RunResult
from loupe_companion.tables import CONFIDENCE, mean_and_spread
from loupe_companion.zero_frequency.runs import comparable_runs, draw_points
from loupe_lib.data.heads import TEST_HEAD


def runs_of_every_seed(results: Sequence[RunResult]) -> list[RunResult]:
    """Comparable runs on the usual test head of the methods that were trained with every seed."""
    runs = [run for run in comparable_runs(results) if run.config.test_head == TEST_HEAD]
    seeds = {run.config.seed for run in runs}
    groups = [group for group in group_runs(runs) if len(group.runs) == len(seeds)]
    return [run for group in groups for run in group.runs]


def compare_pairs(data: pd.DataFrame) -> str:
    """For each R: how many masks keep DC, and how PSNR differs within a method."""
    lines = []
    for r, runs in data.groupby("R"):
        with_dc, without = runs[runs["dc_kept"]], runs[~runs["dc_kept"]]
        pairs = with_dc.merge(without, on="method", suffixes=("", "_missing"))
        text = (
            f"- **R = {r:g}**, {runs['method'].nunique()} methods, {runs['seed'].nunique()} seeds: "
            f"{_count(runs)} masks keep DC."
        )
        if len(pairs):
            gains = pairs["psnr"] - pairs["psnr_missing"]
            seed, times = Counter(pairs["seed"]).most_common(1)[0]
            text += (
                f" The mask with DC has the higher PSNR in {(gains > 0).sum()} of {len(pairs)} "
                f"pairs; the mean difference is {gains.mean():+.2f} dB. In {times} of the pairs "
                f"the mask with DC is of seed {seed}, so they are not independent."
            )
        lines.append(text)
    return "\n".join(lines)


def points_figure(data: pd.DataFrame) -> Figure:
    """Test PSNR of each run: a row for each method, a panel for each R."""
    methods = list(dict.fromkeys(data["method"]))
    panels = data.groupby("R")
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (r, runs) in zip(axes, panels, strict=True):
        draw_points(ax, runs, runs["psnr"], runs["method"].map(methods.index))
        ax.set(xlabel="test PSNR (dB)", ylim=(len(methods) - 0.5, -0.5))
        ax.set_title(f"R = {r:g}", fontsize=10)
        ax.set_yticks(range(len(methods)), methods, fontsize=9)
        ax.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def kept_by_seed(data: pd.DataFrame) -> pd.DataFrame:
    """P(DC) before training, rising, and how many masks keep DC, for each R and seed."""
    return pd.DataFrame(
        {
            "R": f"{r:g}",
            "seed": str(seed),
            "P(DC) before training": f"{runs['p_dc_start'].iloc[0]:.2f}",
            "masks that keep DC": _count(runs),
        }
        for (r, _, seed), runs in data.groupby(["R", "p_dc_start", "seed"])
    )


def start_figure(data: pd.DataFrame) -> Figure:
    """P(DC) after training against P(DC) before: a panel for each method, a point for each run."""
    panels = data.groupby("method", sort=False)
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (method, runs) in zip(axes, panels, strict=True):
        draw_points(ax, runs, runs["p_dc_start"], runs["p_dc"])
        ax.set(xlabel="P(DC) before training", title=method)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("P(DC) after training")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def kept_by_method(data: pd.DataFrame) -> pd.DataFrame:
    """The methods by the number of runs that keep DC, the highest fraction first."""
    methods = [(runs["dc_kept"].mean(), _count(runs), m) for m, runs in data.groupby("method")]
    rows: dict[str, list[str]] = {}
    for _, count, method in sorted(methods, reverse=True):
        rows.setdefault(count, []).append(method)
    return pd.DataFrame(
        {"runs that keep DC": count, "methods": ", ".join(sorted(names))}
        for count, names in rows.items()
    )


def kept_minus_missing(data: pd.DataFrame) -> pd.DataFrame:
    """For each R and method: PSNR of the seeds whose mask keeps DC minus that of the others.

    The seeds are independent, and the interval is that of Welch. Methods without two seeds of each
    kind have no row.
    """
    rows = []
    for (r, method), runs in data.groupby(["R", "method"], sort=False):
        with_dc, without = runs[runs["dc_kept"]], runs[~runs["dc_kept"]]
        if min(len(with_dc), len(without)) < 2:
            continue
        low, high = welch_interval(list(with_dc["psnr"]), list(without["psnr"]))
        rows.append(
            {
                "R": f"{r:g}",
                "method": method,
                "DC kept (dB)": mean_and_spread(with_dc["psnr"]),
                "DC missing (dB)": mean_and_spread(without["psnr"]),
                "n": f"{len(with_dc)} and {len(without)}",
                "difference (dB)": f"{with_dc['psnr'].mean() - without['psnr'].mean():+.2f}",
                f"{CONFIDENCE:.0%} interval": f"{low:+.2f} to {high:+.2f}",
            }
        )
    return pd.DataFrame(rows)


def spread_table(data: pd.DataFrame) -> pd.DataFrame:
    """What DC and the seed explain of the variation of PSNR, for each R.

    PSNR, and the indicator of DC (1 if kept, else 0), are centred on their means over the runs of
    each method. *Explained by DC* is their squared correlation; *of the rest* is that after the
    mean of each seed is taken away too. Zero-filled: before the network.
    """
    rows = []
    for r, runs in data.groupby("R"):
        values = runs[["psnr", "dc_kept"]].astype(float)
        centred = values - values.groupby(runs["method"]).transform("mean")
        by_seed = centred.groupby(runs["seed"]).transform("mean")
        explained, rest = (
            each.corr().loc["psnr", "dc_kept"] ** 2 for each in (centred, centred - by_seed)
        )
        seed = by_seed["psnr"].var() / centred["psnr"].var()  # whose means are 0
        before = runs.groupby("dc_kept")["zero_filled_psnr"].agg(lambda v: mean_and_spread(v, 1))
        rows.append(
            {
                "R": f"{r:g}",
                "runs": str(len(runs)),
                "explained by DC": f"{explained:.0%}",
                "explained by the seed": f"{seed:.0%}",
                "of the rest, by DC": f"{rest:.0%}",
                "zero-filled, DC kept (dB)": before.get(True, "-"),
                "zero-filled, DC missing (dB)": before.get(False, "-"),
            }
        )
    return pd.DataFrame(rows)


def _count(runs: pd.DataFrame) -> str:
    return f"{runs['dc_kept'].sum()} of {len(runs)}"
