"""The encoder: images to undersampled k-space (paper, eq. 1)."""

import torch
from torch import Tensor, nn

from loupe_lib.errors import InputError
from loupe_lib.mask import Mask


def undersample(x: Tensor, mask: Tensor) -> Tensor:
    """``y = M * F(x)`` (paper, eq. 1) with the orthonormal 2-D FFT.

    Args:
        x: (B, N, N) real or complex images; the FFT of complex ones is measured k-space.
        mask: (N, N) or (B, N, N) masks in [0, 1], centred (DC at [N//2, N//2]).

    Returns:
        (B, N, N) complex64 k-space in FFT order (DC at [0, 0]), because only the mask is shifted.
        The arithmetic is float32, also under autocast.
    """
    shifted = torch.fft.ifftshift(mask.float(), dim=(-2, -1))
    x = x.to(torch.complex64 if x.is_complex() else torch.float32)
    return shifted * torch.fft.fft2(x, norm="ortho")


class Encoder(nn.Module):
    """A mask times the Fourier transform of the image (eq. 1).

    In training mode each image gets a relaxed random mask of its own (eq. 6); in eval mode all
    images get the mask that is thresholded at 0.5, as in the paper.

    Args:
        mask: learned or fixed.
    """

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self.mask = mask
        # Source of U; None is torch's default generator. With a generator of its own, a run does
        # not depend on other random draws.
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, N) real images in [0, 1], or complex ones -> (B, N, N) complex64 k-space.

        Raises:
            InputError: if ``x`` is not a tensor of that shape (an (N, N) image would broadcast), or
                has whole numbers, such as grey levels from 0 to 255.
        """
        n = self.mask.size
        if not isinstance(x, Tensor) or x.dim() != 3 or x.shape[1:] != (n, n):
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"images must be a tensor of shape (B, {n}, {n}); got {got}")
        if not (x.is_floating_point() or x.is_complex()):
            raise InputError(f"images must be floating-point in [0, 1], or complex; got {x.dtype}")
        if self.training:
            return undersample(x, self.mask.sample(len(x), self.generator))
        return undersample(x, self.mask.binarize())
