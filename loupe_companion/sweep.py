"""Sweeps: load the runs that the store has, and train the others, each once."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from loupe_companion.locks import wait_for_lock
from loupe_companion.packs import plan_packs, train_pack
from loupe_companion.profiles import Profile
from loupe_companion.results import (
    RunResult,
    collect_results,
    collected_names,
    read_results,
)
from loupe_companion.store import remove_checkpoints, result_file, unfinished
from loupe_lib.data.storage import remove_unfinished
from loupe_lib.errors import InputError
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import device_name, find_device


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
    if todo := unfinished(missing, runs):
        print(describe_work(todo, device_name(find_device(device))))
    known |= {r.config: r for r in run_sweep(missing, runs, data, device)}
    return [known[config] for config in configs]


def describe_work(todo: Sequence[RunConfig], place: str) -> str:
    """How much there is to train, in a line."""
    epochs = sum(config.shrink_epochs + config.settle_epochs for config in todo)
    return f"runs to train: {len(todo)}, at most {epochs} epochs in all, on {place}"


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
    snapshots: bool = False,
) -> list[RunResult]:
    """Train what the store does not have yet, and return the results of all.

    This process trains the packs one after the other; the repository's workflow trains them side by
    side. Two sweeps in the same store train no run twice: one waits for the other. With
    ``snapshots`` those trained now keep them, see ``loupe_companion.snapshots.Recorder``.

    Raises:
        InputError: if the store cannot be written, or the images are not those of the runs.
    """
    train_missing(configs, runs, data, device, progress, snapshots)
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
    collect_finished(missing, runs, path, pictures)


def collect_finished(
    configs: Sequence[RunConfig], runs: Path, path: Path, pictures: bool = True
) -> None:
    """Add the results of finished runs to a file, as :func:`collect` does; train none.

    Raises:
        InputError: if a run has no result, or the file is damaged or cannot be written.
    """
    if missing := unfinished(configs, runs):
        first = f"{missing[0].name} ({missing[0].label})"
        raise InputError(f"runs without a result in {runs}: {len(missing)}, the first is {first}")
    with contextlib.ExitStack() as locks:
        wait_for_lock(locks, path.with_name(f".{path.name}.writing.lock"), f"{path}")
        remove_unfinished(path)
        collect_results([result_file(runs, config) for config in configs], path, pictures)
    for config in configs:
        remove_checkpoints(runs, config)  # which a kill may have left beside the result


def train_missing(
    configs: Sequence[RunConfig],
    runs: Path,
    data: Path | str | None = None,
    device: str | None = None,
    progress: bool = True,
    snapshots: bool = False,
) -> None:
    """Train what the store does not have yet; see :func:`run_sweep`."""
    where = find_device(device)
    for pack in plan_packs(unfinished(configs, runs), where.type):
        train_pack(pack, runs, data, where, progress, snapshots)
