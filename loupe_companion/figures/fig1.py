"""Fig. 1: the encoder as a block diagram."""

import dataclasses
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from loupe_companion.figures.style import UNIT, WIDTH, decades, draw_u, show
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.mask import ProbabilityMask
from loupe_lib.metrics import target
from loupe_lib.training.config import RunConfig

# Inches from the lower left corner of the figure.
HEIGHT, SIDE, SMALL = 4.75, 1.28, 0.66  # SIDE of a map, SMALL of U
COLUMNS = (0.08, 1.98, 3.98, 6.24)  # of the maps: gamma, S, P, M
LOWER_COLUMNS = (0.08, 1.98, 4.11, 6.24)  # x, F(x), y, zero-filled
UPPER, LOWER = 2.62, 0.62  # the bottoms of the two rows
MINUS, TIMES = 5.55, 3.69  # where U is subtracted, and where M is multiplied
SPECTRUM: dict[str, Any] = {"cmap": "viridis", "vmin": -4, "vmax": 0}


def encoder_maps(mask: ProbabilityMask, x: Tensor) -> dict[str, Tensor]:
    """Every intermediate result of the encoder, for one draw of U.

    Args:
        mask: a mask, trained or not.
        x: (N, N) image, real or complex.

    Returns:
        (N, N) maps by name, in the order of computation. K-space is centred, and given as log10 of
        its magnitude relative to the maximum, from -4 to 0.
    """
    with torch.no_grad():
        p = mask.probabilities()
        u = draw_u(p)
        m = mask.masks(u[None])[0]
        y = undersample(x[None], m)[0]
        return {
            "gamma": mask.gamma.detach(),
            "S": torch.sigmoid(mask.t * mask.gamma),
            "P": p,
            "U": u,
            "M": m,
            "x": target(x),
            "log10 |F(x)|": decades(undersample(x[None], torch.ones_like(m))[0]),
            "log10 |y|": decades(y),
            "|F^-1(y)|": zero_filled(y),
        }


