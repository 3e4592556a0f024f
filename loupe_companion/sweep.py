"""Sweeps: load the runs that the store has, and train the others, each once."""

import contextlib
import math
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from loupe_companion.profiles import Profile
from loupe_companion.results import (
    RunResult,
    collect_results,
    collected_names,
    read_results,
    write_results,
)
from loupe_companion.run_summary import summarize_run
from loupe_companion.sources import load_images
from loupe_lib.cuda import trainer_for
from loupe_lib.data.storage import remove_unfinished, write_file
from loupe_lib.data.workers import cores, exit_with_parent
from loupe_lib.errors import InputError
from loupe_lib.training.checkpoint import checkpoint_files, write_weights
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import device_name, find_device, one_thread
from loupe_lib.training.loop import train
from loupe_lib.training.model import mask_kind
from loupe_lib.training.run import Run

# Activations at the finest level of all models of a pack: a sweep of 14 runs with three seeds at
# N = 128, width 16 and batch 16 fits; at N = 320 and width 64 one run fills the card by itself.
PACK_PIXELS = 42 * 128**2 * 16 * 16
# What the store keeps of a run. The result comes last: where it is, the run is finished.
CONFIG, CHECKPOINT = "config.json", "checkpoint.safetensors"
WEIGHTS, RESULT = "weights.safetensors", "result.h5"


def results_of(
    profile: Profile,
    runs: Path = Path("runs"),
    data: Path | str | None = None,
    device: str | None = None,
) -> list[RunResult]:
    """The results of a profile: the collected ones, else those of the store, else trained now.

    Collected results are those in ``results/<profile>.h5``, and in the file of the profile that
    this one extends.

    Args:
        profile: the sweep.
        runs: folder of the run store.
        data: image file, if not the embedded heads.
        device: where to train what is missing; a GPU if there is one, without it.

    Returns:
        One result a configuration, in the order of ``profile.configs()``.
    """
    kept = [*extended_results(profile), *collected_results(_kept(profile.name))]
    known = {r.config: r for r in kept}
    configs = profile.configs()
    missing = [config for config in configs if config not in known]
    known |= {r.config: r for r in run_sweep(missing, runs, data, device)}
    return [known[config] for config in configs]


def collected_results(file: Path) -> list[RunResult]:
    """The results in a collected file; none if there is no such file yet."""
    return read_results(file) if file.exists() else []


def extended_results(profile: Profile) -> list[RunResult]:
    """The collected results of the profile that this one extends, if any."""
    return collected_results(_kept(profile.extends)) if profile.extends else []


def _kept(name: str) -> Path:
    return Path("results") / f"{name}.h5"


def run_sweep(
    configs: Sequence[RunConfig],
    runs: Path,
    data: Path | str | None = None,
    device: str | None = None,
    progress: bool = True,
) -> list[RunResult]:
    """Train what the store does not have yet, and return the results of all.

    On the CPU one process a core trains one run at a time, on one thread, so that a result does
    not depend on the number of cores. On GPUs one process a GPU trains packs of runs together.
    Two sweeps in the same store train no run twice: one waits for the other.

    Raises:
        InputError: if the store cannot be written, or the images are not those of the runs.
    """
    train_missing(configs, runs, data, device, progress)
    return [read_results(result_file(runs, config))[0] for config in configs]


def collect(
    configs: Sequence[RunConfig],
    runs: Path,
    path: Path,
    pictures: bool = True,
    data: Path | str | None = None,
    device: str | None = None,
) -> None:
    """Add the results of runs to a file; train those that neither the file nor the store has.

    Results that the file holds of other runs stay in it. Several processes may collect into one
    file, from one store or from several: each waits for its turn.

    Raises:
        InputError: as for :func:`run_sweep`, and if the file is damaged or cannot be written.
    """
    held = collected_names(path)
    missing = [config for config in configs if config.name not in held]
    if not missing:
        return
    train_missing(missing, runs, data, device)
    with contextlib.ExitStack() as locks:
        # The lock file stays: were it removed, one process could hold it and another a new one.
        _lock(locks, path.with_name(f".{path.name}.lock"), f"{path}, which another process writes")
        remove_unfinished(path)
        collect_results([result_file(runs, config) for config in missing], path, pictures)


