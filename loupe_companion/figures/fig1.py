"""Fig. 1: the encoder, step by step."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from loupe_companion.figures.style import UNIT, WIDTH, decades, draw_u, show
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.mask import ProbabilityMask, relax
from loupe_lib.metrics import target


def encoder_figure(mask: ProbabilityMask, x: Tensor) -> Figure:
    """Fig. 1: every intermediate result of the encoder, for one image.

    The top row leads from gamma to the mask M, the bottom row from the image to its zero-filled
    reconstruction. K-space is shown as log10 of its magnitude.

    Args:
        mask: a mask, trained or not.
        x: (N, N) image, real or complex.
    """
    with torch.no_grad():
        s = torch.sigmoid(mask.t * mask.gamma)
        p = mask.probabilities()
        u = draw_u(p)
        m = relax(p, u, mask.slope)
        spectrum = undersample(x[None], torch.ones_like(m))[0]
        y = undersample(x[None], m)[0]
    steps: list[tuple[str, str, Tensor, dict[str, Any]]] = [
        ("", r"$\gamma$", mask.gamma.detach(), {}),
        (r"$\sigma_t$", "$S$", s, UNIT),
        (r"$\langle\cdot\rangle=r$", f"$P$, mean {float(p.mean()):.3g}", p, UNIT),
        (r"$-\,U$", r"$U$", u, UNIT),
        (r"$\sigma_s$", f"$M$, $s={float(mask.slope):.0f}$", m, UNIT),
        ("", "$|x|$" if x.is_complex() else "$x$", target(x), UNIT),
        (r"$\mathcal{F}$", r"$|\mathcal{F}(x)|$", decades(spectrum), {}),
        (r"$\circ\,M$", "$|y|$", decades(y), {}),
        (r"$|\mathcal{F}^{-1}|$", r"$|\mathcal{F}^{-1}(y)|$", zero_filled(y), UNIT),
    ]
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots(2, 5)
    axes[1, 4].set_axis_off()
    for ax, (arrow, title, values, limits) in zip(axes.flat, steps, strict=False):
        show(ax, values, title, 11, bar=True, **limits)
        if arrow:
            place: dict[str, Any] = {"xycoords": "axes fraction", "ha": "center"}
            ax.annotate(f"{arrow}\n→", (-0.15, 0.5), va="center", fontsize=9, **place)
    return figure
