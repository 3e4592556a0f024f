"""The training loop: epochs of steps, validation, checkpoints, and a clean stop on Ctrl-C."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor
from tqdm import tqdm

from loupe_lib.data.images import Images
from loupe_lib.training.model import adam_eps
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer, Trainer

CHECKPOINT_SECONDS = 30.0  # between checkpoints, at least: a kill costs about as much work
CHECKPOINT_FRACTION = 0.02  # of the time, at most: large packs write less often


def train(
    runs: Sequence[Run],
    images: Images,
    checkpoints: Sequence[Path],
    make_trainer: type[Trainer] = PlainTrainer,
    progress: bool = True,
    on_epoch: Callable[[Run], None] | None = None,
) -> None:
    """Train runs of one shape to their end, each from the epoch that it has reached.

    Ctrl-C ends the current epoch, writes the checkpoints and raises KeyboardInterrupt; see
    :meth:`loupe_lib.training.run.Run.resume` to continue. A second Ctrl-C stops at once.

    Args:
        runs: runs on one device with equal images, batch size, U-Net width and defaults (of Keras
            or torch), whose schedules watch the same validation loss.
        images: for training and validation; moved to the runs' device.
        checkpoints: a file for each run, written from time to time.
        make_trainer: the class that does the steps.
        progress: show a progress bar.
        on_epoch: called for each unfinished run when an epoch has been trained and validated,
            before the run records it and its schedule acts. It may look at the model, and must not
            change it or draw from its generators.

    Raises:
        InputError: if a checkpoint cannot be written.
    """
    device = runs[0].model.mask.slope.device
    validation = images.validation.images.to(device)
    for run in runs:
        run.model.mask.prepare(images.train.images)
    trainer = make_trainer(
        [run.model for run in runs],
        images.train.images.to(device),
        [run.schedule.learning_rate for run in runs],
        eps=adam_eps(runs[0].config),
    )
    for k, run in enumerate(runs):
        run.start(trainer, k)

    due = time.perf_counter() + CHECKPOINT_SECONDS
    with _interruptible() as interrupted, _bar(runs, progress) as bar:
        while not all(run.finished for run in runs):
            began = time.perf_counter()
            train_loss = _epoch(runs, trainer, device)
            errors, square_errors = trainer.evaluate(validation)
            loss = errors.mean(dim=1).tolist()
            psnr = (-10 * square_errors.log10()).mean(dim=1).tolist()
            soft_loss = [math.nan] * len(runs)
            if runs[0].schedule.watches_soft_loss:
                soft_loss = trainer.evaluate(validation, relaxed=True)[0].mean(dim=1).tolist()
            seconds = (time.perf_counter() - began) / len(runs)  # of each run
            for k, run in enumerate(runs):
                if not run.finished:
                    if on_epoch is not None:
                        on_epoch(run)
                    run.end_epoch(
                        trainer, k, train_loss[k], loss[k], psnr[k], seconds, soft_loss[k]
                    )
            _show(bar, runs)
            if interrupted() or time.perf_counter() > due:
                began = time.perf_counter()
                for k, (run, path) in enumerate(zip(runs, checkpoints, strict=True)):
                    run.save(path, trainer, k)
                took = time.perf_counter() - began
                due = time.perf_counter() + max(CHECKPOINT_SECONDS, took / CHECKPOINT_FRACTION)
            if interrupted():
                raise KeyboardInterrupt
    for k, run in enumerate(runs):  # a run that ended before others was trained further with them
        run.restore(trainer, k)


def _epoch(runs: Sequence[Run], trainer: Trainer, device: torch.device) -> list[float]:
    """One epoch of every run; the mean training loss of each."""
    batches = torch.stack([run.batches() for run in runs], dim=1).to(device)  # (steps, K, B)
    total: Tensor = torch.zeros(len(runs), device=device)
    for indices in batches:
        total += trainer.step(indices)
    means: list[float] = (total / len(batches)).tolist()
    return means


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag, so that no epoch is left half done."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        tqdm.write("Stopping after this epoch; Ctrl-C again stops at once.")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _bar(runs: Sequence[Run], progress: bool) -> tqdm:
    """A bar of the epochs of all runs; early stopping may end it before its total."""
    return tqdm(
        total=sum(run.config.shrink_epochs + run.config.settle_epochs for run in runs),
        initial=sum(len(run.history) for run in runs),
        desc=runs[0].config.label if len(runs) == 1 else f"{len(runs)} runs",
        unit="epoch",
        leave=False,
        disable=not progress,
    )


def _show(bar: tqdm, runs: Sequence[Run]) -> None:
    last = [run.history[-1] for run in runs]
    shown = {
        "loss": _range([row["loss"] for row in last], ".4f"),
        "PSNR": _range([row["psnr"] for row in last], ".1f"),
        "s": _range([row["slope"] for row in last], ".0f"),
        "lr": _range([row["learning_rate"] for row in last], ".0e"),
    }
    bar.set_postfix(shown, refresh=False)
    bar.update(sum(len(run.history) for run in runs) - bar.n)


def _range(values: Sequence[float], form: str) -> str:
    """One value, or the lowest and the highest of several runs."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low}..{high}"
