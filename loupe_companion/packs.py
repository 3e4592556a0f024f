"""Packs: the runs that one process trains together."""

import contextlib
import dataclasses
import hashlib
import json
import math
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from loupe_companion.locks import holder, try_lock, wait_for_lock
from loupe_companion.results import write_results
from loupe_companion.run_summary import shown_slices, summarize_run
from loupe_companion.snapshots import Recorder
from loupe_companion.sources import load_images
from loupe_companion.store import (
    CHECKPOINT,
    CONFIG,
    RESULT,
    SNAPSHOTS,
    WEIGHTS,
    remove_checkpoints,
    result_file,
    unfinished,
)
from loupe_lib.cuda import trainer_for
from loupe_lib.data.storage import remove_unfinished, write_file
from loupe_lib.data.workers import cores
from loupe_lib.errors import InputError
from loupe_lib.training.checkpoint import write_weights
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import one_thread
from loupe_lib.training.loop import train
from loupe_lib.training.model import mask_kind
from loupe_lib.training.run import Run

# Activations at the finest level of all models of a pack: a sweep of 14 runs with three seeds at
# N = 128, width 16 and batch 16 fits; at N = 320 and width 64 one run fills the card by itself.
PACK_PIXELS = 42 * 128**2 * 16 * 16
FOLDER = "packs"  # of the store


@dataclass(frozen=True)
class Pack:
    """Runs that one process trains together."""

    configs: tuple[RunConfig, ...]

    @property
    def name(self) -> str:
        """The name in files: 16 hexadecimal digits of the SHA-256 of the names of its runs."""
        names = " ".join(config.name for config in self.configs)
        return hashlib.sha256(names.encode()).hexdigest()[:16]

    def file(self, runs: Path) -> Path:
        """Where the store keeps the configurations of the runs."""
        return runs / FOLDER / f"{self.name}.json"

    def write(self, runs: Path) -> None:
        """Write the configurations, unless they are there.

        Raises:
            InputError: if the store cannot be written.
        """
        lines = ",\n".join(config.to_json() for config in self.configs)
        if not self.file(runs).exists():  # the same name has the same content
            write_file(self.file(runs), f"[{lines}]\n".encode())

    @classmethod
    def read(cls, file: Path) -> "Pack":
        """Read what :meth:`write` wrote.

        Raises:
            InputError: if the file cannot be read, or is not of a pack.
        """
        try:
            listed = json.loads(file.read_text("utf-8"))
            return cls(tuple(RunConfig.from_json(json.dumps(config)) for config in listed))
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"{file} is not a valid file of a pack: {error}") from error


