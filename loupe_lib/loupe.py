"""LOUPE: encoder and decoder as one autoencoder (paper, section II)."""

import math
from typing import Any

from torch import Tensor, nn

from loupe_lib.decoder import Decoder
from loupe_lib.encoder import Encoder
from loupe_lib.errors import InputError, check_number
from loupe_lib.mask import Mask, ProbabilityMask
from loupe_lib.unet import UNet


class Loupe(nn.Module):
    """``Dec(Enc(x))``: learns which k-space samples to take and how to restore the image.

    ``model.mask`` is the encoder's mask; assigning to it replaces that mask. The weights are
    float32; for bfloat16 use ``torch.autocast``.

    Args:
        size: N, side of the images: a multiple of 16, at least 32. By default the mask's, or 320.
        acceleration: R >= 1; the mask keeps about N*N/R samples. By default the mask's, or 4.
        slope: s > 0, slope of the mask's sigmoid during training (eq. 3). By default the mask's,
            or 200.
        width: channels of the U-Net's finest level.
        mask: learned or fixed; by default a :class:`ProbabilityMask` of the values above.

    Raises:
        InputError: if an argument is out of range, or differs from the mask's own.
    """

    def __init__(
        self,
        size: int | None = None,
        acceleration: float | None = None,
        slope: float | None = None,
        width: int = 64,
        mask: Mask | None = None,
    ) -> None:
        super().__init__()
        values = {"size": size, "acceleration": acceleration, "slope": slope}
        given = {name: value for name, value in values.items() if value is not None}
        if mask is None:
            default: dict[str, Any] = {"size": 320, "acceleration": 4.0, "slope": 200.0}
            mask = ProbabilityMask(**{**default, **given})
        elif not isinstance(mask, Mask):
            raise InputError(f"mask must be a ProbabilityMask or another Mask; got {mask!r}")
        for name, value in given.items():
            own = float(getattr(mask, name))  # the slope is float32
            if not math.isclose(check_number(name, value, above=0), own, rel_tol=1e-6):
                raise InputError(f"{name} must be that of the mask, {own:g}; got {value!r}")
        self.encoder = Encoder(mask)
        self.decoder = Decoder(UNet(2, 1, width))

    @property
    def mask(self) -> Mask:
        return self.encoder.mask

    @mask.setter
    def mask(self, mask: Mask) -> None:
        if not isinstance(mask, Mask) or mask.size != self.mask.size:
            raise InputError(f"mask must be a mask of size {self.mask.size}; got {mask!r}")
        self.encoder.mask = mask

    def __setattr__(self, name: str, value: Any) -> None:
        # nn.Module ignores property setters: it would register a second mask here.
        if name == "mask":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, N) images, real or complex -> (B, N, N) reconstructed magnitudes, not clipped."""
        return self.decoder(self.encoder(x))
