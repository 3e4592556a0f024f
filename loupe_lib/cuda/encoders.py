"""From the k-space of a batch to the zero-filled images of K models, and the gradient back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from loupe_lib.cuda.memory import PackedModels
from loupe_lib.loupe import Loupe
from loupe_lib.mask import Mask, ProbabilityMask


def draw_shape(mask: Mask) -> tuple[int, ...]:
    """Shape of the U of one image; nothing is drawn for a fixed mask."""
    return tuple(mask.gamma.shape) if isinstance(mask, ProbabilityMask) else (0,)


def relaxed_masks(models: Sequence[Loupe], u: Tensor) -> Tensor:
    """(K, B, N, N) training masks of K models, centred, from their (K, B, ...) U."""
    return torch.stack(
        [
            mask.masks(draws) if isinstance(mask, ProbabilityMask) else mask.sample(len(draws))
            for mask, draws in zip([model.mask for model in models], u, strict=True)
        ]
    )


class TorchEncoder:
    """Any masks, one model after the other, by autograd through their own ``relax``.

    Args:
        kspace: (n, N, N) complex64, of the training images, in FFT order.
    """

    def __init__(self, kspace: Tensor) -> None:
        self.kspace = kspace

    def forward(self, packed: PackedModels, u: Tensor, indices: Tensor) -> Tensor:
        """(K, B, N, N) complex64 zero-filled images of the images that (K, B) indices say."""
        with torch.enable_grad():
            self.masks = relaxed_masks(packed.models, u)
        self.y = self.kspace[indices]
        masks = torch.fft.ifftshift(self.masks.detach(), dim=(-2, -1))
        return torch.fft.ifft2(masks * self.y, norm="ortho")

    def backward(self, packed: PackedModels, dz: Tensor) -> None:
        """Fill the gradients of the masks' parameters, given that of :meth:`forward`'s images."""
        dmasks = (self.y.conj() * torch.fft.fft2(dz, norm="ortho")).real
        targets = [
            (p, packed.gradients[f"encoder.mask.{name}"][k])
            for k, model in enumerate(packed.models)
            for name, p in model.mask.named_parameters()
        ]
        if targets:
            shifted = torch.fft.fftshift(dmasks, dim=(-2, -1))
            found = torch.autograd.grad(self.masks, [p for p, _ in targets], shifted)
            for (_, target), gradient in zip(targets, found, strict=True):
                target.copy_(gradient)
        del self.masks, self.y

    def binarize(self, packed: PackedModels) -> Tensor:
        """(K, N, N) thresholded masks."""
        return torch.stack([model.mask.binarize() for model in packed.models])
