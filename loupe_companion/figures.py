"""The paper's figures, and a few beside them: one function a figure, results in, Figure out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from loupe_companion.evaluation import DRAW_SEED
from loupe_companion.results import RunResult
from loupe_companion.symmetry import opposite
from loupe_lib.data.heads import Head
from loupe_lib.data.images import Images
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.mask import ProbabilityMask, binarize, relax
from loupe_lib.metrics import target
from loupe_lib.training.config import RunConfig

# Okabe and Ito's blue and yellow-orange: the paper's two colours, apart for every kind of sight.
BLUE, YELLOW, GREY = "#0072B2", "#E69F00", "#666666"
MARKERS = {4.0: "o", 8.0: "s"}  # the paper's circles and squares
EMPTY = 64.0  # where the R of a mask that keeps nothing, or next to nothing, is drawn
WIDTH = 7.6  # inches; at the width of the page, letters are then of the size of the text


def encoder_figure(mask: ProbabilityMask, x: Tensor, seed: int = DRAW_SEED) -> Figure:
    """Fig. 1: what stands between the boxes of the encoder's diagram, for one image.

    Above the mask's path, below the image's; magnitudes of k-space in decades.

    Args:
        mask: a mask, trained or not.
        x: (N, N) image, real or complex.
        seed: of the draw U.
    """
    with torch.no_grad():
        s = torch.sigmoid(mask.t * mask.gamma)
        p = mask.probabilities()
        u = torch.rand(p.shape, generator=torch.Generator().manual_seed(seed))
        m = relax(p, u, mask.slope)
        spectrum = undersample(x[None], torch.ones_like(m))[0]
        y = undersample(x[None], m)[0]
    steps: list[tuple[str, str, Tensor, bool]] = [
        ("", r"$\gamma$", mask.gamma.detach(), False),
        (r"$\sigma_t$", "$S$", s, True),
        (r"$\langle\cdot\rangle=r$", f"$P$, mean {float(p.mean()):.3g}", p, True),
        (r"$-\,U$", r"$U$", u, True),
        (r"$\sigma_s$", f"$M$, $s={float(mask.slope):.0f}$", m, True),
        ("", "$|x|$" if x.is_complex() else "$x$", target(x), True),
        (r"$\mathcal{F}$", r"$|\mathcal{F}(x)|$", _log(spectrum), False),
        (r"$\circ\,M$", "$|y|$", _log(y), False),
        (r"$|\mathcal{F}^{-1}|$", r"$|\mathcal{F}^{-1}(y)|$", zero_filled(y), True),
    ]
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots(2, 5)
    axes[1, 4].set_axis_off()
    for ax, (arrow, title, values, unit) in zip(axes.flat, steps, strict=False):
        limits: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": "gray"} if unit else {}
        picture = ax.imshow(values.numpy(), **limits)
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()
        if arrow:
            place: dict[str, Any] = {"xycoords": "axes fraction", "ha": "center"}
            ax.annotate(f"{arrow}\n→", (-0.15, 0.5), va="center", fontsize=9, **place)
        bar = figure.colorbar(picture, ax=ax, orientation="horizontal", shrink=0.85, pad=0.03)
        bar.ax.tick_params(labelsize=8)
        bar.ax.locator_params(nbins=3)
    return figure


def _log(k: Tensor) -> Tensor:
    """Magnitude of k-space in decades under its maximum, centred, four of them."""
    magnitude = torch.fft.fftshift(k.abs())
    return (magnitude / magnitude.max()).clamp(min=1e-4).log10()


def histogram_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 2: histograms of the entries of M before thresholding; a row for each R.

    Over 1000 draws a run; with several seeds their mean, and the spread of the soft share.
    """
    rows, columns = _accelerations(results), _cases(results)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.7 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for i, acceleration in enumerate(rows):
        for j, case in enumerate(columns):
            runs = _of(results, acceleration, case)
            ax = axes[i, j]
            histogram = np.mean([run.histogram for run in runs], axis=0)
            edges = np.linspace(0, 1, len(histogram) + 1)
            ax.stairs(histogram, edges, fill=True, color=YELLOW if case is None else BLUE)
            ax.set_yscale("log")
            ax.set_title(_case_title(case, runs).replace("4S (s = ", "4S\n").strip(")"), fontsize=8)
            soft = [run.soft_share for run in runs]
            text = f"soft {np.mean(soft):.1%}" + (f"\n±{np.std(soft):.1%}" if len(soft) > 1 else "")
            ax.text(0.5, 0.92, text, transform=ax.transAxes, ha="center", va="top", fontsize=8)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes[i, 0].set_ylabel(f"R = {acceleration:g}\nshare of entries")
    figure.supxlabel("entry of $M$ before thresholding", fontsize=10)
    return figure


