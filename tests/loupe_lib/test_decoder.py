"""The decoder with a network that can be written down."""

import numpy as np
import torch
from torch import Tensor, nn

from loupe_lib import Decoder
from tests.common import idft2, on_each_device, random

N = 32


class Weighted(nn.Module):
    """2 * real part - 3 * imaginary part."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x[:, :1] - 3 * x[:, 1:]


def k_space() -> Tensor:
    return torch.complex(random(2, N, N), random(2, N, N, seed=1) - 0.5)


@on_each_device
def test_the_decoder_is_eq_2(device):
    y = k_space()
    x_hat = Decoder(Weighted())(y.to(device))
    z = idft2(y.numpy().astype(complex))
    np.testing.assert_allclose(x_hat.cpu().numpy(), np.abs(z) + 2 * z.real - 3 * z.imag, atol=2e-5)


@on_each_device
def test_images_are_float32_under_autocast(device):
    network = nn.Conv2d(2, 1, 3, padding=1).to(device)
    y = k_space().to(device)
    with torch.autocast(device, torch.bfloat16):
        assert network(torch.view_as_real(y).movedim(-1, 1)).dtype == torch.bfloat16
        x_hat = Decoder(network)(y)
    assert x_hat.dtype == torch.float32 and x_hat.shape == (2, N, N)
