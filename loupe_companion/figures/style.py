"""What the figures share: colours, sizes, maps, titles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor

from loupe_companion.evaluation import DRAW_SEED
from loupe_companion.groups import Group, returned_slope
from loupe_companion.results import RunResult

# Okabe and Ito's blue and orange, close to the paper's blue and yellow: the colour-blind can tell
# them. As in the paper, the second is called yellow.
BLUE, YELLOW, GREY = "#0072B2", "#E69F00", "#666666"
MARKERS = {4.0: "o", 8.0: "s"}  # the paper's circles and squares
WIDTH = 7.6  # inches; scaled to the width of the page, labels have the size of the text
UNIT: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}  # of images and masks


def show(
    ax: Axes,
    values: Tensor | np.ndarray,
    title: str,
    size: float,
    bar: bool = False,
    frame: bool = False,
    **limits: Any,
) -> None:
    """Draw a map with a title of a font size; with a colour bar below it, or a frame, if wanted."""
    picture = ax.imshow(np.asarray(values), **limits)
    ax.set_title(title, fontsize=size)
    if frame:
        ax.set(xticks=[], yticks=[])
    else:
        ax.set_axis_off()
    if bar:
        place: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.85, "pad": 0.03}
        colours = ax.figure.colorbar(picture, ax=ax, **place)
        colours.ax.tick_params(labelsize=8)
        colours.ax.locator_params(nbins=3)


def draw_history(
    ax: Axes, loss: Sequence[float] | np.ndarray, slope: Sequence[float] | np.ndarray
) -> None:
    """One training by epoch: validation loss, and slope. Dot: the epoch that is kept."""
    epochs, best = np.arange(1, len(loss) + 1), int(np.argmin(loss))
    ax.plot(epochs, loss, color=BLUE, linewidth=1)
    ax.plot(epochs[best], loss[best], "o", color="black", markersize=5)
    ax.set(yscale="log", xlabel="epoch", ylabel="validation loss (blue)")
    right = ax.twinx()
    right.plot(epochs, slope, color=YELLOW, drawstyle="steps-mid")
    right.set(yscale="log", ylabel="slope $s$ (yellow)")


def decades(k: Tensor) -> Tensor:
    """Magnitude of (N, N) k-space as log10 of its ratio to the maximum, centred, from -4 to 0."""
    magnitude = torch.fft.fftshift(k.abs())
    return (magnitude / magnitude.max()).clamp(min=1e-4).log10()


def draw_u(p: Tensor) -> Tensor:
    """The same U for each mask of one size."""
    return torch.rand(p.shape, generator=torch.Generator().manual_seed(DRAW_SEED))


def pixel_table(maps: Mapping[str, Tensor | np.ndarray]) -> pd.DataFrame:
    """Maps of (N, N) values by name, to five decimals: a column each, a row for each pixel."""
    arrays = {name: np.asarray(values).round(5) for name, values in maps.items()}
    rows, columns = np.indices(next(iter(arrays.values())).shape)
    return pd.DataFrame(
        {"row": rows.ravel(), "column": columns.ravel()}
        | {name: values.ravel() for name, values in arrays.items()}
    )


def colour_of(group: Group) -> str:
    return YELLOW if group.config.shrinks else BLUE


def title_of(runs: Sequence[RunResult]) -> str:
    config = runs[0].config
    return f"4S (s = {returned_slope(runs)})" if config.shrinks else f"s = {config.slope:g}"