def psnr_figure(results: Sequence[RunResult]) -> Figure:
    """Fig. 3: test PSNR against slope; below it, the R that thresholding achieves.

    Fixed slopes blue, 4S yellow at the slope it returned; R = 4 circles, R = 8 squares. Hollow:
    the mask of exactly N*N/R samples. Small: each seed; large with bar: mean and standard
    deviation over seeds. Crossed out: a run with a warning.
    """
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for acceleration in _accelerations(results):
        marker = MARKERS.get(acceleration, "D")
        for case in _cases(results):
            runs = _of(results, acceleration, case)
            colour = YELLOW if case is None else BLUE
            slopes = np.array([run.slope for run in runs])
            middle = float(np.exp(np.log(slopes).mean()))
            exact = np.array([run.psnr("topk") for run in runs])
            hard = np.array([run.psnr() for run in runs])
            achieved = np.array([min(run.achieved_acceleration(), EMPTY) for run in runs])
            style: dict[str, Any] = {"marker": marker, "color": colour, "linestyle": "none"}
            above.plot(middle * 1.08, exact.mean(), markersize=8, markerfacecolor="none", **style)
            if len(runs) > 1:
                above.plot(slopes, hard, markersize=3.5, alpha=0.55, **style)
                above.errorbar(middle, hard.mean(), hard.std(ddof=1), capsize=3, **style)
            above.plot(middle, hard.mean(), markersize=9, markeredgecolor="black", **style)
            below.plot(slopes, achieved, markersize=5, alpha=0.8, **style)
            for run in runs:
                if run.warnings:
                    above.plot(run.slope, run.psnr(), "x", color="black", markersize=11)
        below.axhline(acceleration, color=GREY, linewidth=0.8, linestyle="--")
    above.set_ylabel("test PSNR (dB), mean over slices")
    below.set_ylabel("achieved R")
    below.set_xlabel("slope $s$")
    below.set_xscale("log")
    below.set_yscale("log")
    ticks = sorted({*_accelerations(results), 2.0, 16.0, EMPTY})
    below.set_yticks(ticks, ["∞" if tick == EMPTY else f"{tick:g}" for tick in ticks])
    below.minorticks_off()
    for ax in (above, below):
        ax.grid(alpha=0.3)
    _legend(above, results)
    return figure


def _legend(ax: Axes, results: Sequence[RunResult]) -> None:
    plain: dict[str, Any] = {"linestyle": "none", "markersize": 8}
    handles = [
        *(
            ax.plot([], [], color=GREY, marker=MARKERS.get(r, "D"), label=f"R = {r:g}", **plain)[0]
            for r in _accelerations(results)
        ),
        ax.plot([], [], color=BLUE, marker="o", label="fixed $s$", **plain)[0],
        ax.plot([], [], color=YELLOW, marker="o", label="4S", **plain)[0],
        ax.plot([], [], color=GREY, marker="o", mfc="none", label="exact budget", **plain)[0],
    ]
    if any(run.warnings for run in results):
        handles += ax.plot([], [], "x", color="black", label="warning", markersize=9)
    ax.legend(handles=handles, ncols=6, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1))


