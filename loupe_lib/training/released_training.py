"""The released schedule of the authors, in place of ``Schedule``."""

from typing import Any

import torch
from torch import nn

from loupe_lib.released_schedule import ReleasedSchedule
from loupe_lib.self_shrinking_slope import find_slopes
from loupe_lib.training.config import RunConfig
from loupe_lib.training.schedule import Decision

IDLE_FRACTION = 10 / 40  # of the slope's patience: the published pause and patience


class ReleasedTraining:
    """:class:`~loupe_lib.ReleasedSchedule` in place of ``Schedule``.

    One round, the callback's default, in which one counter of epochs drives slope, learning rate
    and early stopping. It watches the soft validation loss, with random relaxed masks; the weights
    of the best epoch by that loss are kept. It ends at the latest after as many epochs as the two
    rounds of ``Schedule`` have together, so that both train equally long.

    Args:
        config: the patiences and lengths. The pause after a raise is a quarter of the slope's
            patience, as published: 10 epochs at 40.
        module: holds the ``slope`` buffers.
    """

    watches_soft_loss = True
    round = 1

    def __init__(self, config: RunConfig, module: nn.Module) -> None:
        self.released = ReleasedSchedule(
            slope=config.slope,
            lr=config.learning_rate,
            patience_slope=config.patience,
            patience_early=config.stop_patience,
            patience_lr=config.lr_patience,
            idle_patience=round(IDLE_FRACTION * config.patience),
            max_slope=config.max_slope,
            change_slope=config.factor,
            change_lr=config.lr_factor,
            min_lr=config.min_lr,
        )
        self.module = module
        self.length = config.shrink_epochs + config.settle_epochs
        self.finished = False

    @property
    def learning_rate(self) -> float:
        """Of the next epoch."""
        return self.released.lr

    @torch.no_grad()
    def step(self, loss: float, soft_loss: float) -> Decision:
        """Take the losses of the epoch that ended; only the soft loss is used."""
        epoch = self.released.epoch
        self.released.step(soft_loss)
        for slope in find_slopes(self.module):
            slope.set(self.released.slope)
        self.finished = self.released.stopped or self.released.epoch >= self.length
        return Decision(keep=self.released.best_epoch == epoch, restore=self.finished)

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs, in JSON types; the slope is in the module."""
        return {"released": self.released.state_dict(), "finished": self.finished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.released.load_state_dict(state["released"])
        self.finished = state["finished"]
