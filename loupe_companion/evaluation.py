"""Evaluation of a trained model: image quality on test volumes, and how binary its mask is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from loupe_lib.data.images import Split
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.loupe import Loupe
from loupe_lib.mask import Mask
from loupe_lib.metrics import psnr, target

MASKS = ("threshold", "topk", "relaxed")  # how P becomes the mask of the test images
DRAWS = 1000  # masks in a histogram, as in the paper's Fig. 2
BINS = 50
DRAW_SEED = 2_000_000  # of the relaxed masks drawn here; no training uses it


@torch.no_grad()
def mask_statistics(mask: Mask) -> dict[str, Any]:
    """How binary a mask is: ``histogram``, ``soft_share``, ``undecided_share`` of a RunResult."""
    generator = torch.Generator(mask.slope.device).manual_seed(DRAW_SEED)
    counts = np.zeros(BINS)
    soft = 0
    chunk = 50  # 20 MB at N = 320
    for _ in range(DRAWS // chunk):
        draws = mask.sample(chunk, generator)
        soft += int(((draws > 0.05) & (draws < 0.95)).sum())
        # In float32 a bin stops counting at 2^24.
        counts += torch.histc(draws.cpu().double(), BINS, 0.0, 1.0).numpy()
    p = mask.probabilities()
    return {
        "histogram": counts / (DRAWS * p.numel()),
        "soft_share": soft / (DRAWS * p.numel()),
        "undecided_share": float(((p > 0.1) & (p < 0.9)).float().mean()),
    }


def average_mask(p: np.ndarray, slope: float) -> np.ndarray:
    """The average of the relaxed masks of probabilities p (eq. 6) over all draws of U.

    It is the integral of sigmoid(s (p - u)) over u from 0 to 1; the average of 1000 drawn masks has
    a standard deviation of at most 0.016 around it.

    Args:
        p: (N, N) probabilities in [0, 1].
        slope: s > 0.

    Returns:
        (N, N) values in [0, 1], float64.
    """
    p = p.astype(np.float64)
    return (np.logaddexp(0, slope * p) - np.logaddexp(0, slope * (p - 1))) / slope


@torch.no_grad()
def evaluate(model: Loupe, test: Split, kind: str) -> dict[str, np.ndarray]:
    """Quality of the reconstructions of test images, learned and zero-filled.

    Args:
        model: the trained model; put into eval mode.
        test: n images in V volumes.
        kind: ``threshold`` or ``topk`` (one mask for all, see :func:`loupe_lib.binarize`), or
            ``relaxed``: a random soft mask for each image, as in training. No scanner can apply a
            soft mask; its gain over ``threshold`` is the cost of binarization.

    Returns:
        ``psnr`` (n,) in dB, per slice (eq. 7); ``volume_psnr`` in dB, ``volume_ssim`` and
        ``volume_nmse`` (V,) as the fastMRI challenge defines them; the same with the prefix
        ``zero_filled_`` for ``|F^-1 y|`` alone; ``achieved_acceleration`` (), N*N over the sum of
        the mask, infinite for an empty one.
    """
    model.eval()
    device = model.mask.slope.device
    if kind == "relaxed":
        generator = torch.Generator(device).manual_seed(DRAW_SEED)
        masks = model.mask.sample(len(test.images), generator)
    else:
        masks = model.mask.binarize(kind).expand(len(test.images), -1, -1)
    kept = float(masks.sum(dim=(-2, -1)).mean())
    found = {"achieved_acceleration": np.array(masks[0].numel() / kept if kept else np.inf)}
    truth = target(test.images)
    for prefix, reconstruct in (("", model.decoder), ("zero_filled_", zero_filled)):
        x_hat = reconstruct_all(reconstruct, test.images, masks)
        found[f"{prefix}psnr"] = psnr(x_hat, truth).numpy()
        volumes = [
            volume_metrics(x_hat[test.volume == v], truth[test.volume == v])
            for v in range(len(test.names))
        ]
        for name in volumes[0]:
            found[prefix + name] = np.array([volume[name] for volume in volumes])
    return found


@torch.no_grad()
def reconstruct_all(
    reconstruct: Callable[[Tensor], Tensor], images: Tensor, masks: Tensor
) -> Tensor:
    """Undersample images and reconstruct them, 32 at a time.

    Args:
        reconstruct: (B, N, N) k-space to (B, N, N) images, such as a model's decoder.
        images: (n, N, N) on the CPU.
        masks: (n, N, N) on the device of ``reconstruct``.

    Returns:
        (n, N, N) on the CPU.
    """
    parts = [
        reconstruct(undersample(x.to(masks.device), mask)).cpu()
        for x, mask in zip(images.split(32), masks.split(32), strict=True)
    ]
    return torch.cat(parts)


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
