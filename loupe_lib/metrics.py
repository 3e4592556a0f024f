"""Image quality: the paper's PSNR, and what a reconstruction is compared with."""

import torch
from torch import Tensor


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """PSNR of each image, ``-10 log10 MSE`` in dB (paper, eq. 7).

    Args:
        x_hat: (B, N, N) reconstructions.
        x: (B, N, N) images in [0, 1], so that the peak is 1.

    Returns:
        (B,) dB; the paper's number is their mean over the test images. Infinite where the two
        agree exactly.
    """
    mse = (x_hat.float() - x.float()).square().mean(dim=(-2, -1))
    return -10 * torch.log10(mse)


def target(x: Tensor) -> Tensor:
    """What the reconstruction of an image is compared with: its magnitude.

    The decoder's output is real (eq. 2), and radiologists look at magnitudes; the phase of a
    measured image is its scanner's.

    Args:
        x: (..., N, N) images as `check_images` returns them.

    Returns:
        (..., N, N) float32 in [0, 1]; real images, magnitudes already, are returned as they are.
    """
    return x.abs() if x.is_complex() else x
