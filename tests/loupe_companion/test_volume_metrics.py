"""The metrics of fastMRI's challenge by their definitions, in NumPy."""

import numpy as np
import pytest
import torch

from loupe_companion.evaluation import volume_metrics
from tests.common import random

N = 32


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    x = 0.6 * random(3, N, N)
    return x + 0.05 * (random(3, N, N, seed=1) - 0.5) * torch.tensor([1, 2, 4])[:, None, None], x


def ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    """Wang et al. 2004 with a 7 x 7 uniform window and sample covariances."""
    a, b = (np.lib.stride_tricks.sliding_window_view(v, (7, 7)) for v in (a, b))
    axes = (-2, -1)
    mean_a, mean_b = a.mean(axes), b.mean(axes)
    var_a, var_b = a.var(axes, ddof=1), b.var(axes, ddof=1)
    covariance = ((a * b).mean(axes) - mean_a * mean_b) * 49 / 48
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def test_volume_metrics_are_those_of_the_fastmri_challenge():
    x_hat, x = pair()
    found = volume_metrics(x_hat, x)
    estimate, truth = x_hat.double().numpy(), x.double().numpy()
    error, peak = (estimate - truth) ** 2, truth.max()
    assert found["volume_psnr"] == pytest.approx(10 * np.log10(peak**2 / error.mean()))
    assert found["volume_nmse"] == pytest.approx(error.sum() / (truth**2).sum())
    similar = np.mean([ssim(a, b, peak) for a, b in zip(truth, estimate, strict=True)])
    assert found["volume_ssim"] == pytest.approx(similar, abs=1e-6)
