"""Fig. 4: the masks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from loupe_companion.figures.style import UNIT, WIDTH, YELLOW, draw_u, pixel_table, show, title_of
from loupe_companion.groups import Group, group_runs, groups_in_paper
from loupe_companion.results import RunResult
from loupe_companion.symmetry import pair_fractions
from loupe_companion.tables import by_slope, mean_and_spread, metric, p_dc_of, row_start, t_interval
from loupe_lib.mask import binarize, relax

FIG_4_SLOPES = (20.0, 200.0, 2000.0, 50000.0)
NEAR = 5  # the inset shows the samples up to this far from DC


def groups_shown(results: Sequence[RunResult]) -> list[list[Group]]:
    """The groups of Fig. 4: a row for each R, the largest first.

    Of the fixed slopes the paper's four are shown if all are there, else all that are.
    """
    rows = list(groups_in_paper(results).values())[::-1]
    if rows and {g.config.slope for g in rows[0] if not g.config.shrinks} >= set(FIG_4_SLOPES):
        return [
            [g for g in row if g.config.shrinks or g.config.slope in FIG_4_SLOPES] for row in rows
        ]
    return rows


def mask_data(results: Sequence[RunResult]) -> pd.DataFrame:
    """The probabilities that Fig. 4 shows: a row for each sample, a column for each mask."""
    return pixel_table(
        {
            f"R={group.config.acceleration:g} {group.title}": group.runs[0].probabilities
            for groups in groups_shown(results)
            for group in groups
        }
    )


def mask_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 4: probability masks, and below each a draw of M and the thresholded mask.

    As in the paper the larger R is on top, (a) to (e), the smaller below, (f) to (j). Of several
    seeds the first is shown. The inset enlarges the samples around DC.
    """
    rows = groups_shown(results)
    figure = Figure(figsize=(WIDTH, 4.9 * len(rows)), layout="constrained")
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    blocks = np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.03))
    for block, groups in zip(blocks, rows, strict=True):
        config = groups[0].runs[0].config
        block.suptitle(
            f"R = {config.acceleration:g}, seed {config.seed}", fontsize=11, fontweight="bold"
        )
        axes = block.subplots(3, len(groups), squeeze=False)
        for column, group in zip(axes.T, groups, strict=True):
            run = group.runs[0]
            p = torch.from_numpy(run.probabilities)
            achieved = f"{run.achieved_acceleration():.2f}".replace("inf", "∞: empty")
            shown = (
                (p, f"({next(letters)}) {title_of([run])}\nP(DC) = {run.p_dc:.2f}"),
                (relax(p, draw_u(p), run.slope), ""),
                (binarize(p), f"achieved R = {achieved}"),
            )
            for ax, (values, title) in zip(column, shown, strict=True):
                show(ax, values, title, 8, frame=True, interpolation="nearest", **UNIT)
            centre = len(p) // 2
            near = slice(centre - NEAR, centre + NEAR + 1)
            inset = column[0].inset_axes((0.64, 0, 0.36, 0.36))
            show(inset, p[near, near], "", 8, frame=True, interpolation="nearest", **UNIT)
            inset.spines[:].set_color(YELLOW)
        for ax, label in zip(axes[:, 0], ("$P$", "a draw of $M$", "$P > 0.5$"), strict=True):
            ax.set_ylabel(label, fontsize=10)
    return figure


def mask_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Entries of P far from 0 and 1, P(DC), and which samples of the pairs (k, -k) masks keep.

    A row for each R and method; of the last three columns the mean and the spread over seeds.
    """
    rows = []
    for group in group_runs(results):
        pairs = [pair_fractions(run.probabilities) for run in group.runs]
        rows.append(
            row_start(group)
            | {
                "P between 0.1 and 0.9": f"{np.mean([r.undecided_share for r in group.runs]):.1%}",
                "achieved R": metric(group, "achieved_acceleration"),
                "P(DC)": p_dc_of(group),
                "one of a pair (%)": mean_and_spread([100 * pair.one for pair in pairs], 1),
                "by chance (%)": mean_and_spread([100 * pair.one_by_chance for pair in pairs], 1),
                "both (%)": mean_and_spread([100 * pair.both for pair in pairs], 1),
            }
        )
    return pd.DataFrame(rows)


def undecided_slopes(results: Sequence[RunResult]) -> str:
    """Entries of P between 0.1 and 0.9 at the lowest and the highest slope and with 4S.

    In Markdown, with whether this is what the paper says of its Fig. 4, and how certain it is.
    """
    lines = []
    for r, groups in groups_in_paper(results).items():
        text = (
            f"- **R = {r:g}**: entries of $P$ between 0.1 and 0.9: "
            f"{by_slope(groups, lambda run: run.undecided_share)}."
        )
        fixed = [group for group in groups if not group.config.shrinks]
        if len(fixed) > 1:
            low, high = (
                {run.config.seed: run.undecided_share for run in group.runs}
                for group in (fixed[0], fixed[-1])
            )
            text += _against_paper([low[seed] - high[seed] for seed in low.keys() & high.keys()])
        lines.append(text)
    return "\n".join(lines)


def _against_paper(differences: Sequence[float]) -> str:
    """What the differences, lowest minus highest slope, one a seed, say of the paper's Fig. 4."""
    mean, n = np.mean(differences), len(differences)
    if mean == 0:
        return " The low and the high slope leave equally many of them."
    found = (
        "As in the paper, the low slope leaves more of them than the high one."
        if mean > 0
        else "Here the high slope leaves more of them, the opposite of the paper's Fig. 4."
    )
    if n > 1:
        low, high = t_interval(differences)
        if low > 0 or high < 0:
            return f" {found} [Claim 1](#claim-1) tests this."
    return f" {found} With {n} seed{'s' * (n > 1)} this is not certain: see [claim 1](#claim-1)."
