"""What the page's parts share: the runs with learned masks, their data, and the look of a point."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from matplotlib.axes import Axes

from loupe_companion.groups import group_runs
from loupe_companion.results import RunResult
from loupe_lib.baselines import MASKS
from loupe_lib.mask import ProbabilityMask
from loupe_lib.training.config import RunConfig
from loupe_lib.training.model import build_mask

# Below, thresholding lowers the PSNR of a fixed slope; above, its gradients nearly vanish.
SLOPES = 20, 2000

# Okabe and Ito's green and vermillion. Filled and hollow points say the same without colour.
WITH_DC, WITHOUT_DC = "#009E73", "#D55E00"


def learned_runs(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs with learned masks of points that are free to keep or to lose DC.

    Runs with another change, such as Keras's defaults, are left out too.
    """
    chosen = [
        run
        for run in results
        if run.config.variant in ("", " double round", f" tested on {run.config.test_head}")
        and issubclass(MASKS[run.config.mask], ProbabilityMask)
    ]
    settings = ("method", "slope", "factor", "patience")
    return sorted(chosen, key=lambda run: [getattr(run.config, name) for name in settings])


def comparable_runs(results: Sequence[RunResult]) -> list[RunResult]:
    """Learned runs without what lowers the PSNR much for another reason than DC.

    These are fixed slopes outside of ``SLOPES``, and the trained slope.
    """
    low, high = SLOPES
    return [
        run
        for run in learned_runs(results)
        if run.config.mask != "trained_slope"
        and (run.config.shrinks or low <= run.config.slope <= high)
    ]


def start_p_dc(config: RunConfig) -> float:
    """P at DC before training: it depends on seed, size and R, not on the method."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(config.seed)
        center = config.size // 2
        return float(build_mask(config).probabilities()[center, center])


def run_row(method: str, run: RunResult) -> dict[str, Any]:
    """What the page's tables and figures need of a run; PSNR in dB, with the thresholded mask."""
    head = run.config.test_head
    return {
        "R": run.config.acceleration,
        "test head": head,
        "method": method.removesuffix(f" tested on {head}"),
        "seed": run.config.seed,
        "psnr": run.psnr(),
        "zero_filled_psnr": float(run.metrics["threshold"]["zero_filled_psnr"].mean()),
        "p_dc_start": start_p_dc(run.config),
        "p_dc": run.p_dc,
        "dc_kept": run.p_dc > 0.5,
    }


def run_data(runs: Sequence[RunResult]) -> pd.DataFrame:
    """A row for each run, with the columns of :func:`run_row`."""
    return pd.DataFrame(
        run_row(group.title, run) for group in group_runs(runs) for run in group.runs
    )


def table_of_runs(data: pd.DataFrame, across: str) -> pd.DataFrame:
    """PSNR in dB, and P(DC) after training in brackets, with a column for each seed or training.

    Args:
        data: rows with the columns of :func:`run_row`, and perhaps ``training``.
        across: ``seed`` or ``training``.
    """
    columns = ("R", "test head", "method", "seed", "training")
    names = [name for name in columns if name in data and name != across]
    before = "seed " if across == "seed" else ""
    rows = []
    for key, runs in data.groupby(names, sort=False):
        cells = {
            f"{before}{getattr(run, across)}": f"{run.psnr:.2f} ({run.p_dc:.2f})"
            for run in runs.itertuples()
        }
        rows.append(dict(zip(names, key, strict=True)) | {"R": f"{key[0]:g}"} | cells)
    return pd.DataFrame(rows).fillna("not run")


def draw_points(ax: Axes, runs: pd.DataFrame, x: pd.Series, y: pd.Series) -> None:
    """Draw a point for each run: green and filled if its mask keeps DC, else red and hollow."""
    for kept, colour, label in ((True, WITH_DC, "DC kept"), (False, WITHOUT_DC, "DC missing")):
        chosen = runs["dc_kept"] == kept
        face = colour if kept else "none"
        ax.plot(x[chosen], y[chosen], "o", color=colour, markerfacecolor=face, label=label)
