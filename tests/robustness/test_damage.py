"""Files cut short or with a flipped bit: an error that names the file, or what was in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from loupe_companion.results import read_results, write_results
from loupe_companion.sources import load_images
from loupe_lib import InputError
from loupe_lib.data.images import SPLITS, read_images, write_images
from loupe_lib.training.checkpoint import read_weights
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import random, smoke
from tests.conftest import Record
from tests.loupe_companion.test_sweep import measured

pytestmark = pytest.mark.slow

IMAGES = random(64, 32, 32)


def results_in(path: Path) -> object:
    return [measured(result) for result in read_results(path)]


def weights_in(path: Path) -> object:
    model, config = read_weights(path)
    return {name: value.numpy() for name, value in model.state_dict().items()}, config


def images_in(path: Path) -> object:
    images = read_images(path)
    splits = [getattr(images, name) for name in SPLITS]
    return [(s.images.numpy(), s.volume.numpy(), s.names) for s in splits]


def checkpoint_in(path: Path) -> object:
    run = Run(smoke(), "cpu")
    run.resume(path)
    trainer = PlainTrainer([run.model], IMAGES, [0.01])
    run.start(trainer, 0)
    state = {name: value.numpy() for name, value in trainer.state(0).items()}
    return state, run.history, run.schedule.state_dict()


READERS: dict[str, Callable[[Path], object]] = {
    "results.h5": results_in,
    "weights.safetensors": weights_in,
    "images.h5": images_in,
    "checkpoint.safetensors": checkpoint_in,
}


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory) -> Path:
    """A folder with a file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    write_results(trained.results[:2], folder / "results.h5")
    shutil.copy(trained.weights(0), folder / "weights.safetensors")
    write_images(load_images(smoke()), folder / "images.h5")
    run = Run(smoke(), "cpu")
    trainer = PlainTrainer([run.model], IMAGES, [0.01])
    trainer.step(run.batches()[:1])
    run.end_epoch(trainer, 0, 1.0, 0.3, 20.0, 0.5)
    run.save(folder / "checkpoint.safetensors", trainer, 0)
    return folder


def places(size: int, tries: int) -> list[int]:
    """Bytes of a file: all of its beginning and end, and others at random."""
    edge = min(size // 2, tries // 4)
    rng = np.random.default_rng(0)
    return [*range(edge), *range(size - edge, size), *rng.integers(0, size, tries - 2 * edge)]


def refused_or_right(read: Callable[[Path], object], path: Path, right: object) -> str:
    try:
        found = read(path)
    except InputError as error:
        assert str(path) in str(error)
        return "refused"
    np.testing.assert_equal(found, right)
    return "read right"


@pytest.mark.parametrize("name", READERS)
def test_flipped_bits(name, whole, tmp_path, record: Record):
    """A bit is flipped in a file of results, weights, images or a checkpoint."""
    right = READERS[name](whole / name)
    content = bytearray((whole / name).read_bytes())
    for number, place in enumerate(places(len(content), record.tries(1500, 120))):
        content[place] ^= 1 << number % 8
        (tmp_path / name).write_bytes(content)
        content[place] ^= 1 << number % 8
        record.count(refused_or_right(READERS[name], tmp_path / name, right))


@pytest.mark.parametrize("name", READERS)
def test_cut_short(name, whole, tmp_path, record: Record):
    """A file of results, weights, images or a checkpoint is cut short."""
    right = READERS[name](whole / name)
    content = (whole / name).read_bytes()
    for place in places(len(content), record.tries(250, 40)):
        (tmp_path / name).write_bytes(content[:place])
        record.count(refused_or_right(READERS[name], tmp_path / name, right))
