"""No file that is read is executed."""

import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.data.formats.arrays import open_array
from loupe_lib.data.images import read_images
from loupe_lib.training.checkpoint import read_weights
from loupe_lib.training.run import Run
from tests.common import ROOT, files_in, smoke
from tests.conftest import Record

EXECUTES = re.compile(
    r"(import|from) (pickle|marshal|shelve|joblib|dill|cloudpickle)\b"
    r"|(?<![\w.])(eval|exec)\([^)]"
    r"|\b(torch\.load|yaml\.(load|full_load|unsafe_load)|read_pickle)\("
    r"|\ballow_pickle=(?!False)"
)


def test_no_source_executes_what_it_reads():
    packages = [path for p in ("loupe_lib", "loupe_companion") for path in (ROOT / p).rglob("*.py")]
    files = [*packages, *(ROOT / "notebooks").glob("*.ipynb")]
    assert len(files) > 60
    assert [path for path in files if EXECUTES.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("code", [
    "import pickle", "from pickle import loads", "eval(text)", "exec(text)", "torch.load(path)",
    "yaml.load(text)", "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=trusted)",
])  # fmt: skip
def test_such_a_source_would_be_found(code):
    assert EXECUTES.search(code)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


READERS = {
    "array": lambda path: list(open_array(path, "images").read()),
    "images": read_images,
    "results": read_results,
    "weights": read_weights,
    "checkpoint": lambda path: Run(smoke(), "cpu").resume(path),
}


def write_traps(folder: Path, executed: Path) -> list[Path]:
    bomb = np.array([[[Bomb(executed)]]], dtype=object)
    np.save(folder / "object.npy", bomb, allow_pickle=True)
    (folder / "pickle.npy").write_bytes(pickle.dumps(bomb))
    torch.save({"state_dict": Bomb(executed)}, folder / "torch.pt")
    (folder / "weights.safetensors").write_bytes((folder / "torch.pt").read_bytes())
    with h5py.File(folder / "object.h5", "w") as file:
        data = np.frombuffer(pickle.dumps(Bomb(executed)), np.uint8)
        file.create_dataset("images", data=np.void(data.tobytes()))
    return sorted(folder.iterdir())


def test_traps_do_not_go_off(tmp_path, record: Record):
    """A pickle as .npy, object array, torch file, weights or HDF5, given to every reader."""
    folder, executed = tmp_path / "traps", tmp_path / "executed"
    folder.mkdir()
    for path in write_traps(folder, executed):
        before = files_in(tmp_path)
        for read in READERS.values():
            with pytest.raises(InputError):
                read(path)
            assert files_in(tmp_path) == before and not executed.exists()
            record.count("refused")
    pickle.loads(pickle.dumps(Bomb(executed))).close()  # the trap is one
    assert executed.exists()
