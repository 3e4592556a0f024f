"""Nothing that is read is executed."""

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.images import read_images
from loupe_lib.training.checkpoint import read_weights
from loupe_lib.training.run import Run
from tests.common import files_in, smoke
from tests.conftest import ROOT, Record

MODULES = {"pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle"}
CALLS = {
    "eval",
    "exec",
    "torch.load",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
}


def sources() -> Iterator[tuple[str, str]]:
    """All code of the library, the tools and the notebooks, with where it is."""
    for folder in ("loupe_lib", "loupe_companion"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        lines = "\n".join(code).split("\n")
        python = [line for line in lines if not line.lstrip().startswith(("%", "!"))]
        yield path.name, "\n".join(python)


def executes(code: str) -> Iterator[str]:
    """What in a source could execute what it reads."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) in CALLS:
                yield ast.unparse(node)
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield ast.unparse(node)


def test_no_source_executes_what_it_reads():
    found = {name: list(executes(code)) for name, code in sources()}
    assert len(found) > 60
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("code", [
    "import pickle", "from pickle import loads", "eval(text)", "exec(text)", "torch.load(path)",
    "yaml.load(text)", "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=trusted)",
])  # fmt: skip
def test_such_a_source_would_be_found(code):
    assert list(executes(code))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


READERS = {
    "npy": lambda path: list(open_npy(path).read()),
    "hdf5 stack": lambda path: list(open_hdf5_stack(path, "images").read()),
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