def train_missing(
    configs: Sequence[RunConfig],
    runs: Path,
    data: Path | str | None = None,
    device: str | None = None,
    progress: bool = True,
) -> None:
    """Train what the store does not have yet; see :func:`run_sweep`."""
    todo = []
    for config in configs:
        if result_file(runs, config).exists():
            _remove_checkpoints(runs, config)  # which a kill may have left beside it
        else:
            todo.append(config)
    packs, workers = plan_work(todo, find_device(device))
    train_pack = partial(_train_pack, runs=runs, data=data, progress=progress)
    if len(workers) == 1:
        for pack in packs:
            train_pack(pack, device=workers[0])
    elif workers:
        _in_processes(train_pack, packs, workers)


def describe_work(configs: Sequence[RunConfig], runs: Path, device: str | None = None) -> str:
    """One line: how many runs and epochs :func:`run_sweep` would train, and on what."""
    todo = [config for config in configs if not result_file(runs, config).exists()]
    _, workers = plan_work(todo, find_device(device))
    if not todo:
        return "nothing to train: all runs are there"
    epochs = sum(config.shrink_epochs + config.settle_epochs for config in todo)
    name = device_name(torch.device(workers[0]))
    return f"runs to train: {len(todo)}, at most {epochs} epochs in all, on {len(workers)} x {name}"


def stored_runs(runs: Path) -> list[tuple[RunConfig, bool]]:
    """The runs of a store in the order of their names, each with whether it is finished.

    Raises:
        InputError: if the store or the configuration of a run cannot be read.
    """
    found = []
    try:
        for folder in sorted(runs.iterdir()):
            if (folder / CONFIG).is_file():
                config = RunConfig.from_json((folder / CONFIG).read_text("utf-8"))
                found.append((config, result_file(runs, config).exists()))
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from error
    return found


def result_file(runs: Path, config: RunConfig) -> Path:
    """Where the store keeps the result of a run; weights and checkpoint are beside it."""
    return runs / config.name / RESULT


