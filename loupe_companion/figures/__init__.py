"""The paper's figures and more: each function takes results and returns a figure."""

from loupe_companion.figures.fig1 import encoder_figure
from loupe_companion.figures.fig2 import histogram_figure
from loupe_companion.figures.fig3 import (
    EMPTY,
    psnr_figure,
    reconstruction_figure,
    training_figure,
)
from loupe_companion.figures.fig4 import mask_figure
from loupe_companion.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    UNIT,
    WIDTH,
    YELLOW,
    decades,
    show,
)

__all__ = [
    "BLUE",
    "EMPTY",
    "GREY",
    "MARKERS",
    "UNIT",
    "WIDTH",
    "YELLOW",
    "decades",
    "encoder_figure",
    "histogram_figure",
    "mask_figure",
    "psnr_figure",
    "reconstruction_figure",
    "show",
    "training_figure",
]
