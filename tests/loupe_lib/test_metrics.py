"""The paper's PSNR by its definition, in NumPy."""

import numpy as np
import pytest
import torch

from loupe_lib import InputError, psnr
from tests.common import on_each_device, random, random_complex

N = 32


@on_each_device
@pytest.mark.parametrize("kind", [random, random_complex], ids=["real", "complex"])
def test_psnr_is_eq_7_for_each_image_s_magnitude(kind, device):
    x, x_hat = kind(3, N, N), random(3, N, N, seed=1)
    mse = ((x_hat.double().numpy() - np.abs(x.numpy().astype(complex))) ** 2).mean(axis=(1, 2))
    found = psnr(x_hat.to(device), x.to(device)).cpu().numpy()
    np.testing.assert_allclose(found, -10 * np.log10(mse), rtol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(InputError, match=r"same shape; got \(2, 1, 4, 4\) and \(2, 4, 4\)"):
        psnr(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def test_equal_images_have_an_infinite_psnr():
    x = random_complex(1, N, N)
    assert psnr(x, x).item() == psnr(x.abs(), x).item() == float("inf")
