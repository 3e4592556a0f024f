"""LOUPE: encoder and decoder as one autoencoder (paper, section II)."""

from torch import Tensor, nn

from loupe_lib.decoder import Decoder
from loupe_lib.encoder import Encoder
from loupe_lib.mask import Mask, ProbabilityMask
from loupe_lib.unet import UNet


class Loupe(nn.Module):
    """``Dec(Enc(x))``: learns which k-space samples to take and how to restore the image.

    Args:
        size: N, side of the images: a multiple of 16, at least 32.
        acceleration: R >= 1; the mask keeps about N*N/R samples.
        slope: s > 0, slope of the mask's sigmoid during training (eq. 3).
        width: channels of the U-Net's finest level.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(
        self, size: int = 320, acceleration: float = 4, slope: float = 200.0, width: int = 64
    ) -> None:
        super().__init__()
        self.encoder = Encoder(ProbabilityMask(size, acceleration, slope))
        self.decoder = Decoder(UNet(2, 1, width))

    @property
    def mask(self) -> Mask:
        """The mask inside the encoder; a :class:`ProbabilityMask` unless it was replaced."""
        return self.encoder.mask

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, N) images, real or complex -> (B, N, N) reconstructed magnitudes, not clipped."""
        return self.decoder(self.encoder(x))