def mask_figure(results: Sequence[RunResult], slopes: Sequence[float]) -> Figure:
    """Fig. 4: probability masks, and beside each a draw of M and the thresholded mask.

    As in the paper the larger R is on top, (a) to (e), the smaller below, (f) to (j). Of several
    seeds the first is shown.

    Args:
        results: of a sweep.
        slopes: the fixed slopes to show; 4S is shown in any case.
    """
    rows = _accelerations(results)[::-1]
    columns = [*slopes, None]
    figure = Figure(figsize=(WIDTH, 4.9 * len(rows)), layout="constrained")
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for block, acceleration in zip(
        np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.03)), rows, strict=True
    ):
        block.suptitle(f"R = {acceleration:g}", fontsize=11, fontweight="bold")
        axes = block.subplots(3, len(columns), squeeze=False)
        for j, case in enumerate(columns):
            runs = _of(results, acceleration, case)[:1]
            p = torch.from_numpy(runs[0].probabilities)
            u = torch.rand(p.shape, generator=torch.Generator().manual_seed(DRAW_SEED))
            hard = binarize(p)
            kept = float(hard.sum())
            achieved = f"{hard.numel() / kept:.2f}" if kept else "∞: empty"
            shown = (
                (p, f"({next(letters)}) {_case_title(case, runs)}"),
                (relax(p, u, runs[0].slope), f"mean {float(p.mean()):.3f}"),
                (hard, f"achieved R = {achieved}"),
            )
            for ax, (values, title) in zip(axes[:, j], shown, strict=True):
                ax.imshow(values.numpy(), vmin=0, vmax=1, cmap="gray", interpolation="nearest")
                ax.set_title(title, fontsize=8)
                ax.set_xticks([])
                ax.set_yticks([])
        for ax, label in zip(axes[:, 0], ("$P$", "a draw of $M$", "$P > 0.5$"), strict=True):
            ax.set_ylabel(label, fontsize=10)
    return figure


def training_figure(results: Sequence[RunResult]) -> Figure:
    """How 4S acts: validation loss of the inference model, and slope, epoch by epoch.

    Dashed: round 2 begins. Dot: the weights that are kept.
    """
    runs = [run for run in results if run.config.shrinks]
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


def reconstruction_figure(results: Sequence[RunResult], slopes: Sequence[float]) -> Figure:
    """A test slice, zero-filled and reconstructed, for fixed slopes and 4S; first seed."""
    rows = _accelerations(results)
    columns = [*slopes, None]
    figure = Figure(figsize=(WIDTH, 0.3 + 1.8 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns) + 2, squeeze=False)
    for i, acceleration in enumerate(rows):
        shrunk = _of(results, acceleration, None)[0]
        shown = [
            (shrunk.truth[0], f"R = {acceleration:g}\ntest slice"),
            (shrunk.zero_filled[0], "4S mask,\nzero-filled"),
        ]
        for case in columns:
            run = _of(results, acceleration, case)[0]
            error = np.mean((run.reconstructions[0] - run.truth[0]) ** 2)
            title = f"{_case_title(case, [run])}\n{-10 * np.log10(error):.1f} dB"
            shown.append((run.reconstructions[0], title))
        for ax, (values, title) in zip(axes[i], shown, strict=True):
            ax.imshow(values, vmin=0, vmax=1, cmap="gray")
            ax.set_title(title, fontsize=8)
            ax.set_axis_off()
    return figure


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
            ax.imshow(values, cmap="gray")
            ax.set_title(title, fontsize=9)
            ax.set_axis_off()
    return figure


