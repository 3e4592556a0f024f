"""Image quality: the paper's PSNR, and the volume metrics of the fastMRI challenge."""

import numpy as np
import torch
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)
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


def volume_metrics(x_hat: Tensor, x: Tensor) -> dict[str, float]:
    """PSNR, SSIM and NMSE of one volume as the fastMRI challenge defines them.

    Peak and data range are the maximum of the *volume*, and the error is averaged over all its
    slices before the logarithm is taken: for one and the same reconstruction this PSNR may lie
    several dB from :func:`psnr` (Zbontar et al., fastMRI, section 6).

    Args:
        x_hat: (n, N, N) reconstructed slices of one volume.
        x: (n, N, N) its true slices.

    Returns:
        ``volume_psnr`` in dB, ``volume_ssim`` (mean over slices, 7 x 7 window),
        ``volume_nmse`` = ||x_hat - x||^2 / ||x||^2.
    """
    estimate, truth = (a.detach().cpu().double().numpy() for a in (x_hat, x))
    peak = float(truth.max())
    slices = [
        structural_similarity(a, b, data_range=peak) for a, b in zip(truth, estimate, strict=True)
    ]
    return {
        "volume_psnr": float(peak_signal_noise_ratio(truth, estimate, data_range=peak)),
        "volume_ssim": float(np.mean(slices)),
        "volume_nmse": float(normalized_root_mse(truth, estimate)) ** 2,  # ||.||_2 of truth
    }
