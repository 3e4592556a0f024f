"""Fig. 4: the masks."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from loupe_companion.figures.style import UNIT, WIDTH, draw_u, show, title_of
from loupe_companion.groups import groups_in_paper
from loupe_companion.results import RunResult
from loupe_lib.mask import binarize, relax

FIG_4_SLOPES = (20.0, 200.0, 2000.0, 50000.0)


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
                (p, f"({next(letters)}) {title_of(group.runs[:1])}"),
                (relax(p, draw_u(p), run.slope), f"mean {float(p.mean()):.3f}"),
                (binarize(p), f"achieved R = {achieved}"),
            )
            for ax, (values, title) in zip(column, shown, strict=True):
                show(ax, values, title, 8, frame=True, interpolation="nearest", **UNIT)
        for ax, label in zip(axes[:, 0], ("$P$", "a draw of $M$", "$P > 0.5$"), strict=True):
            ax.set_ylabel(label, fontsize=10)
    return figure
