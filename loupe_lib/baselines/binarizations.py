"""Other learned masks: each computes the training mask M from P and U in place of eq. 6.

P, U and the mask at inference are those of the paper. M during training and its gradient differ.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from loupe_lib.mask import ProbabilityMask, relax


class StraightThrough(ProbabilityMask):
    """``M = 1[P > U]``, ``dM/dP = 1``: the gradient passes as if there were no threshold.

    Bengio, Léonard and Courville (2013), arXiv:1308.3432. It uses no slope.
    """

    slope_can_rise = False

    def relax(self, p: Tensor, u: Tensor) -> Tensor:
        return (p > u).float() + (p - p.detach())  # the bracket is exactly 0: M stays binary


class Concrete(ProbabilityMask):
    """``M = sigmoid((logit P + logit U) / tau)``: binary concrete, or Gumbel-sigmoid.

    Maddison, Mnih and Teh (2017), arXiv:1611.00712; Jang, Gu and Poole (2017), arXiv:1611.01144.
    The temperature is ``tau = 1 / s``: raising the slope anneals it. As tau -> 0, M becomes a
    draw that is 1 with probability P.
    """

    def relax(self, p: Tensor, u: Tensor) -> Tensor:
        # Clamped by the resolution of float32, so that logits and gradients stay finite.
        eps = torch.finfo(torch.float32).eps
        return torch.sigmoid(self.slope * (torch.logit(p, eps) + torch.logit(u, eps)))


class TanhSurrogate(ProbabilityMask):
    """``M = 1[P > U]``, ``dM/dP = k s (1 - tanh^2(s (P - U))) / 2`` with ``k = max(1, 1 / s)``.

    The forward pass is hard; the backward pass is that of ``k tanh(s x) / 2``, close to the
    identity for a small s and to a step for a large one, so that raising s approaches the
    threshold gradually. So does PUERT's gradient estimation for undersampling masks (Xie et al.
    2022, the paper's reference [12]); the rule for k, and s from 0.1 to 10, are those of Qin et
    al. (2020), arXiv:1909.10909.
    """

    def relax(self, p: Tensor, u: Tensor) -> Tensor:
        hard: Tensor = _HardTanh.apply(p - u, self.slope)
        return hard


class _HardTanh(torch.autograd.Function):
    """Step forward, derivative of ``max(1, 1/s) tanh(s x) / 2`` backward."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope.clone())  # a schedule may raise it in place
        return (x > 0).float()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        x, slope = ctx.saved_tensors  # type: ignore[attr-defined]
        k = (1 / slope).clamp(min=1)
        return gradient * k * slope * (1 - torch.tanh(slope * x).square()) / 2, None


class TrainedSlope(ProbabilityMask):
    """``M = sigmoid(s (P - U))`` with a trained slope s, which the paper says cannot work.

    'The net would promote s = 0', where M is 1/2 everywhere and nothing is undersampled (section
    II-A). The parameter is log s, so that s stays positive and a step of Adam changes it by a
    fraction of itself. Adam's steps have the size of the learning rate: at 0.01, s as the
    parameter would not get from 200 to 0 in a training of ordinary length.

    The buffer ``slope`` holds the s that the last masks were drawn with.
    """

    slope_can_rise = False

    def __init__(
        self, size: int, acceleration: float, slope: float = 200.0, **settings: Any
    ) -> None:
        super().__init__(size, acceleration, slope, **settings)
        self.log_slope = nn.Parameter(torch.tensor(math.log(slope)))

    def relax(self, p: Tensor, u: Tensor) -> Tensor:
        slope = self.log_slope.exp()
        self.slope.copy_(slope.detach())
        return relax(p, u, slope)