def encoder_figure(mask: ProbabilityMask, x: Tensor) -> Figure:
    """Fig. 1: the encoder as a block diagram, for one image, with a map in every box.

    The upper row leads from gamma to the mask M, the lower row from the image to its zero-filled
    reconstruction. Arrows have the operation above them and the number of its equation below.

    Args:
        mask: a mask, trained or not.
        x: (N, N) image, real or complex.
    """
    maps = encoder_maps(mask, x)
    gamma, s, p, u, m, image, spectrum, y, reconstruction = maps.values()
    n = len(p) // 2
    figure = Figure(figsize=(WIDTH, HEIGHT))
    lines = figure.add_axes((0, 0, 1, 1))
    lines.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    lines.set_axis_off()
    scale = float(gamma.abs().max())
    weights: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -scale, "vmax": scale}
    absolute = "|x|" if x.is_complex() else "x"
    upper: list[tuple[Tensor, str, dict[str, Any]]] = [
        (gamma, "$\\gamma$\ntrainable weights", weights),
        (s, "$S$\nprobability map", UNIT),
        (p, f"$P$: mean {float(p.mean()):.3f},\nP(DC) = {float(p[n, n]):.2f}", UNIT),
        (m, f"$M$: one draw,\ns = {float(mask.slope):.0f}", UNIT),
    ]
    lower: list[tuple[Tensor, str, dict[str, Any]]] = [
        (image, f"${absolute}$\nimage", UNIT),
        (spectrum, "$|\\mathcal{F}(x)|$\nk-space", SPECTRUM),
        (y, "$|y|$\nmeasured samples", SPECTRUM),
        (reconstruction, "$|\\mathcal{F}^{-1}(y)|$\nzero-filled image", UNIT),
    ]
    axes: list[Axes] = []
    for row, columns, bottom in ((upper, COLUMNS, UPPER), (lower, LOWER_COLUMNS, LOWER)):
        for (values, title, limits), left in zip(row, columns, strict=True):
            axes.append(_box(figure, left, bottom, SIDE))
            show(axes[-1], values, title, 8.5, frame=True, **limits)
    axes.insert(3, _box(figure, MINUS - SMALL / 2, UPPER + SIDE + 0.13, SMALL))
    show(axes[3], u, "", 8.5, frame=True, **UNIT)
    axes[3].set_ylabel("$U$", fontsize=8.5, rotation=0, ha="right", va="center")

    middle, low = UPPER + SIDE / 2, LOWER + SIDE / 2
    right = [left + SIDE for left in COLUMNS]
    _arrow(lines, (right[0], middle), (COLUMNS[1], middle), r"$\sigma_t$", "(3)")
    _arrow(lines, (right[1], middle), (COLUMNS[2], middle), "rescale", "(5)")
    _arrow(lines, (right[2], middle), (MINUS - 0.11, middle))
    _arrow(lines, (MINUS, UPPER + SIDE + 0.13), (MINUS, middle + 0.11))
    _arrow(lines, (MINUS + 0.11, middle), (COLUMNS[3], middle), r"$\sigma_s$", "(6)")
    _sign(lines, (MINUS, middle), "\N{MINUS SIGN}")
    right = [left + SIDE for left in LOWER_COLUMNS]
    _arrow(lines, (right[0], low), (LOWER_COLUMNS[1], low), r"$\mathcal{F}$")
    _arrow(lines, (right[1], low), (TIMES - 0.11, low))
    _arrow(lines, (TIMES + 0.11, low), (LOWER_COLUMNS[2], low))
    _arrow(lines, (right[2], low), (LOWER_COLUMNS[3], low), r"$|\mathcal{F}^{-1}|$", "(2)")
    # From M down, to the left between the rows, and down to the product.
    below, end = UPPER - 0.14, COLUMNS[3] + SIDE / 2
    lines.plot([end, end, TIMES], [UPPER, below, below], color="black", linewidth=1.0)
    _arrow(lines, (TIMES, below), (TIMES, low + 0.11))
    _sign(lines, (TIMES, low), "\N{MULTIPLICATION SIGN}")
    lines.text(TIMES, low - 0.16, "(1)", ha="center", va="top", fontsize=8.5)
    for k, label, left in (
        (0, r"$\gamma$", COLUMNS[0]),
        (1, "$S$, $P$, $U$, $M$ and images", COLUMNS[1]),
        (6, r"k-space, log$_{10}$ of the magnitude", LOWER_COLUMNS[2]),
    ):
        bar = figure.add_axes((left / WIDTH, 0.36 / HEIGHT, SIDE / WIDTH, 0.07 / HEIGHT))
        colours = figure.colorbar(axes[k].images[0], cax=bar, orientation="horizontal")
        colours.ax.tick_params(labelsize=7, length=2, pad=1)
        colours.ax.locator_params(nbins=3)
        colours.set_label(label, fontsize=7.5, labelpad=1)
    return figure


def run_title(config: RunConfig) -> str:
    """A run in words: ``R = 4, 4S, DC always measured, seed 2``."""
    always = "DC" if config.center == 1 else f"a centre of side {config.center}"
    words = (
        f"R = {config.acceleration:g}",
        dataclasses.replace(config, center=0).method.replace("=", " = "),
        *([f"{always} always measured"] if config.center else []),
        f"seed {config.seed}",
    )
    return ", ".join(words)


def _box(figure: Figure, left: float, bottom: float, side: float) -> Axes:
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, side / WIDTH, side / HEIGHT))


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], above: str = "", below: str = ""
) -> None:
    head = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=head)
    x, y = (start[0] + end[0]) / 2, start[1]
    ax.text(x - 0.03, y + 0.07, above, ha="center", va="bottom", fontsize=9)
    ax.text(x - 0.03, y - 0.09, below, ha="center", va="top", fontsize=8.5)


def _sign(ax: Axes, place: tuple[float, float], sign: str) -> None:
    ax.plot(*place, "o", color="white", markersize=15, markeredgecolor="black")
    ax.text(*place, sign, ha="center", va="center_baseline", fontsize=12)
