"""The paper's figures and more: each function takes results and returns a figure or its data."""

from loupe_companion.figures.fig1 import encoder_figure, encoder_maps
from loupe_companion.figures.fig2 import histogram_data, histogram_figure
from loupe_companion.figures.fig3 import (
    EMPTY,
    groups_with_pictures,
    overview_figure,
    psnr_data,
    psnr_figure,
    reconstruction_data,
    reconstruction_figure,
    training_data,
    training_figure,
)
from loupe_companion.figures.fig4 import mask_data, mask_figure
from loupe_companion.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    UNIT,
    WIDTH,
    YELLOW,
    decades,
    pixel_table,
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
    "encoder_maps",
    "groups_with_pictures",
    "histogram_data",
    "histogram_figure",
    "mask_data",
    "mask_figure",
    "overview_figure",
    "pixel_table",
    "psnr_data",
    "psnr_figure",
    "reconstruction_data",
    "reconstruction_figure",
    "show",
    "training_data",
    "training_figure",
]
