"""The paper's callbacks: slope, learning rate, weights to keep and the end of training."""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from loupe_lib.baselines.exponential_slope import ExponentialSlope
from loupe_lib.self_shrinking_slope import SelfShrinkingSlope
from loupe_lib.training.config import RunConfig


@dataclass(frozen=True)
class Decision:
    """The actions at the end of an epoch, in this order."""

    keep: bool  # the weights are the best so far: keep a copy
    restore: bool  # the round is over: go back to the best weights, with a new optimizer


class Schedule:
    """The paper's callbacks around one training (sections II-A and III).

    In round 1, 4S raises the slope. Round 2 starts from the best weights of round 1, at their
    slope and with the initial learning rate; reduce-LR-on-plateau (RLRP) takes the place of 4S. A
    fixed slope has only round 2. In both rounds model checkpoint (MC) keeps the weights with the
    lowest loss, and early stopping (ES) ends the round. All four watch the same loss, that of the
    inference model on the validation images, and act when their wait *reaches* patience. With the
    exponential schedule, the slope rises in every epoch of round 1 instead.

    Args:
        config: the patiences and lengths.
        module: holds the ``slope`` buffers that 4S raises.
    """

    watches_soft_loss = False

    def __init__(self, config: RunConfig, module: nn.Module) -> None:
        self.config = config
        self.shrinking: SelfShrinkingSlope | ExponentialSlope
        if config.schedule == "4S":
            self.shrinking = SelfShrinkingSlope(
                module, config.patience, config.factor, config.max_slope
            )
        elif config.schedule == "exponential":
            self.shrinking = ExponentialSlope(
                module, config.slope, config.max_slope, config.shrink_epochs
            )
        else:
            raise NotImplementedError(config.schedule)
        self.round = 1 if config.shrinks else 2
        self.epoch = 0  # epochs of this round that have ended
        self.best = math.inf
        self.stop_wait = 0
        self.lr_wait = 0
        self.learning_rate = config.learning_rate
        self.finished = False

    def step(self, loss: float, soft_loss: float = math.nan) -> Decision:
        """Take the inference loss of the epoch that ended; change slope and learning rate."""
        self.epoch += 1
        keep = loss < self.best
        if keep:
            self.best = loss
        self.stop_wait = 0 if keep else self.stop_wait + 1
        if self.round == 1:
            self.shrinking.step(loss)
            length = self.config.shrink_epochs
        else:
            self._reduce_on_plateau(keep)
            length = self.config.settle_epochs
        over = self.epoch >= length or self.stop_wait >= self.config.stop_patience
        if over and self.round == 1:
            self.round, self.epoch, self.stop_wait = 2, 0, 0
        elif over:
            self.finished = True
        return Decision(keep, restore=over)

    def _reduce_on_plateau(self, improved: bool) -> None:
        self.lr_wait = 0 if improved else self.lr_wait + 1
        if self.lr_wait >= self.config.lr_patience:
            self.learning_rate = max(self.learning_rate * self.config.lr_factor, self.config.min_lr)
            self.lr_wait = 0

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs, in JSON types; the slope is in the module."""
        return {
            "shrinking": self.shrinking.state_dict(),
            **{name: getattr(self, name) for name in _STATE},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.shrinking.load_state_dict(state["shrinking"])
        for name in _STATE:
            setattr(self, name, state[name])


_STATE = ("round", "epoch", "best", "stop_wait", "lr_wait", "learning_rate", "finished")
