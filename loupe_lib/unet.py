"""The U-Net that removes the artefacts of undersampling (the paper's D, ref. [14])."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loupe_lib.errors import check_whole

LEVELS = 5
LEAK = 0.3  # negative slope of LeakyReLU, the Keras default that LOUPE's authors used


class UNet(nn.Module):
    """U-Net as in LOUPE (Bahadir et al. 2020), which the paper uses 'with a slight modification'.

    Five levels of ``width`` to ``16 * width`` channels; two 3x3 convolutions a level, each
    followed by LeakyReLU and batch norm in this order; average pooling, nearest upsampling, skip
    connections by concatenation, a 1x1 head.

    Args:
        in_channels: channels of the input; 2 for a complex image.
        out_channels: channels of the output.
        width: channels of the finest level; 64 in the paper (31.4 million parameters).

    Raises:
        InputError: if the width is below 1.
    """

    def __init__(self, in_channels: int = 2, out_channels: int = 1, width: int = 64) -> None:
        super().__init__()
        width = check_whole("width", width, at_least=1)
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            double_convolution(c_in, c_out)
            for c_in, c_out in zip([in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            double_convolution(skip + below, skip)
            for skip, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = nn.Conv2d(width, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, N, N) -> (B, out_channels, N, N); N a multiple of 16."""
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))  # (B, w * 2^level, N / 2^level, N / 2^level)
            x = F.avg_pool2d(skips[-1], 2)
        x = self.down[-1](x)  # (B, 16 w, N / 16, N / 16)
        for block in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([skips.pop(), x], dim=1))
        return self.head(x)


def double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two times: 3x3 convolution, LeakyReLU, batch norm."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
            nn.LeakyReLU(LEAK),
            nn.BatchNorm2d(out_channels),
        ]
    return nn.Sequential(*layers)
