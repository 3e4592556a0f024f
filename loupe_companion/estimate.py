"""How long a sweep will take on the device at hand, measured before it starts."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch

from loupe_companion.sweep import plan_work, result_file
from loupe_lib.cuda import trainer_for
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import device_name, find_device, one_thread
from loupe_lib.training.model import build_model, mask_kind

WARM_UP, TIMED = 3, 10  # steps


def estimate(configs: Sequence[RunConfig], runs: Path, device: str | None = None) -> str:
    """One line: how many runs are to be trained, and how long that takes at most.

    Args:
        configs: the sweep.
        runs: folder of the run store; what it holds is not trained.
        device: as for :func:`loupe_companion.sweep.sweep`.
    """
    where = find_device(device)
    todo = [config for config in configs if not result_file(runs, config).exists()]
    if not todo:
        return "nothing to train: all runs are there"
    packs, workers = plan_work(todo, where)
    seconds = 0.0
    steps: dict[tuple[int, int, int, int, str], float] = {}  # timed once for each kind of pack
    for pack in packs:
        first = pack[0]
        kind = (len(pack), first.size, first.width, first.batch, mask_kind(first))
        if kind not in steps:
            steps[kind] = step_seconds(pack, torch.device(workers[0]))
        epochs = first.shrink_epochs + first.settle_epochs
        seconds += epochs * (first.train // first.batch) * steps[kind]
    milliseconds = " or ".join(f"{1000 * value / kind[0]:.2f} ms" for kind, value in steps.items())
    wall = timedelta(seconds=round(seconds / len(workers)))
    return (
        f"{len(todo)} runs to train on {len(workers)} x {device_name(torch.device(workers[0]))}: "
        f"steps take at most {wall} ({milliseconds} each, just measured); "
        "validation comes on top, early stopping may end sooner"
    )


def step_seconds(pack: Sequence[RunConfig], device: torch.device) -> float:
    """Seconds of one training step of all models of a pack, as they will be trained."""
    config = pack[0]
    with one_thread(device):
        models = [build_model(c, device) for c in pack]
        images = torch.rand(config.batch, config.size, config.size, device=device)
        trainer = trainer_for(device)(models, images, [c.learning_rate for c in pack])
        indices = torch.arange(config.batch, device=device).repeat(len(pack), 1)
        for _ in range(WARM_UP):
            trainer.step(indices).sum().item()  # .item() waits for the device
        began = time.perf_counter()
        for _ in range(TIMED):
            loss = trainer.step(indices)
        loss.sum().item()
        return (time.perf_counter() - began) / TIMED
