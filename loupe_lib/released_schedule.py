"""The schedule that the authors of the paper released: another reading of 4S."""

import math
from typing import Any

import numpy as np

from loupe_lib.errors import check_number, check_whole


class ReleasedSchedule:
    """Slope and learning rate, epoch for epoch as the authors' Keras callback sets them.

    It watches the *soft* validation loss, with random relaxed masks. One counter of epochs without
    a lower loss controls three actions; the first that is due is taken: early stopping, lowering
    the learning rate (again in each further epoch), raising the slope. After a raise it idles:
    losses are not compared until ``idle_patience`` epochs have passed, and the loss that ends the
    pause becomes the best loss, however high it is. A slope that would exceed the maximum is set to
    the maximum, without a pause. (github.com/SSIGPRO/self-shrinking-slope, with one group of
    layers.)

    Args:
        slope: the initial s > 0.
        lr: the initial learning rate > 0.
        patience_slope: epochs without a lower loss before the slope is raised.
        patience_early: before training stops, or with ``double_round`` before its second round.
        patience_lr: before the learning rate falls.
        idle_patience: epochs of the pause after a raise.
        max_slope: the highest slope.
        change_slope: factor above 1 that raises the slope.
        change_lr: factor between 0 and 1 that lowers the learning rate.
        min_lr: the lowest learning rate.
        double_round: train in two rounds: the first only raises the slope, the second only lowers
            the learning rate.
        exit_idle_if_improve: end the pause also at the first loss below that of the epoch before.

    Attributes:
        slope: s for the next epoch, rounded to float32 as Keras keeps it.
        lr: learning rate for the next epoch, likewise.
        stopped: whether training is over.
        restore_epoch: the epoch, counted from 0, whose weights are to be restored now, or None.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(
        self,
        slope: float,
        lr: float,
        patience_slope: int = 40,
        patience_early: int = 100,
        patience_lr: int = 50,
        idle_patience: int = 10,
        max_slope: float = 1e5,
        change_slope: float = 1.5,
        change_lr: float = 0.2,
        min_lr: float = 1e-6,
        double_round: bool = False,
        exit_idle_if_improve: bool = False,
    ) -> None:
        self.slope = _float32(check_number("slope", slope, above=0))
        self.lr = _float32(check_number("lr", lr, above=0))
        self.patience_slope = check_whole("patience_slope", patience_slope, at_least=1)
        self.patience_early = check_whole("patience_early", patience_early, at_least=1)
        # With two rounds, the first cannot reach the learning rate, and the second not the slope.
        self.patience_lr = check_whole("patience_lr", patience_lr, at_least=1)
        self.patience_lr += self.patience_early * double_round
        self.idle_patience = check_whole("idle_patience", idle_patience, at_least=0)
        self.max_slope = _float32(check_number("max_slope", max_slope, above=0))
        self.change_slope = check_number("change_slope", change_slope, above=1)
        self.change_lr = check_number("change_lr", change_lr, above=0, below=1)
        self.min_lr = _float32(check_number("min_lr", min_lr, above=0))
        self.exit_idle_if_improve = exit_idle_if_improve
        self.rounds_left = 1 + double_round
        self.epoch = 0
        self.best = self.previous = math.inf
        self.best_epoch: int | None = None
        self.wait = 0
        self.idle: int | None = None  # epochs of the present pause
        self.stopped = False
        self.restore_epoch: int | None = None

    def step(self, val_loss: float) -> None:
        """Take the soft validation loss of the epoch that ended; call once an epoch."""
        val_loss = float(val_loss)
        epoch, self.epoch = self.epoch, self.epoch + 1
        self.restore_epoch = None
        if self.idle is not None:
            self._pause(val_loss, self.idle)
        elif val_loss < self.best:
            self.best, self.best_epoch, self.wait = val_loss, epoch, 0
        else:
            self.wait += 1
            if self.wait >= self.patience_early:
                self.end_round()
            elif self.wait >= self.patience_lr:
                self.lr = max(_float32(self.lr, self.change_lr), self.min_lr)
            elif self.wait >= self.patience_slope:
                self._raise(val_loss)

    def _pause(self, val_loss: float, idle: int) -> None:
        improved = self.exit_idle_if_improve and val_loss < self.previous
        if improved or idle >= self.idle_patience:
            self.best, self.wait, self.idle = val_loss, 0, None
        else:
            self.previous, self.idle = val_loss, idle + 1

    def _raise(self, val_loss: float) -> None:
        raised = _float32(self.slope, self.change_slope)
        if raised <= self.max_slope:
            self.previous, self.idle = val_loss, 0
        self.slope = min(raised, self.max_slope)

    def end_round(self) -> None:
        """End a round before its early stopping does: restore the best weights, then go on."""
        self.restore_epoch, self.wait, self.idle = self.best_epoch, 0, None
        self.rounds_left -= 1
        self.stopped = self.rounds_left == 0
        if not self.stopped:
            self.patience_lr -= self.patience_early
            self.patience_slope += self.patience_early

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs, in JSON types."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        vars(self).update(state)


def _float32(*factors: float) -> float:
    """A number, or the product of two, in float32."""
    return float(np.prod(np.array(factors, np.float32)))
