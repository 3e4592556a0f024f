"""The decoder: undersampled k-space to images (paper, eq. 2)."""

import torch
from torch import Tensor, nn


def zero_filled(y: Tensor) -> Tensor:
    """``|F^-1 y|``: the zero-filled reconstruction, (B, N, N) complex -> (B, N, N)."""
    return torch.fft.ifft2(y, norm="ortho").abs()


class Decoder(nn.Module):
    """``x_hat = |F^-1 y| + D(F^-1 y)`` (paper, eq. 2).

    Args:
        unet: D, a network from 2 channels (real and imaginary part) to 1.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, y: Tensor) -> Tensor:
        """(B, N, N) complex k-space in FFT order -> (B, N, N) real images, float32."""
        z = torch.fft.ifft2(y, norm="ortho")
        channels = torch.view_as_real(z).movedim(-1, 1)  # (B, N, N) -> (B, 2, N, N)
        return z.abs() + self.unet(channels).squeeze(1).float()
