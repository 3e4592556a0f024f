"""The encoder of K models with the paper's masks, as Triton kernels."""

import math

import torch
from torch import Tensor

from loupe_lib.cuda import kernels
from loupe_lib.cuda.encoders import TorchEncoder
from loupe_lib.cuda.memory import PackedModels
from loupe_lib.mask import binarize

GAMMA = "encoder.mask.gamma"


class FusedEncoder(TorchEncoder):
    """Encoders of K models with a :class:`ProbabilityMask` of points, all models at once."""

    def forward(self, packed: PackedModels, u: Tensor, indices: Tensor) -> Tensor:
        """(K, B, N, N) complex64 zero-filled images: see :class:`TorchEncoder`."""
        self._gamma = packed.values[GAMMA].detach().requires_grad_()
        with torch.enable_grad():
            self._p = packed.probabilities(self._gamma)
        # An infinite P in the centre makes M = 1 there, with a gradient of 0.
        p = self._p.detach().masked_fill(packed.in_center, math.inf)
        self._draw = (p, u, packed.slopes, self.kspace, indices)
        return torch.fft.ifft2(kernels.encode(*self._draw), norm="ortho")

    def backward(self, packed: PackedModels, dz: Tensor) -> None:
        """Write the gradient of gamma, given that of :meth:`forward`'s result."""
        dp = kernels.encode_gradient(*self._draw, torch.fft.fft2(dz, norm="ortho"))
        (dgamma,) = torch.autograd.grad(self._p, self._gamma, dp)
        packed.gradients[GAMMA].copy_(dgamma)
        del self._gamma, self._p, self._draw

    def binarize(self, packed: PackedModels) -> Tensor:
        """(K, N, N) thresholded masks."""
        return binarize(packed.probabilities(packed.values[GAMMA]))
