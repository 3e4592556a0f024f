"""Fixed slopes against 4S in the layers of :mod:`loupe_companion.beyond`, over several seeds."""

import copy
import itertools
import json
import math
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from loupe_companion.beyond.tasks import TASKS, Examples, draw_digits
from loupe_companion.provenance import get_provenance
from loupe_lib.data.storage import writing
from loupe_lib.data.workers import cores
from loupe_lib.errors import InputError
from loupe_lib.self_shrinking_slope import SelfShrinkingSlope

FORMAT, VERSION = "loupe_lib beyond", 1
Checked = TypeVar("Checked")
LARGEST = 2**24  # bytes of a file that is read


@dataclass(frozen=True)
class Plan:
    """What is trained: each task at each fixed slope and with 4S, for each seed."""

    slopes: tuple[float, ...]  # 4S starts at the first, the lowest
    seeds: tuple[int, ...]
    epochs: int
    patience: int
    batch: int = 64
    learning_rate: float = 0.01  # the paper's


# Patience is to the epochs what the paper's 40 is to its hundreds.
FULL = Plan((1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0), tuple(range(10)), 150, 5)
SMOKE = Plan((1.0, 4096.0), (0, 1), 3, 1)


@dataclass(frozen=True)
class Outcome:
    """One training.

    Attributes:
        task: its name in ``tasks.TASKS``.
        slope: at the start, and to the end if it is fixed.
        shrinks: whether 4S raised it.
        seed: of the split, the initial weights, the order of images and the draws of U.
        kept_epoch: after which the binary layer had the lowest validation loss, from 1.
        kept_slope: that of the weights then, which are kept.
        validation_loss: cross-entropy of the kept weights with the binary layer.
        accuracy: share of test images in the right class, with the binary layer.
        relaxed_accuracy: the same with the relaxed layer, as in training.
        layer: the binary layer, entry by entry.
        seconds: of the training.
    """

    task: str
    slope: float
    shrinks: bool
    seed: int
    kept_epoch: int
    kept_slope: float
    validation_loss: float
    accuracy: float
    relaxed_accuracy: float
    layer: tuple[int, ...]
    seconds: float


class Record(NamedTuple):
    """Everything that a results file holds."""

    plan: Plan
    provenance: dict[str, Any]
    outcomes: tuple[Outcome, ...]

    def of(self, task: str, slope: float | None) -> list[Outcome]:
        """The trainings of a task at one fixed slope, or with 4S (None), by seed."""
        found = [
            outcome
            for outcome in self.outcomes
            if outcome.task == task
            and outcome.shrinks == (slope is None)
            and slope in (None, outcome.slope)
        ]
        return sorted(found, key=lambda outcome: outcome.seed)

    def best_slope(self, task: str) -> float:
        """The fixed slope that somebody who tunes would choose: by mean validation loss."""

        def loss(slope: float) -> float:
            return statistics.fmean(o.validation_loss for o in self.of(task, slope))

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


def run(task: str, slope: float, shrinks: bool, seed: int, plan: Plan) -> Outcome:
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
    return Outcome(
        task, slope, shrinks, seed, kept_epoch, float(layer.slope), loss, accuracy,
        _accuracy(model, splits.test), tuple(binary), round(seconds, 2),
    )  # fmt: skip


@torch.no_grad()
def _accuracy(model: nn.Module, test: Examples) -> float:
    return float((model(test.x).argmax(1) == test.y).double().mean())


def run_experiment(out: str | os.PathLike[str], smoke: bool = False) -> Record:
    """Train everything, several processes side by side, and write the results file.

    Equal but for date and seconds on equal machines: every training has one thread.

    Args:
        out: JSON file.
        smoke: a few epochs of a few runs, to see that all is in place.

    Raises:
        InputError: without scikit-learn, or if the file cannot be written.
    """
    plan = SMOKE if smoke else FULL
    draw_digits(0)  # what is missing, or cannot be written, is told before anything is trained
    with writing(out) as beside:
        record = Record(plan, _provenance(), _train(plan))
        beside.write_text(to_json(record), "utf-8")
    return record


def _train(plan: Plan) -> tuple[Outcome, ...]:
    cases = [*((slope, False) for slope in plan.slopes), (plan.slopes[0], True)]
    jobs = [
        (task, *case, seed, plan)
        for task, case, seed in itertools.product(TASKS, cases, plan.seeds)
    ]
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(cores(), context, torch.set_num_threads, (1,)) as pool:
        found = pool.map(run, *zip(*jobs, strict=True))
        return tuple(tqdm(found, "trainings", len(jobs)))


def _provenance() -> dict[str, Any]:
    origin = get_provenance(torch.device("cpu"))
    origin["packages"]["scikit-learn"] = metadata.version("scikit-learn")
    return origin


def to_json(record: Record) -> str:
    """A results file, a line for each training."""
    head = {"format": FORMAT, "version": VERSION, **record.provenance, "plan": asdict(record.plan)}
    runs = ",\n".join(json.dumps(asdict(outcome), allow_nan=False) for outcome in record.outcomes)
    return f'{json.dumps(head, allow_nan=False)[:-1]},\n"runs": [\n{runs}\n]}}\n'


def read_record(path: str | os.PathLike[str]) -> Record:
    """Read a results file of :func:`run_experiment`.

    Raises:
        InputError: if it cannot be read or is not such a file; names it.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST >> 20} MiB, and so no results file")
    try:
        found = json.loads(content)
        if (found.pop("format"), found.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        plan = _checked(Plan, found.pop("plan"))
        outcomes = tuple(_checked(Outcome, entry) for entry in found.pop("runs"))
        for outcome in outcomes:
            _check_layer(outcome)
        if not all(isinstance(found[name], str) for name in ("code", "device", "date")):
            raise ValueError("code, device and date must be texts")
    # What malformed or foreign JSON leads to; RecursionError for one nested without end.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__} {error}"
        raise InputError(f"{path} is no whole file of format {FORMAT}: {reason}") from error
    return Record(plan, found, outcomes)


def _checked(kind: type[Checked], entry: dict[str, Any]) -> Checked:
    """A dataclass out of JSON; ValueError if a value is missing, too many or of another type."""
    hints = get_type_hints(kind)
    if set(entry) != set(hints):
        raise ValueError(f"the values of a {kind.__name__} must be {', '.join(hints)}")
    values = {}
    for name, hint in hints.items():
        value = entry[name]
        many = get_origin(hint) is tuple
        (item, *_) = get_args(hint) if many else (hint,)
        for part in value if many and type(value) is list else (value,):
            signed = name == "layer"  # checked by its task
            if type(part) is not item or not (signed or item is str or 0 <= part < math.inf):
                raise ValueError(f"{name} of a {kind.__name__} is {str(part)[:50]!r}")
        values[name] = tuple(value) if many else value
    return kind(**values)


def _check_layer(outcome: Outcome) -> None:
    if outcome.task not in TASKS:
        raise ValueError(f"unknown task {outcome.task[:50]!r}")
    size = math.prod(TASKS[outcome.task].layer_shape)
    if len(outcome.layer) != size or set(outcome.layer) - {-1, 0, 1}:
        raise ValueError(f"layer of a run of {outcome.task} must be {size} of -1, 0 and 1")
