"""Self-Shrinking of Sigmoid Slope, 4S: the paper's callback (section II-A)."""

import math
from typing import Any

import torch
from torch import nn

from loupe_lib.errors import InputError


class SelfShrinkingSlope:
    """Raise every ``slope`` buffer of a module when the loss has stopped falling.

    After ``patience`` epochs in a row without a new lowest loss, ``s <- factor * s``, up to
    ``max_slope`` (paper, section II-A). Works on any module: each buffer named ``slope`` in it or
    in its sub-modules is raised in place, each from its own value.

    The paper's reading: hand in the loss of the *inference* model, with the binarized mask. Soft
    losses at different slopes do not compare, since a small slope blurs the mask and flatters
    the loss::

        slope = SelfShrinkingSlope(model, patience=40)
        for epoch in range(epochs):
            train(model)
            if slope.step(validation_loss(model)):
                print("slope raised")

    Args:
        module: the module that holds the ``slope`` buffers.
        patience: p >= 1, epochs without a lower loss before a raise. The raise happens when the
            wait *reaches* patience (Keras's convention; torch's schedulers wait one more).
        factor: m > 1.
        max_slope: upper limit of the slope; the last raise ends on it exactly.
        cooldown: epochs after a raise during which no wait is counted.
        reset_best: forget the lowest loss at each raise, so that the losses before and after it
            are not compared.

    Attributes:
        best: the lowest loss so far, infinite before the first.
        wait: epochs since then, or since the last raise.

    Raises:
        InputError: if an argument is out of range, or the module has no ``slope`` buffer, or one
            of whole numbers, which cannot be multiplied by 1.5.
    """

    def __init__(
        self,
        module: nn.Module,
        patience: int = 40,
        factor: float = 1.5,
        max_slope: float = 1e5,
        cooldown: int = 0,
        reset_best: bool = False,
    ) -> None:
        if not patience >= 1 or patience % 1:  # NaN and infinity fail too
            raise InputError(f"patience must be a whole number of at least 1; got {patience}")
        if not (math.isfinite(factor) and factor > 1):
            raise InputError(f"factor must be a finite number above 1; got {factor}")
        if not (math.isfinite(max_slope) and max_slope > 0):
            raise InputError(f"max_slope must be a finite number above 0; got {max_slope}")
        if not cooldown >= 0 or cooldown % 1:
            raise InputError(f"cooldown must be a whole number of at least 0; got {cooldown}")
        self._module = module
        if not self._slopes():
            raise InputError("the module has no buffer named 'slope' to raise")
        for buffer in self._slopes():
            if not buffer.is_floating_point():
                raise InputError(
                    f"a buffer named 'slope' must be of a floating-point type; got {buffer.dtype}"
                )
        self.patience = int(patience)
        self.factor = float(factor)
        self.max_slope = float(max_slope)
        self.cooldown = int(cooldown)
        self.reset_best = reset_best
        self.best = math.inf
        self.wait = 0
        self.cooling = 0

    def _slopes(self) -> list[torch.Tensor]:
        """Looked up each time: ``module.to(device)`` puts new tensors in their place."""
        return slope_buffers(self._module)

    @property
    def exhausted(self) -> bool:
        """True once no slope can be raised any more."""
        return all(float(buffer) >= self.max_slope for buffer in self._slopes())

    @torch.no_grad()
    def step(self, loss: float) -> bool:
        """Tell the loss of the epoch that ended; call once an epoch.

        Args:
            loss: the monitored loss; lower is better. NaN counts as 'not lower'.

        Returns:
            True if the slope was raised.
        """
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if loss < self.best:
            self.best = float(loss)
            self.wait = 0
        elif self.cooling == 0:
            self.wait += 1
        if self.wait < self.patience or self.exhausted:
            return False
        for buffer in self._slopes():
            if buffer < self.max_slope:  # one that started above it is left alone
                buffer.mul_(self.factor).clamp_(max=self.max_slope)
        self.wait = 0
        self.cooling = self.cooldown
        if self.reset_best:
            self.best = math.inf
        return True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; the slopes themselves are in the module's state."""
        return {"best": self.best, "wait": self.wait, "cooling": self.cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`, after the module's own state has been loaded."""
        self.best = float(state["best"])
        self.wait = int(state["wait"])
        self.cooling = int(state["cooling"])


def slope_buffers(module: nn.Module) -> list[torch.Tensor]:
    """The buffers named ``slope`` in a module and its sub-modules."""
    named = module.named_buffers()
    return [buffer for name, buffer in named if name.rpartition(".")[2] == "slope"]
