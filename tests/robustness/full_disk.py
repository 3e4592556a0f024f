"""Run in a mount namespace of its own: writes every kind of file to a disk that is full.

Prints a JSON object: by kind of try, how many failed as they should.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from loupe_companion import cli
from loupe_companion.results import read_results, write_results
from loupe_companion.sources import load_images
from loupe_lib import InputError
from loupe_lib.data.images import write_images
from loupe_lib.training.checkpoint import write_weights
from loupe_lib.training.model import build_model
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import files_in, random, smoke

DISK = 8 << 20  # bytes


def writers() -> dict[str, Callable[[Path], None]]:
    torch.set_num_threads(1)
    results = read_results(sys.argv[2])
    images = load_images(smoke())
    model = build_model(smoke())
    run = Run(smoke(), "cpu")
    trainer = PlainTrainer([run.model], random(64, 32, 32), [0.01])
    trainer.step(run.batches()[:1])
    run.end_epoch(trainer, 0, 1.0, 0.3, 20.0, 0.5)
    return {
        "results.h5": lambda path: write_results(results, path),
        "weights.safetensors": lambda path: write_weights(path, model, smoke()),
        "images.h5": lambda path: write_images(images, path),
        "checkpoint.safetensors": lambda path: run.save(path, trainer, 0),
    }


def leave(free: int, ballast: Path) -> None:
    """Fill the disk but for so many bytes."""
    ballast.unlink(missing_ok=True)
    left = os.statvfs(ballast.parent)
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, left.f_bavail * left.f_frsize - free))


def fails(write: Callable[[Path], None], path: Path, reason: str) -> None:
    before = files_in(path.parent)
    try:
        write(path)
    except InputError as error:
        assert str(error) == f"cannot write {path}: {reason}", error
    else:
        raise AssertionError(f"{path} was written")
    assert files_in(path.parent) == before


def main() -> None:
    disk, tries = Path(sys.argv[1]), int(sys.argv[3])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", disk], check=True)
    folder = disk / "files"
    counts: Counter[str] = Counter()
    for name, write in writers().items():
        write(folder / name)
        size = (folder / name).stat().st_size
        for number in range(tries):
            leave((size - 8192) * number // tries, disk / "ballast")
            fails(write, folder / name, "No space left on device")
            counts["disk full"] += 1
        (disk / "ballast").unlink()
        write(folder / name)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for name, write in writers().items():
        fails(write, folder / name, "Read-only file system")
        counts["disk read-only"] += 1
    sys.argv = f"loupe_lib sweep --profile smoke --device cpu --runs {disk}/runs".split()
    try:
        cli.main()
    except SystemExit as leaving:
        assert leaving.code == 2
        counts["disk read-only"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
