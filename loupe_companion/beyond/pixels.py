"""A layer that learns which k of n pixels to keep."""

import math

import torch
from torch import Tensor, nn

from loupe_lib import binarize, rescale
from loupe_lib.errors import InputError


class PixelMask(nn.Module):
    """Keep k of n pixels, and learn which (the mask of LOUPE, on pixels).

    Each pixel has a probability, ``P = rescale(sigmoid(5 gamma))`` with mean
    k/n (paper, eq. 5). In training each image is multiplied by its own relaxed
    mask, ``sigmoid(s (P - U))`` with ``U ~ U[0, 1]`` (eq. 6); in ``eval()``
    all images by the binary mask, which keeps the k most probable pixels.

    Args:
        pixels: n, of an image.
        k: how many to keep, 1 to n.
        slope: s > 0, a buffer, for a schedule such as
            :class:`~loupe_lib.SelfShrinkingSlope`.

    Raises:
        InputError: if k or the slope is out of range.
    """

    slope: Tensor

    def __init__(self, pixels: int, k: int, slope: float = 1.0) -> None:
        super().__init__()
        if not 1 <= k <= pixels:
            raise InputError(f"k must be 1 to {pixels}, all pixels; got {k}")
        if not 0 < slope < math.inf:
            raise InputError(f"slope must be finite and above 0; got {slope}")
        self.k = k
        u = torch.empty(pixels).uniform_(0.01, 0.99)
        self.gamma = nn.Parameter(torch.logit(u) / 5)  # sigmoid(5 gamma) = u
        self.register_buffer("slope", torch.tensor(float(slope)))

    def probabilities(self) -> Tensor:
        """(n,) probabilities P in [0, 1] with mean k/n."""
        return rescale(torch.sigmoid(5 * self.gamma), len(self.gamma) / self.k)

    def binary(self) -> Tensor:
        """(n,) mask of exactly k ones, zeros elsewhere."""
        return binarize(self.probabilities(), len(self.gamma) / self.k, "topk")

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) images -> (B, n), with 0 for the pixels that are not kept."""
        if self.training:
            u = torch.rand_like(x)
            return x * torch.sigmoid(self.slope * (self.probabilities() - u))
        return x * self.binary()
