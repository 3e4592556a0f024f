"""Image quality: the paper's PSNR, and the target of a reconstruction."""

import torch
from torch import Tensor

from loupe_lib.errors import InputError


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """PSNR of each image, ``-10 log10 MSE`` in dB (paper, eq. 7).

    Args:
        x_hat: (B, N, N) reconstructions.
        x: (B, N, N) images in [0, 1], so that the peak is 1. Complex images, on either side, are
            compared by their magnitude: see :func:`target`.

    Returns:
        (B,) dB; the paper's number is their mean over the test images. Infinite where the two
        are equal.

    Raises:
        InputError: if the two are not of the same shape; they would broadcast.
    """
    if x_hat.shape != x.shape:
        shapes = f"{tuple(x_hat.shape)} and {tuple(x.shape)}"
        raise InputError(f"reconstructions and images must have the same shape; got {shapes}")
    mse = (target(x_hat).float() - target(x).float()).square().mean(dim=(-2, -1))
    return -10 * torch.log10(mse)


def target(x: Tensor) -> Tensor:
    """The target of the reconstruction of an image: its magnitude.

    The decoder's output is real (eq. 2), and radiologists look at magnitudes; the phase of a
    measured image comes from its scanner.

    Args:
        x: (..., N, N) real images, which are magnitudes already, or complex ones.

    Returns:
        (..., N, N) real; real images are returned as they are.
    """
    return x.abs() if x.is_complex() else x