def plan_packs(configs: Sequence[RunConfig], kind: str) -> list[Pack]:
    """The packs of a kind of device, ``cpu`` or ``cuda``, whatever this machine has.

    A CPU trains one run at a time. On a GPU runs of one shape and length form a pack. Those that
    watch the soft loss form packs of their own: it draws masks that others do not draw.
    """

    def shape(c: RunConfig) -> tuple[object, ...]:
        images = (c.data, c.data_seed, c.test_head, c.size, c.train, c.validation, c.test)
        step = (c.width, c.batch, mask_kind(c), c.schedule == "released", c.keras)
        return (*images, *step, c.shrink_epochs + c.settle_epochs)

    packs = []
    for _, group in groupby(sorted(configs, key=shape), key=shape):
        alike = list(group)
        length = 1
        if kind == "cuda":
            pixels = alike[0].size ** 2 * alike[0].width * alike[0].batch
            length = max(1, PACK_PIXELS // pixels)
        packs += [Pack(tuple(alike[i : i + length])) for i in range(0, len(alike), length)]
    return packs


def write_packs(configs: Sequence[RunConfig], kind: str, runs: Path) -> list[Path]:
    """Plan packs, and write the files of those that are not finished; see :func:`plan_packs`.

    Returns:
        The markers that jobs write when they have trained these packs, see :func:`marker`.

    Raises:
        InputError: if the store cannot be written.
    """
    markers = []
    for pack in plan_packs(configs, kind):
        if unfinished(pack.configs, runs):
            pack.write(runs)
            markers.append(marker(pack.file(runs)))
            markers[-1].unlink(missing_ok=True)  # of runs that were removed since
    return markers


def marker(pack: Path) -> Path:
    """The file ``NAME.done``, which says that the runs of a pack's file have been trained."""
    return pack.with_suffix(".done")


def train_pack(
    pack: Pack,
    runs: Path,
    data: Path | str | None,
    device: torch.device,
    progress: bool = True,
    snapshots: bool = False,
    patience: float = math.inf,
) -> None:
    """Train the runs of a pack that have no result; wait for those that another process trains.

    On the CPU a run is trained on one thread, so that its result does not depend on the number of
    cores. With ``snapshots`` the results keep snapshots of the trainings, see
    :class:`loupe_companion.snapshots.Recorder`. After ``patience`` seconds of waiting, what others
    train counts as failed.

    Raises:
        InputError: if the images are not those of the runs, or if runs failed: the results of the
            others are then in the store.
    """
    failed: list[str] = []
    waiting = unfinished(pack.configs, runs)
    while waiting:
        with contextlib.ExitStack() as locks:
            mine = []
            for config in tuple(waiting):
                try:
                    if try_lock(locks, _lock_file(runs, config)):
                        mine.append(config)
                except InputError as error:  # such as a folder that only others may write
                    failed.append(_failure(config, error))
                    waiting.remove(config)
            if not waiting:
                break
            if not mine:  # others train them all: wait until one is done or given up
                mine = waiting[:1]
                what = f"run {mine[0].name} ({mine[0].label})"
                if not wait_for_lock(locks, _lock_file(runs, mine[0]), what, patience):
                    failed.append(f"{what} is {holder(_lock_file(runs, mine[0]))}")
                    break
            todo = unfinished(mine, runs)
            if todo:
                failed += _train_locked(todo, runs, data, device, progress, snapshots)
            waiting = [config for config in waiting if config not in mine]
    if failed:
        raise InputError("; ".join(failed))


def _failure(config: RunConfig, error: Exception) -> str:
    return f"run {config.name} ({config.label}) failed: {error}"


def _lock_file(runs: Path, config: RunConfig) -> Path:
    return result_file(runs, config).with_name("training.lock")


def _train_locked(
    configs: Sequence[RunConfig],
    runs: Path,
    data: Path | str | None,
    device: torch.device,
    progress: bool,
    snapshots: bool,
) -> list[str]:
    """Train runs whose locks this process holds; a sentence about each run that failed."""
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where Triton launches its kernels
    images = load_images(configs[0], data)
    failed: list[str] = []

    @contextlib.contextmanager
    def alone(config: RunConfig) -> Iterator[None]:
        """A fault in one run must not cost the results of the others."""
        try:
            yield
        except InputError as error:
            failed.append(_failure(config, error))
        except Exception as error:  # too little memory, for example
            traceback.print_exc()
            failed.append(_failure(config, error))

    progressing: list[Run] = []
    with one_thread(device):
        for config in configs:
            with alone(config):
                folder = result_file(runs, config).parent
                for name in (CONFIG, CHECKPOINT, WEIGHTS, RESULT, SNAPSHOTS):
                    remove_unfinished(folder / name)
                write_file(folder / CONFIG, config.to_json().encode())
                run = Run(config, device)
                run.resume(folder / CHECKPOINT)
                progressing.append(run)
        if not progressing:
            return failed
        checkpoints = [result_file(runs, run.config).with_name(CHECKPOINT) for run in progressing]
        trainer = trainer_for(device)
        recorder = None
        if snapshots:
            recorder = Recorder(runs, images.test.images[shown_slices(images.test)[:1]])
        train(progressing, images, checkpoints, trainer, progress, recorder)
        # SSIM takes the most time, on the CPU. Each thread sets its own number of torch threads.
        with ThreadPoolExecutor(cores(), "", torch.set_num_threads, (1,)) as pool:
            futures = [pool.submit(summarize_run, run, images.test, trainer) for run in progressing]
            for run, future in zip(progressing, futures, strict=True):
                with alone(run.config):
                    result = future.result()
                    file = result_file(runs, run.config)
                    if recorder is not None:
                        result = dataclasses.replace(result, snapshots=recorder.of(run))
                    write_weights(file.with_name(WEIGHTS), run.model, run.config)
                    write_results([result], file)
                    remove_checkpoints(runs, run.config)
    return failed
