"""Undersampling for K models: from k-space to zero-filled images, and the gradient back."""

import torch
from torch import Tensor

from loupe_lib.cuda.memory import PackedModels
from loupe_lib.mask import Mask, ProbabilityMask


def draw_shape(mask: Mask) -> tuple[int, ...]:
    """Shape of the random numbers U for one image; a fixed mask needs none."""
    return tuple(mask.gamma.shape) if isinstance(mask, ProbabilityMask) else (0,)


class TorchEncoder:
    """Encoders of K models with masks of any kind, one after the other, by autograd.

    Args:
        kspace: (n, N, N) complex64 Fourier transforms of the training images, in FFT order.
    """

    def __init__(self, kspace: Tensor) -> None:
        self.kspace = kspace

    def forward(self, packed: PackedModels, u: Tensor, indices: Tensor) -> Tensor:
        """(K, B, N, N) complex64 zero-filled images.

        Args:
            packed: the models.
            u: (K, B, ...) random numbers, see :func:`draw_shape`.
            indices: (K, B) int64 indices into kspace.
        """
        with torch.enable_grad():
            self.masks = torch.stack(
                [
                    m.masks(draws) if isinstance(m, ProbabilityMask) else m.sample(len(draws))
                    for m, draws in zip([model.mask for model in packed.models], u, strict=True)
                ]
            )  # (K, B, N, N) centred
        self.y = self.kspace[indices]
        masks = torch.fft.ifftshift(self.masks.detach(), dim=(-2, -1))
        return torch.fft.ifft2(masks * self.y, norm="ortho")

    def backward(self, packed: PackedModels, dz: Tensor) -> None:
        """Write the gradients of the masks' parameters, given that of :meth:`forward`'s result."""
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
