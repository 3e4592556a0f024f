"""One training in progress: model, schedule, history, and their checkpoint."""

import contextlib
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from loupe_lib.data.storage import writing
from loupe_lib.errors import InputError
from loupe_lib.training.checkpoint import CHECKPOINT_FORMAT, checkpoint_files, pack, unpack
from loupe_lib.training.config import RunConfig
from loupe_lib.training.model import build_model
from loupe_lib.training.released_training import ReleasedTraining
from loupe_lib.training.schedule import Schedule
from loupe_lib.training.trainer import State, Trainer


class Run:
    """A run between two epochs.

    Args:
        config: of the run.
        device: on which it is trained.

    Attributes:
        history: one row an epoch: round, training loss, validation loss and PSNR of the inference
            model, slope and learning rate during the epoch, achieved R of the thresholded mask,
            seconds; also the validation loss of relaxed masks if the schedule watches it.
        best: the best weights so far, or None before the first epoch.
        warnings: problems, to be shown beside the numbers of the run.
    """

    def __init__(self, config: RunConfig, device: torch.device | str) -> None:
        self.config = config
        self.model = build_model(config, device)
        schedule = ReleasedTraining if config.schedule == "released" else Schedule
        self.schedule = schedule(config, self.model)
        self.history: list[dict[str, float]] = []
        self.best: State | None = None
        self.warnings: list[str] = []
        self._resume: State | None = None
        self._checkpoint_is_good = False

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.schedule.finished

    def batches(self) -> Tensor:
        """(steps, B) int64: the order of the training images in the next epoch.

        It depends only on seed and epoch, so that a resumed run sees the same order. Images that do
        not fill a last batch are left out; they differ from epoch to epoch.
        """
        rng = np.random.default_rng((self.config.seed, len(self.history)))
        steps = self.config.train // self.config.batch
        order = rng.permutation(self.config.train)[: steps * self.config.batch]
        return torch.from_numpy(order.reshape(steps, self.config.batch))

    def start(self, trainer: Trainer, k: int) -> None:
        """Give the state of a resumed run to the trainer, as its model k."""
        if self._resume is not None:
            trainer.load(k, self._resume)
            self._resume = None
        trainer.set_learning_rate(k, self.schedule.learning_rate)

    def end_epoch(
        self,
        trainer: Trainer,
        k: int,
        train_loss: float,
        loss: float,
        psnr: float,
        seconds: float,
        soft_loss: float = math.nan,
    ) -> None:
        """Record an epoch and carry out the decision of the schedule.

        The soft loss, that of relaxed masks, is given where the schedule watches it.
        """
        kept = float(self.model.mask.binarize().sum())
        row = {
            "round": self.schedule.round,
            "train_loss": train_loss,
            "loss": loss,
            "psnr": psnr,
            "slope": float(self.model.mask.slope),
            "learning_rate": self.schedule.learning_rate,
            "achieved_acceleration": self.config.size**2 / kept if kept else math.inf,
            "seconds": seconds,
        }
        if self.schedule.watches_soft_loss:
            row["soft_loss"] = soft_loss
        self.history.append(row)
        decision = self.schedule.step(loss, soft_loss)
        if decision.keep or self.best is None:
            self.best = trainer.weights(k)
            # A schedule that raises the slope in every epoch has done so by now.
            self.best["encoder.mask.slope"].fill_(row["slope"])
        if not math.isfinite(train_loss):
            self.warnings.append(f"training loss {train_loss} in epoch {len(self.history)}")
            self.schedule.finished = True
        if decision.restore or self.schedule.finished:
            self.restore(trainer, k)
        trainer.set_learning_rate(k, self.schedule.learning_rate)

    def restore(self, trainer: Trainer, k: int) -> None:
        """Go back to the best weights, with a new optimizer."""
        assert self.best is not None
        trainer.load(k, {f"model.{name}": value for name, value in self.best.items()})

    def save(self, path: Path, trainer: Trainer, k: int) -> None:
        """Write a checkpoint. :meth:`resume` continues from it, bit for bit on the CPU.

        The one before is kept, see :func:`checkpoint_files`.
        """
        assert self.best is not None
        tensors = trainer.state(k) | {f"best.{name}": v for name, v in self.best.items()}
        progress = {
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "warnings": self.warnings,
        }
        with writing(path) as beside:
            beside.write_bytes(pack(CHECKPOINT_FORMAT, self.config, tensors, progress))
            if self._checkpoint_is_good:  # a damaged one must not replace a good one
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, checkpoint_files(path)[1])
        self._checkpoint_is_good = True

    def resume(self, path: Path) -> None:
        """Continue from the last good checkpoint, if there is one.

        Raises:
            InputError: if there are checkpoints, but all are truncated, damaged, of another format
                or of another run.
        """
        damaged: list[InputError] = []
        for file in filter(Path.exists, checkpoint_files(path)):
            try:
                self._load(file)
            except InputError as error:
                damaged.append(error)
                continue
            self._checkpoint_is_good = file == path
            if damaged:
                tqdm.write(f"skipped: {damaged[0]}; continuing from {file}", sys.stderr)
            return
        if damaged:
            reasons = "; ".join(map(str, damaged))
            raise InputError(f"{reasons} (to train this run from the start, delete that file)")

    def _load(self, path: Path) -> None:
        config, tensors, progress = unpack(CHECKPOINT_FORMAT, path)
        if config != self.config:
            raise InputError(f"{path} is the checkpoint of another run, {config.label}")
        self.schedule.load_state_dict(progress["schedule"])
        self.history = progress["history"]
        self.warnings = progress["warnings"]
        device = self.model.mask.slope.device
        self.best, self._resume = {}, {}
        for name, value in tensors.items():
            if name.startswith("best."):
                self.best[name.removeprefix("best.")] = value.to(device)
            else:
                self._resume[name] = value.to(device)
