"""A convolution with weights -1, 0 and 1 that are learned."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from loupe_lib.errors import InputError

DEAD = 0.5  # thresholds at -DEAD and DEAD, so that half of the weights start as 0


class LocalBinaryConv2d(nn.Module):
    """Convolve with sparse binary filters, and learn them.

    Local binary convolution (Juefei-Xu et al., CVPR 2017) draws filters of
    -1, 0 and 1 at random and keeps them fixed; only the layers behind are
    trained. Here each weight applies two thresholds to a trainable number. In
    training, with ``sigma_s(p) = 1 / (1 + exp(-s p))``,
    ``w = sigma_s(theta - 1/2) - sigma_s(-theta - 1/2)``; in ``eval()`` its
    limit for large s, ``w = [theta > 1/2] - [theta < -1/2]``. At large s the
    gradient vanishes and the filters stay as drawn: the layer is then theirs.

    Args:
        in_channels: of the images.
        filters: how many, the channels of the output.
        slope: s > 0, a buffer, for a schedule such as
            :class:`~loupe_lib.SelfShrinkingSlope`.
        side: of a filter, in pixels.

    Raises:
        InputError: if a number is out of range.
    """

    slope: Tensor

    def __init__(self, in_channels: int, filters: int, slope: float = 1.0, side: int = 3) -> None:
        super().__init__()
        shape = filters, in_channels, side, side
        if min(shape) < 1:
            raise InputError(f"shape of filters must be positive; got {shape}")
        if not 0 < slope < math.inf:
            raise InputError(f"slope must be finite and above 0; got {slope}")
        self.theta = nn.Parameter(torch.empty(shape).uniform_(-1, 1))
        self.register_buffer("slope", torch.tensor(float(slope)))

    def binary(self) -> Tensor:
        """(filters, in_channels, side, side) weights, each -1, 0 or 1."""
        theta = self.theta.detach()
        return (theta > DEAD).float() - (theta < -DEAD).float()

    def relaxed(self) -> Tensor:
        """The weights in training: between -1 and 1, differentiable."""
        above = torch.sigmoid(self.slope * (self.theta - DEAD))
        below = torch.sigmoid(self.slope * (-self.theta - DEAD))
        return above - below

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, filters, H', W'), H' = H - side + 1."""
        weights = self.relaxed() if self.training else self.binary()
        return functional.conv2d(x, weights)
