"""Self-Shrinking of Sigmoid Slope, 4S: the paper's callback (section II-A)."""

import math
from typing import Any

import torch
from torch import nn

from loupe_lib.errors import InputError, check_number, check_whole


class SelfShrinkingSlope:
    """Raise every ``slope`` buffer of a module when the loss has stopped falling.

    After ``patience`` epochs in a row without a new lowest loss, ``s <- factor * s``, up to
    ``max_slope`` (paper, section II-A). Works on any module: each buffer named ``slope`` in it or
    in its sub-modules is raised in place, each from its own value.

    In the paper's reading, the loss is that of the *inference* model, with the binarized mask. Soft
    losses at different slopes cannot be compared, since a small slope blurs the mask and lowers the
    loss::

        slope = SelfShrinkingSlope(model, patience=40)
        for epoch in range(epochs):
            train(model)
            if slope.step(validation_loss(model)):
                print("slope raised")

    Args:
        module: the module that holds the ``slope`` buffers, 0-d float32 or float64 tensors.
        patience: p >= 1, epochs without a lower loss before a raise. The raise happens when the
            wait *reaches* patience (Keras's convention; torch's schedulers wait one more).
        factor: m > 1.
        max_slope: upper limit of the slope; the last raise ends on it exactly.

    Attributes:
        best: the lowest loss so far, infinite before the first.
        wait: epochs since then, or since the last raise.

    Raises:
        InputError: if an argument is out of range, or the module has no ``slope`` buffer, or one
            of another type, shape or range.
    """

    def __init__(
        self, module: nn.Module, patience: int = 40, factor: float = 1.5, max_slope: float = 1e5
    ) -> None:
        self.patience = check_whole("patience", patience, at_least=1)
        self.factor = check_number("factor", factor, above=1)
        self.max_slope = check_number("max_slope", max_slope, above=0)
        buffers = slope_buffers(module)
        if not buffers:
            raise InputError("the module has no buffer named 'slope' to raise")
        for buffer in buffers:
            # float16 ends at 65504, and bfloat16 has 8 bits: too few for a small factor.
            if buffer.dim() or buffer.dtype not in (torch.float32, torch.float64):
                raise InputError(
                    "a buffer named 'slope' must be a 0-d float32 or float64 tensor; "
                    f"got {buffer.dtype} of shape {tuple(buffer.shape)}"
                )
            if not 0 < buffer < math.inf or not buffer * self.factor > buffer:
                raise InputError(
                    "a buffer named 'slope' must be finite, above 0, and grow by the factor "
                    f"{self.factor:g}; got {float(buffer)}"
                )
        self._module = module
        self.best = math.inf
        self.wait = 0

    @property
    def exhausted(self) -> bool:
        """True once no slope can be raised any more."""
        return not self._below_maximum()

    def _below_maximum(self) -> list[torch.Tensor]:
        # torch rounds the maximum to the buffer's precision, here as in clamp_: they are equal.
        return [buffer for buffer in slope_buffers(self._module) if buffer < self.max_slope]

    @torch.no_grad()
    def step(self, loss: float) -> bool:
        """Take the loss of the epoch that ended; call once an epoch.

        Args:
            loss: the monitored loss; lower is better. NaN counts as 'not lower'.

        Returns:
            True if a slope was raised.
        """
        if loss < self.best:
            self.best = float(loss)
            self.wait = 0
        else:
            self.wait += 1
        if self.wait < self.patience or self.exhausted:
            return False
        for buffer in self._below_maximum():  # a slope that started above it stays
            buffer.mul_(self.factor).clamp_(max=self.max_slope)
        self.wait = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs; the slopes are in the state of the module."""
        return {"best": self.best, "wait": self.wait}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, after the state of the module has been loaded."""
        self.best = float(state["best"])
        self.wait = int(state["wait"])


def slope_buffers(module: nn.Module) -> list[torch.Tensor]:
    """The buffers named ``slope`` in a module and its sub-modules.

    Look them up at each use: ``module.to(device)`` may replace them.
    """
    named = module.named_buffers()
    return [buffer for name, buffer in named if name.rpartition(".")[2] == "slope"]
