"""Fixed slopes against 4S in the layers of :mod:`loupe_companion.beyond`, over several seeds."""

import copy
import math
import os
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from msgspec.structs import replace
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from loupe_companion.beyond.tasks import TASKS, Examples
from loupe_companion.provenance import get_provenance
from loupe_lib.data.storage import write_file
from loupe_lib.errors import InputError
from loupe_lib.self_shrinking_slope import SelfShrinkingSlope
from loupe_lib.training.device import one_thread


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained: each task at each fixed slope and with 4S, for each seed."""

    slopes: tuple[float, ...]  # 4S starts at the first, the lowest
    seeds: tuple[int, ...]
    epochs: int
    patience: int
    batch: int = 64
    learning_rate: float = 0.01  # the paper's


# The ratio of patience to epochs is that of the paper, 40 to some hundreds.
FULL = Plan((1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0), tuple(range(10)), 150, 5)
SMOKE = Plan((1.0, 4096.0), (0, 1), 3, 1)


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training and its result."""

    task: str  # its name in TASKS
    slope: float  # at the start, and to the end if it is fixed
    shrinks: bool  # whether 4S raised the slope
    seed: int  # of the split, the initial weights, the order of images and the draws of U
    kept_epoch: int  # with the lowest validation loss of the binary layer, from 1
    kept_slope: float  # of that epoch, whose weights are kept
    validation_loss: float  # cross-entropy of the kept weights with the binary layer
    accuracy: float  # fraction of test images in the right class, with the binary layer
    relaxed_accuracy: float  # the same with the relaxed layer, as in training
    layer: tuple[Literal[-1, 0, 1], ...]  # the entries of the binary layer
    seconds: float  # duration of the training


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="loupe_lib beyond"):
    """A results file: provenance, plan and trainings."""

    version: Literal[1] = 1
    code: str
    python: str
    packages: dict[str, str]
    device: str
    date: str
    plan: Plan
    runs: tuple[Training, ...]

    def of(self, task: str, slope: float | None) -> list[Training]:
        """The trainings of a task at one fixed slope, or with 4S (None), by seed."""
        runs = [run for run in self.runs if run.task == task and run.shrinks == (slope is None)]
        found = [run for run in runs if slope in (None, run.slope)]
        return sorted(found, key=lambda run: run.seed)

    def best_slope(self, task: str) -> float:
        """The fixed slope with the lowest mean validation loss, which tuning would choose."""

        def loss(slope: float) -> float:
            return statistics.fmean(run.validation_loss for run in self.of(task, slope))

        return min(self.plan.slopes, key=loss)


def fit(
    model: nn.Sequential, train: Examples, validation: Examples, plan: Plan, shrinks: bool
) -> tuple[int, float]:
    """Train a classifier with a binary layer; it is left with the best weights, in ``eval()``.

    Returns:
        The epoch with the lowest validation loss, from 1, and that loss.
    """
    optimizer = torch.optim.Adam(model.parameters(), plan.learning_rate)
    shrinking = SelfShrinkingSlope(model, plan.patience) if shrinks else None
    best = math.inf
    for epoch in range(1, plan.epochs + 1):
        model.train()  # the layer is relaxed
        for batch in torch.randperm(len(train.x)).split(plan.batch):
            optimizer.zero_grad()
            functional.cross_entropy(model(train.x[batch]), train.y[batch]).backward()
            optimizer.step()
        model.eval()  # the layer is binary
        with torch.no_grad():
            loss = float(functional.cross_entropy(model(validation.x), validation.y))
        if loss < best or epoch == 1:
            best, kept_epoch, kept = loss, epoch, copy.deepcopy(model.state_dict())
        if shrinking is not None:
            shrinking.step(loss)
    model.load_state_dict(kept)
    return kept_epoch, best


def run(task: str, slope: float, shrinks: bool, seed: int, plan: Plan) -> Training:
    """Train once and measure on the test images once."""
    splits = TASKS[task].draw(seed)
    torch.manual_seed(seed)  # the same start and the same draws at every slope
    model = TASKS[task].build(slope)
    began = time.perf_counter()
    kept_epoch, loss = fit(model, splits.train, splits.validation, plan, shrinks)
    seconds = time.perf_counter() - began
    layer: Any = model[0]
    accuracy = _accuracy(model, splits.test)
    binary = layer.binary().flatten().int().tolist()
    layer.train()  # relaxed again, while batch norm stays as at inference
    return Training(
        task, slope, shrinks, seed, kept_epoch, float(layer.slope), loss, accuracy,
        _accuracy(model, splits.test), tuple(binary), round(seconds, 2),
    )  # fmt: skip


@torch.no_grad()
def _accuracy(model: nn.Module, test: Examples) -> float:
    return float((model(test.x).argmax(1) == test.y).double().mean())


def run_experiment(
    out: str | os.PathLike[str], smoke: bool = False, seeds: Sequence[int] | None = None
) -> Record:
    """Train everything, and write the results as a JSON file.

    Date and seconds aside, equal machines give equal results: every training has one thread.

    Args:
        out: the file.
        smoke: train a few epochs of a few runs, which shows that everything is installed.
        seeds: train these instead of all seeds.

    Raises:
        InputError: if the file cannot be written.
    """
    plan = SMOKE if smoke else FULL
    if seeds is not None:
        plan = replace(plan, seeds=tuple(seeds))
    origin = get_provenance(torch.device("cpu"))
    origin["packages"]["scikit-learn"] = metadata.version("scikit-learn")
    with one_thread(torch.device("cpu")):
        runs = tuple(
            run(task, slope, shrinks, seed, plan)
            for task, slope, shrinks, seed in tqdm(_cases(plan), "trainings")
        )
    record = Record(**origin, plan=plan, runs=runs)
    write_file(out, _encode(record))
    return record


def merge_records(parts: Sequence[Path], out: str | os.PathLike[str]) -> Record:
    """Merge results files of different seeds into one, whose provenance is that of the first.

    Raises:
        InputError: if a file cannot be read, or they are not of one plan.
    """
    records = [read_record(part) for part in parts]
    seeds = sorted(seed for record in records for seed in record.plan.seeds)
    plan = replace(records[0].plan, seeds=tuple(seeds))
    for part, record in zip(parts, records, strict=True):
        if replace(record.plan, seeds=plan.seeds) != plan:
            raise InputError(f"{part} has another plan than {parts[0]}")
    found = {(o.task, o.slope, o.shrinks, o.seed): o for record in records for o in record.runs}
    merged = replace(records[0], plan=plan, runs=tuple(found[case] for case in _cases(plan)))
    write_file(out, _encode(merged))
    return merged


def _cases(plan: Plan) -> list[tuple[str, float, bool, int]]:
    """Task, slope, whether it is 4S, and seed of each training."""
    slopes = [*((slope, False) for slope in plan.slopes), (plan.slopes[0], True)]
    return [(t, *case, seed) for t, case, seed in product(TASKS, slopes, plan.seeds)]


def _encode(record: Record) -> bytes:
    """A line a training."""
    return msgspec.json.encode(record).replace(b'{"task"', b'\n{"task"') + b"\n"


def read_record(path: str | os.PathLike[str]) -> Record:
    """Read a results file of :func:`run_experiment`.

    Raises:
        InputError: if it cannot be read or is not such a file; names it.
    """
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is not a valid results file of `beyond`: {error}") from error
