"""Image quality of whole volumes, as the fastMRI challenge defines it."""

import numpy as np
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity
from torch import Tensor


def volume_metrics(x_hat: Tensor, x: Tensor) -> dict[str, float]:
    """PSNR, SSIM and NMSE of one volume as the fastMRI challenge defines them.

    Peak and data range are the maximum of the *volume*, and the error is averaged over all its
    slices before the logarithm is taken. For the same reconstruction this PSNR may differ by
    several dB from :func:`loupe_lib.psnr` (Zbontar et al., fastMRI, section 6).

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