def cohort_figure(images: Images, columns: int = 6) -> Figure:
    """Virtual subjects: the middle slice of each, training on top, test below."""
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    axes = figure.subplots(3, columns, squeeze=False)
    for row, name in zip(axes, ("train", "validation", "test"), strict=True):
        split = getattr(images, name)
        for v, ax in enumerate(row):
            ax.set_axis_off()
            if v < len(split.names):
                slices = target(split.images[split.volume == v]).numpy()
                ax.imshow(slices[len(slices) // 2], vmin=0, vmax=1, cmap="gray")
                ax.set_title(split.names[v].rpartition("/")[2], fontsize=6.5)
    return figure


def spectrum_figure(images: Images) -> Figure:
    """Mean power spectrum of the training images, and its profile over the radius."""
    with torch.no_grad():
        k = torch.fft.fft2(images.train.images, norm="ortho").abs().square().mean(0)
    power = torch.fft.fftshift(k).numpy()
    n = images.size
    rows, columns = np.indices(power.shape) - n // 2
    radius = np.hypot(rows, columns)
    rings = np.arange(n // 2)
    profile = [power[(radius >= ring) & (radius < ring + 1)].mean() for ring in rings]
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    picture = left.imshow(np.log10(power), cmap="viridis")
    left.set_title("log10 of the mean power, DC in the middle", fontsize=10)
    left.set_axis_off()
    figure.colorbar(picture, ax=left, shrink=0.8)
    right.semilogy(rings, profile, color=BLUE)
    right.set_xlabel("distance from DC (samples)")
    right.set_ylabel("mean power")
    right.grid(alpha=0.3)
    return figure


PHASE: dict[str, Any] = {"cmap": "twilight", "vmin": -math.pi, "vmax": math.pi}


def phase_figure(images: Images) -> Figure:
    """Complex images: the middle slices of the first and the last test volume, and k-space.

    Args:
        images: complex images.
    """
    test = images.test
    volumes = sorted({0, len(test.names) - 1})
    figure = Figure(figsize=(WIDTH, 2.2 * len(volumes)), layout="constrained")
    rows = figure.subplots(len(volumes), 4, squeeze=False)
    for row, v in zip(rows, volumes, strict=True):
        slices = test.images[test.volume == v]
        x = slices[len(slices) // 2]
        magnitude = target(x)
        full = torch.ones(x.shape)
        panels: list[tuple[str, Tensor, dict[str, Any]]] = [
            ("$|x|$", magnitude, {"cmap": "gray", "vmin": 0, "vmax": 1}),
            # Where there is no signal the phase is that of the noise: left white.
            ("phase of $x$", torch.where(magnitude > 0.1, x.angle(), torch.nan), PHASE),
            (r"$|\mathcal{F}(x)|$", _log(undersample(x[None], full)[0]), {}),
            (r"$|\mathcal{F}(|x|)|$", _log(undersample(magnitude[None], full)[0]), {}),
        ]
        for ax, (title, values, options) in zip(row, panels, strict=True):
            picture = ax.imshow(values.numpy(), **options)
            ax.set_title(title, fontsize=11)
            ax.set_axis_off()
            bar = figure.colorbar(picture, ax=ax, orientation="horizontal", shrink=0.85, pad=0.03)
            bar.ax.tick_params(labelsize=8)
            bar.ax.locator_params(nbins=3)
    return figure


def pairs_figure(masks: Mapping[str, np.ndarray]) -> Figure:
    """Which samples of a pair (k, -k) masks keep.

    Args:
        masks: (N, N) binary, centred, by title.
    """
    colours = ListedColormap(["white", YELLOW, BLUE])
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    for ax, (title, mask) in zip(figure.subplots(1, len(masks)), masks.items(), strict=True):
        kept = mask > 0.5
        ax.imshow(kept.astype(int) + (kept & opposite(kept)), cmap=colours, vmin=0, vmax=2)
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
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


def _accelerations(results: Sequence[RunResult]) -> list[float]:
    return sorted({run.config.acceleration for run in results})


def _cases(results: Sequence[RunResult]) -> list[float | None]:
    """The fixed slopes, rising, and None for 4S."""
    fixed: list[float] = sorted({r.config.slope for r in results if not r.config.shrinks})
    return [*fixed, None]


def _of(results: Sequence[RunResult], acceleration: float, case: float | None) -> list[RunResult]:
    """The seeds of one acceleration and one fixed slope, or of 4S (None)."""

    def fits(config: RunConfig) -> bool:
        slope = None if config.shrinks else config.slope
        return config.acceleration == acceleration and slope == case

    return [run for run in results if fits(run.config)]


def _case_title(case: float | None, runs: Sequence[RunResult]) -> str:
    if case is not None:
        return f"s = {case:g}"
    slopes = sorted(run.slope for run in runs)
    low, high = f"{slopes[0]:.0f}", f"{slopes[-1]:.0f}"
    return f"4S (s = {low})" if low == high else f"4S (s = {low} to {high})"
