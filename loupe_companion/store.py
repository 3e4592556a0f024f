"""The run store: a folder for each run, with the name of the run."""

from collections.abc import Sequence
from pathlib import Path

from loupe_lib.errors import InputError
from loupe_lib.training.checkpoint import WEIGHTS as WEIGHTS
from loupe_lib.training.checkpoint import checkpoint_files
from loupe_lib.training.config import RunConfig

# What the store keeps of a run. The result comes last: where it is, the run is finished.
CONFIG, CHECKPOINT = "config.json", "checkpoint.safetensors"
RESULT = "result.h5"
SNAPSHOTS = "snapshots.h5"  # of a run in training; a finished run has them in its result


def result_file(runs: Path, config: RunConfig) -> Path:
    """Where the store keeps the result of a run; weights and checkpoint are beside it."""
    return runs / config.name / RESULT


def unfinished(configs: Sequence[RunConfig], runs: Path) -> list[RunConfig]:
    """The runs that have no result in the store."""
    return [config for config in configs if not result_file(runs, config).exists()]


def remove_checkpoints(runs: Path, config: RunConfig) -> None:
    """Remove what a run needed only until it was finished, if anything is left of it."""
    for file in checkpoint_files(result_file(runs, config).with_name(CHECKPOINT)):
        file.unlink(missing_ok=True)
    result_file(runs, config).with_name(SNAPSHOTS).unlink(missing_ok=True)


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
