"""A slope that rises in every epoch, independently of the loss: the common alternative to 4S."""

from typing import Any

import torch
from torch import nn

from loupe_lib.self_shrinking_slope import find_slopes


class ExponentialSlope:
    """``s_e = s_0 (s_1 / s_0)^(e / (E - 1))`` in epoch e of E: a geometric path.

    The common way to anneal a relaxation (for instance the temperature of Jang et al. 2017,
    arXiv:1611.01144). ``step``, ``state_dict`` and ``load_state_dict`` are used as those of
    :class:`~loupe_lib.SelfShrinkingSlope`. After the last epoch the slope stays at s_1.

    Args:
        module: the module whose slopes are set, all to the same value; they must be buffers, so
            that its own state has them.
        initial: s_0 > 0, of the first epoch.
        final: s_1, of the last.
        epochs: E >= 1; with one epoch the slope stays s_0.
    """

    def __init__(self, module: nn.Module, initial: float, final: float, epochs: int) -> None:
        self._module = module
        self.initial = initial
        self.final = final
        self.epochs = epochs
        self.epoch = 0

    @torch.no_grad()
    def step(self, loss: float) -> bool:
        """Set the slope of the next epoch; call once an epoch. Returns whether it changed."""
        if self.epoch + 1 >= self.epochs:
            return False
        self.epoch += 1
        fraction = self.epoch / (self.epochs - 1)
        for slope in find_slopes(self._module):
            slope.set(self.initial * (self.final / self.initial) ** fraction)
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs; the slopes are in the state of the module."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, after the state of the module has been loaded."""
        self.epoch = int(state["epoch"])
