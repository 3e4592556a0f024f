"""The tasks of the two layers: images that come with Python packages, and small classifiers."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from skimage import data
from sklearn.datasets import load_digits
from torch import Tensor, nn

from loupe_companion.beyond.local_binary import LocalBinaryConv2d
from loupe_companion.beyond.pixels import PixelMask

PIXELS = 10  # of the 64 of a digit
DIGITS = (1000, 297, 500)  # train, validation, test; 1797 in all

FILTERS = 4
SIDE = 16  # of a patch, in pixels
PATCHES = (200, 100, 200)  # of each texture, for training, validation and test
TEXTURES = ("brick", "grass", "gravel")
# Training, validation and test patches lie in separate rows of the 512: no two share a pixel.
BANDS = ((0, 240), (256, 368), (384, 512))


class Examples(NamedTuple):
    """Images (n, ...) and their classes (n,)."""

    x: Tensor
    y: Tensor


class Splits(NamedTuple):
    """Training images, validation images to choose an epoch by, test images."""

    train: Examples
    validation: Examples
    test: Examples


class Task(NamedTuple):
    """A classification task for a binary layer."""

    title: str
    layer_shape: tuple[int, ...]  # in which the layer's binary() is shown
    draw: Callable[[int], Splits]  # seed -> images; each seed has its own split
    build: Callable[[float], nn.Sequential]  # slope -> classifier; the binary layer comes first
    test_to_train: float  # the number of test images over that of training images


def draw_digits(seed: int) -> Splits:
    """Scikit-learn's handwritten digits, 8 x 8 in [0, 1] as (n, 64), split at random."""
    found = load_digits()
    x = torch.tensor(found.data, dtype=torch.float32) / 16
    y = torch.tensor(found.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return Splits(*(Examples(x[part], y[part]) for part in order.split(DIGITS)))


def draw_textures(seed: int) -> Splits:
    """Patches of scikit-image's brick, grass and gravel, drawn at random, as (n, 1, 16, 16).

    Each has mean 0 and standard deviation 1, so that textures do not differ in brightness and
    contrast.
    """
    generator = torch.Generator().manual_seed(seed)
    images = [torch.from_numpy(getattr(data, name)()).float() for name in TEXTURES]
    splits = []
    for (top, bottom), count in zip(BANDS, PATCHES, strict=True):
        patches = []
        for image in images:
            windows = image[top:bottom].unfold(0, SIDE, 1).unfold(1, SIDE, 1)  # by row and column
            places = [torch.randint(n, (count,), generator=generator) for n in windows.shape[:2]]
            patches.append(windows[tuple(places)])
        x = torch.cat(patches)
        x = x - x.mean((1, 2), keepdim=True)
        x = x / x.std((1, 2), keepdim=True).clamp(min=1e-3)  # a flat patch stays flat
        y = torch.arange(len(images)).repeat_interleave(count)
        splits.append(Examples(x[:, None], y))
    return Splits(*splits)


def digit_classifier(slope: float) -> nn.Sequential:
    """A pixel mask and a small perceptron."""
    mask = PixelMask(64, PIXELS, slope)
    return nn.Sequential(mask, nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def texture_classifier(slope: float) -> nn.Sequential:
    """Local binary convolution as its authors use it: rectified, then a 1 x 1 convolution.

    Batch norm sets the scale, which binary weights cannot.
    """
    return nn.Sequential(
        LocalBinaryConv2d(1, FILTERS, slope),
        nn.BatchNorm2d(FILTERS),
        nn.ReLU(),
        nn.Conv2d(FILTERS, 8, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, len(TEXTURES)),
    )


TASKS = {
    "pixels": Task("Pixel mask: which 10 of 64 pixels tell digits apart", (8, 8), draw_digits,
                   digit_classifier, DIGITS[2] / DIGITS[0]),
    "filters": Task("Local binary convolution: which 4 filters tell textures apart", (4, 3, 3),
                    draw_textures, texture_classifier, PATCHES[2] / PATCHES[0]),
}  # fmt: skip
