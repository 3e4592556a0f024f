"""Convolution after upsampling, with fewer products.

A 3x3 convolution of a map upsampled by nearest neighbour reads equal values more than once. It
equals a transposed 4x4 convolution of the small map with stride 2, whose weights are sums of the
3x3 weights. This takes 4 products per output pixel and channel instead of 9, and the upsampled map
is not stored.
"""

from functools import cache

import torch
from torch import Tensor

# Rows: taps of the transposed 4-tap convolution. Columns: taps of the 3-tap one that they sum.
SPREAD = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def spread(w: Tensor) -> Tensor:
    """(K, out, 3, 3, in) -> (K, out, 4, 4, in), the weights of the transposed convolution."""
    return torch.matmul(_spread(w.device), w.flatten(2, 3)).unflatten(2, (4, 4))


def gather(dw4: Tensor) -> Tensor:
    """The adjoint of :func:`spread`: (K, out, 4, 4, in) -> (K, out, 3, 3, in), gradients."""
    return torch.matmul(_spread(dw4.device).T, dw4.flatten(2, 3)).unflatten(2, (3, 3))


@cache
def _spread(device: torch.device) -> Tensor:
    one = torch.tensor(SPREAD)
    return torch.kron(one, one).to(device)  # (16, 9)
