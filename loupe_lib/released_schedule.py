"""The schedule that the paper's authors released, which reads 4S in another way."""

import math
from typing import Any

import numpy as np

from loupe_lib.errors import InputError


class ReleasedSchedule:
    """Slope and learning rate, epoch for epoch as the authors' Keras callback sets them.

    It watches the *soft* validation loss, with random relaxed masks. One counter of epochs without
    a lower loss drives three things, the first that applies: early stopping, lowering the learning
    rate (again each epoch from then on), raising the slope. After a raise it idles: losses are
    not compared until ``idle_patience`` epochs have passed, and the one that ends the pause
    becomes the new best, however high. A slope that would pass the maximum is set to it, and then
    nothing idles any more. (github.com/SSIGPRO/self-shrinking-slope, with one group of layers.)

    Args:
        slope: the initial s > 0.
        lr: the initial learning rate > 0.
        patience_slope: epochs without a lower loss before the slope is raised.
        patience_early: before training stops, or with ``double_round`` before its second round.
        patience_lr: before the learning rate falls.
        idle_patience: epochs of the pause after a raise.
        max_slope: the highest slope.
        change_slope: what the slope is multiplied by, above 1.
        change_lr: what the learning rate is multiplied by, between 0 and 1.
        min_lr: the lowest learning rate.
        double_round: raise slopes in a first round alone, lower learning rates in a second alone.
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
        values = {"slope": slope, "lr": lr, "max_slope": max_slope, "min_lr": min_lr}
        for name, value in values.items():
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a finite number above 0; got {value}")
        waits = {
            "patience_slope": patience_slope,
            "patience_early": patience_early,
            "patience_lr": patience_lr,
        }
        for name, wait in waits.items():
            if not wait >= 1:
                raise InputError(f"{name} must be at least 1; got {wait}")
        if not idle_patience >= 0:
            raise InputError(f"idle_patience must be at least 0; got {idle_patience}")
        if not change_slope > 1:
            raise InputError(f"change_slope must be above 1; got {change_slope}")
        if not 0 < change_lr < 1:
            raise InputError(f"change_lr must lie between 0 and 1; got {change_lr}")
        self._slope, self._max_slope = np.float32(slope), np.float32(max_slope)
        self._lr, self._min_lr = np.float32(lr), np.float32(min_lr)
        self._change_slope, self._change_lr = np.float32(change_slope), np.float32(change_lr)
        self.patience_slope = patience_slope
        self.patience_early = patience_early
        # In the first of two rounds the learning rate is out of reach, in the second the slope.
        self.patience_lr = patience_lr + patience_early * double_round
        self.idle_patience = idle_patience
        self.exit_idle_if_improve = exit_idle_if_improve
        self.rounds_left = 1 + double_round
        self.epoch = 0
        self.best = self.previous = math.inf
        self.best_epoch: int | None = None
        self.wait = 0
        self.idle: int | None = None  # epochs of the present pause
        self.stopped = False
        self.restore_epoch: int | None = None

    @property
    def slope(self) -> float:
        return float(self._slope)

    @property
    def lr(self) -> float:
        return float(self._lr)

    def step(self, val_loss: float) -> None:
        """Tell the soft validation loss of the epoch that ended; call once an epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        self.restore_epoch = None
        if self.idle is not None:
            self._pause(val_loss)
        elif val_loss < self.best:
            self.best, self.best_epoch, self.wait = val_loss, epoch, 0
        else:
            self.wait += 1
            if self.wait >= self.patience_early:
                self._end_round()
            elif self.wait >= self.patience_lr:
                self._lr = max(self._lr * self._change_lr, self._min_lr)
            elif self.wait >= self.patience_slope:
                self._raise(val_loss)

    def _pause(self, val_loss: float) -> None:
        assert self.idle is not None
        improved = self.exit_idle_if_improve and val_loss < self.previous
        if improved or self.idle >= self.idle_patience:
            self.best, self.wait, self.idle = val_loss, 0, None
        else:
            self.previous, self.idle = val_loss, self.idle + 1

    def _raise(self, val_loss: float) -> None:
        raised = self._slope * self._change_slope
        if raised <= self._max_slope:
            self.previous, self.idle = val_loss, 0
        self._slope = min(raised, self._max_slope)

    def _end_round(self) -> None:
        self.restore_epoch, self.wait = self.best_epoch, 0
        self.rounds_left -= 1
        self.stopped = self.rounds_left == 0
        if not self.stopped:
            self.patience_lr -= self.patience_early
            self.patience_slope += self.patience_early

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, as JSON takes it."""
        floats = {"slope": self.slope, "lr": self.lr}
        return floats | {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of a schedule with the same settings."""
        self._slope, self._lr = np.float32(state["slope"]), np.float32(state["lr"])
        for name in _STATE:
            setattr(self, name, state[name])


_STATE = (
    "patience_slope",
    "patience_lr",
    "rounds_left",
    "epoch",
    "best",
    "previous",
    "best_epoch",
    "wait",
    "idle",
    "stopped",
    "restore_epoch",
)
