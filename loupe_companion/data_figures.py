"""Figures of the images: heads, virtual subjects, spectra, phases, and pairs of samples."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from loupe_companion.figures.style import BLUE, UNIT, WIDTH, YELLOW, decades, show
from loupe_companion.symmetry import opposite
from loupe_lib.data.heads import Head
from loupe_lib.data.images import SPLITS, Images, Split, mean_power
from loupe_lib.encoder import undersample
from loupe_lib.metrics import target

PHASE: dict[str, Any] = {"cmap": "twilight", "vmin": -math.pi, "vmax": math.pi}


def heads_figure(heads: dict[str, Head]) -> Figure:
    """The embedded heads: an axial, a coronal and a sagittal cut through each slab."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    axes = figure.subplots(len(heads), 3, width_ratios=(1, 1.4, 1.4))
    for row, (name, head) in zip(axes, heads.items(), strict=True):
        z, y, x = (side // 2 for side in head.volume.shape)
        cuts = (
            (head.volume[z], f"{name}: axial"),
            (head.volume[::-1, y], "coronal"),
            (head.volume[::-1, :, x], "sagittal"),
        )
        for ax, (values, title) in zip(row, cuts, strict=True):
            show(ax, values, title, 9, cmap="gray")
    return figure


def cohort_figure(images: Images) -> Figure:
    """The middle slices of up to six virtual subjects a split: training on top, test below."""
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    axes = figure.subplots(3, 6)
    for row, part in zip(axes, SPLITS, strict=True):
        split = getattr(images, part)
        for v, ax in enumerate(row):
            ax.set_axis_off()
            if v < len(split.names):
                name = split.names[v].rpartition("/")[2]
                show(ax, target(_middle_slice(split, v)), name, 6.5, **UNIT)
    return figure


def spectrum_figure(images: Images) -> Figure:
    """Mean power spectrum of the training images, and its profile over the radius."""
    power = mean_power(images.train.images).numpy()
    n = images.size
    rows, columns = np.indices(power.shape) - n // 2
    radius = np.hypot(rows, columns)
    rings = np.arange(n // 2)
    profile = [power[(radius >= ring) & (radius < ring + 1)].mean() for ring in rings]
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    show(left, np.log10(power), "log10 of the mean power, DC in the middle", 10, cmap="viridis")
    figure.colorbar(left.images[0], ax=left, shrink=0.8)
    right.semilogy(rings, profile, color=BLUE)
    right.set(xlabel="distance from DC (samples)", ylabel="mean power")
    right.grid(alpha=0.3)
    return figure


def phase_figure(images: Images) -> Figure:
    """Complex images: the middle slices of the first and the last test volume, and k-space."""
    test = images.test
    volumes = sorted({0, len(test.names) - 1})
    figure = Figure(figsize=(WIDTH, 2.2 * len(volumes)), layout="constrained")
    rows = figure.subplots(len(volumes), 4, squeeze=False)
    for row, v in zip(rows, volumes, strict=True):
        x = _middle_slice(test, v)
        magnitude = target(x)
        full = torch.ones(x.shape)
        panels: list[tuple[str, Tensor, dict[str, Any]]] = [
            ("$|x|$", magnitude, UNIT),
            # Where there is no signal the phase is that of the noise: left white.
            ("phase of $x$", torch.where(magnitude > 0.1, x.angle(), torch.nan), PHASE),
            (r"$|\mathcal{F}(x)|$", decades(undersample(x[None], full)[0]), {}),
            (r"$|\mathcal{F}(|x|)|$", decades(undersample(magnitude[None], full)[0]), {}),
        ]
        for ax, (title, values, options) in zip(row, panels, strict=True):
            show(ax, values, title, 11, bar=True, **options)
    return figure


def pairs_figure(masks: Mapping[str, np.ndarray]) -> Figure:
    """Which samples of a pair (k, -k) masks keep: (N, N) binary, centred masks, by title."""
    colours = ListedColormap(["white", YELLOW, BLUE])
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    for ax, (title, mask) in zip(figure.subplots(1, len(masks)), masks.items(), strict=True):
        kept = mask > 0.5
        counts = kept.astype(int) + (kept & opposite(kept))
        show(ax, counts, title, 10, frame=True, cmap=colours, vmin=0, vmax=2)
    figure.legend(
        handles=[
            Patch(facecolor=YELLOW, edgecolor="black", label="its partner is not kept"),
            Patch(facecolor=BLUE, edgecolor="black", label="its partner is kept too"),
        ],
        title="a sample that is kept, and",
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _middle_slice(split: Split, volume: int) -> Tensor:
    slices = split.images[split.volume == volume]
    return slices[len(slices) // 2]