def plan_work(
    configs: Sequence[RunConfig], where: torch.device
) -> tuple[list[list[RunConfig]], list[str]]:
    """The packs of runs that are trained together, and the devices that train them.

    On a GPU runs of one shape and length form a pack. Those that watch the soft loss form packs of
    their own: it draws masks that others do not draw.
    """
    workers = [str(where)]
    if where.type == "cpu":
        workers *= cores()
    elif str(where) == "cuda":
        workers = [f"cuda:{i}" for i in range(torch.cuda.device_count())]

    def shape(c: RunConfig) -> tuple[object, ...]:
        images = (c.data, c.data_seed, c.test_head, c.size, c.train, c.validation, c.test)
        step = (c.width, c.batch, mask_kind(c), c.schedule == "released", c.keras)
        return (*images, *step, c.shrink_epochs + c.settle_epochs)

    packs: list[list[RunConfig]] = []
    for _, group in groupby(sorted(configs, key=shape), key=shape):
        alike = list(group)
        length = 1
        if where.type != "cpu":
            pixels = alike[0].size ** 2 * alike[0].width * alike[0].batch
            length = max(1, min(PACK_PIXELS // pixels, math.ceil(len(alike) / len(workers))))
        packs += [alike[i : i + length] for i in range(0, len(alike), length)]
    return packs, workers[: len(packs)]


def _in_processes(
    train_pack: Callable[..., None], packs: Sequence[list[RunConfig]], workers: Sequence[str]
) -> None:
    """Train the packs in worker processes, one a device, each with its own progress bar."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    tqdm.set_lock(context.RLock())
    free: multiprocessing.Queue[tuple[int, str]] = context.Queue()
    for place in enumerate(workers):
        free.put(place)
    with ProcessPoolExecutor(
        len(workers), context, initializer=_start_worker, initargs=(tqdm.get_lock(), free)
    ) as pool:
        list(pool.map(partial(_work, train_pack), packs))  # an error cancels the waiting packs


_place: tuple[int, str] = (0, "cpu")  # of this worker process: row of its bar, and its device


def _start_worker(lock: object, free: "multiprocessing.Queue[tuple[int, str]]") -> None:
    global _place
    exit_with_parent()
    tqdm.set_lock(lock)
    _place = free.get()


def _work(train_pack: Callable[..., None], pack: list[RunConfig]) -> None:
    row, device = _place
    train_pack(pack, device=device, row=row)


def _train_pack(
    pack: Sequence[RunConfig],
    *,
    runs: Path,
    data: Path | str | None,
    device: str,
    progress: bool,
    row: int = 0,
) -> None:
    """Train the runs of a pack that no other process trains; then wait for the others."""
    waiting = list(pack)
    while waiting:
        with contextlib.ExitStack() as locks:
            mine = [c for c in waiting if _lock(locks, _lock_file(runs, c))]
            if not mine:  # others train them all: wait until one is done or given up
                mine = waiting[:1]
                of_run = f"run {mine[0].name} ({mine[0].label}), which another process trains"
                _lock(locks, _lock_file(runs, mine[0]), of_run)
            todo = [c for c in mine if not result_file(runs, c).exists()]
            if todo:
                _train_claimed(todo, runs, data, torch.device(device), progress, row)
            waiting = [c for c in waiting if c not in mine]


def _lock_file(runs: Path, config: RunConfig) -> Path:
    return result_file(runs, config).with_name("lock")


def _lock(locks: contextlib.ExitStack, file: Path, wait_for: str | None = None) -> bool:
    """Take a lock, which the operating system frees if this process dies.

    Where another process holds it, return False or, with `wait_for`, say so and wait.
    """
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            locks.enter_context(lock.acquire(timeout=0))
        except Timeout:
            if wait_for is None:
                return False
            tqdm.write(f"waiting for {wait_for} (it holds {file})", sys.stderr)
            locks.enter_context(lock.acquire())
    except OSError as error:
        raise InputError(f"cannot write {file.parent}: {error.strerror or error}") from error
    return True


def _remove_checkpoints(runs: Path, config: RunConfig) -> None:
    for file in checkpoint_files(result_file(runs, config).with_name(CHECKPOINT)):
        file.unlink(missing_ok=True)


def _train_claimed(
    configs: Sequence[RunConfig],
    runs: Path,
    data: Path | str | None,
    device: torch.device,
    progress: bool,
    row: int,
) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where Triton launches its kernels
    images = load_images(configs[0], data)
    folders = [result_file(runs, config).parent for config in configs]
    for config, folder in zip(configs, folders, strict=True):
        for name in (CONFIG, WEIGHTS, RESULT, *map(str, checkpoint_files(Path(CHECKPOINT)))):
            remove_unfinished(folder / name)
        write_file(folder / CONFIG, config.to_json().encode())
    with one_thread(device):
        progressing = [Run(config, device) for config in configs]
        checkpoints = [folder / CHECKPOINT for folder in folders]
        trainer = trainer_for(device)
        train(progressing, images, checkpoints, trainer, progress, row)
        # SSIM takes the most time, on the CPU. Each thread sets its own number of torch threads.
        with ThreadPoolExecutor(cores(), "", torch.set_num_threads, (1,)) as pool:
            results = pool.map(lambda run: summarize_run(run, images.test, trainer), progressing)
        for run, result, folder in zip(progressing, results, folders, strict=True):
            write_weights(folder / WEIGHTS, run.model, run.config)
            write_results([result], folder / RESULT)
            _remove_checkpoints(runs, run.config)
