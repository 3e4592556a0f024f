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

    It watches the soft validation loss, with random relaxed masks; the weights of the best epoch by
    that loss are kept. Without ``double_round``, as the callback's default has it, one round in
    which one counter of epochs drives slope, learning rate and early stopping. With it the paper's
    two rounds: the first only raises the slope; the second starts from the best weights of the
    first, at their slope, and only lowers the learning rate. Training ends at the latest after as
    many epochs as that of ``Schedule``, so that both train equally long.

    Args:
        config: the patiences and lengths. The pause after a raise is a quarter of the slope's
            patience, as published: 10 epochs at 40.
        module: holds the ``slope`` buffers.
    """

    watches_soft_loss = True

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
            double_round=config.double_round,
        )
        self.module = module
        self.config = config
        self.finished = False

    @property
    def round(self) -> int:
        """1 or 2, of the next epoch."""
        return 2 + self.config.double_round - self.released.rounds_left

    @property
    def learning_rate(self) -> float:
        """Of the next epoch."""
        return self.released.lr

    @torch.no_grad()
    def step(self, loss: float, soft_loss: float) -> Decision:
        """Take the losses of the epoch that ended; only the soft loss is used."""
        slopes = find_slopes(self.module)
        self.released.slope = float(slopes[0].value)  # restored weights have theirs
        epoch = self.released.epoch
        self.released.step(soft_loss)
        first_is_over = self.released.epoch == self.config.shrink_epochs
        if self.config.double_round and self.round == 1 and first_is_over:
            self.released.end_round()
        for slope in slopes:
            slope.set(self.released.slope)
        length = self.config.shrink_epochs + self.config.settle_epochs
        self.finished = self.released.stopped or self.released.epoch >= length
        restore = self.released.restore_epoch is not None or self.finished
        return Decision(keep=self.released.best_epoch == epoch, restore=restore)

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs, in JSON types; the slope is in the module."""
        return {"released": self.released.state_dict(), "finished": self.finished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.released.load_state_dict(state["released"])
        self.finished = state["finished"]
