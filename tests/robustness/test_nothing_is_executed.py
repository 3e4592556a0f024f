"""Nothing that is read is executed, reaches into another file, or expands without bound."""

import ast
import io
import json
import lzma
import os
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.data.archives import members
from loupe_lib.data.convert import Selection, import_fastmri
from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.images import read_images
from loupe_lib.training.run import Run, read_weights
from tests.common import assert_one_line, files_in, smoke
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
            with pytest.raises(InputError) as caught:
                read(path)
            assert_one_line(str(caught.value))
            assert files_in(tmp_path) == before and not executed.exists()
            record.count("refused")
    pickle.loads(pickle.dumps(Bomb(executed))).close()  # the trap is one
    assert executed.exists()


def linked(path: Path, secret: Path, kind: str) -> None:
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["images"] = h5py.ExternalLink(str(secret), "images")
        elif kind == "external link upwards":
            file["images"] = h5py.ExternalLink(os.path.relpath(secret, path.parent), "images")
        elif kind == "soft link":
            file["other"] = np.zeros((4, 32, 32), np.float32)
            file["images"] = h5py.SoftLink("/other")
        elif kind == "virtual dataset":
            layout = h5py.VirtualLayout((4, 32, 32), np.float32)
            layout[:] = h5py.VirtualSource(secret, "images", (4, 32, 32))
            file.create_virtual_dataset("images", layout)
        elif kind == "external storage":
            file.create_dataset(
                "images", (4, 32, 32), np.float32, external=[(str(secret), 0, 4 * 4 * 32 * 32)]
            )


KINDS = (
    "external link",
    "external link upwards",
    "soft link",
    "virtual dataset",
    "external storage",
)


@pytest.mark.parametrize("kind", KINDS)
def test_hdf5_reaches_into_no_other_file(kind, tmp_path, record: Record):
    """An HDF5 file whose data are in another file, by any kind of link."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["images"] = np.full((4, 32, 32), 0.5, np.float32)
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "stack.h5"
    linked(path, secret, kind)
    before = files_in(tmp_path)
    for read in (READERS["hdf5 stack"], READERS["images"], READERS["results"]):
        with pytest.raises(InputError) as caught:
            read(path)
        assert_one_line(str(caught.value))
        record.count("refused")
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("claimed", [10**6, 10**9])
def test_hdf5_that_claims_more_than_it_has_takes_no_memory(claimed, tmp_path, record: Record):
    """An HDF5 file of some KB that claims gigabytes of zeros."""
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "images", (claimed, 320, 320), np.float32, chunks=(1, 320, 320), compression="gzip"
        )
        images[0] = 1.0
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError) as caught:
        READERS["hdf5 stack"](path)
    assert_one_line(str(caught.value))
    record.count("refused")


NAMES = ("../outside.h5", "/tmp/outside.h5", "a/../../outside.h5", "..\\outside.h5", "C:/o.h5")


def test_no_name_in_an_archive_becomes_a_path(tmp_path, record: Record):
    """An archive whose members have absolute names, .. in them, or are links and devices."""
    folder = tmp_path / "in" / "archive"
    folder.mkdir(parents=True)
    path = folder / "fastmri.tar"
    with tarfile.open(path, "w") as archive:
        for name in NAMES:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"data"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("file1.h5")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    before = files_in(tmp_path / "in")
    for member in members(path):
        with member.open() as file:
            assert file.read() == b"data"
        record.count("read, and not written")
    with pytest.raises(InputError):
        import_fastmri(path, tmp_path / "out" / "knee.h5", Selection((1, 1, 1)), progress=False)
    assert files_in(tmp_path / "in") == before
    assert not any("outside" in str(name) for name in tmp_path.rglob("*"))
    assert not Path("/tmp/outside.h5").exists()


def test_an_archive_expands_within_bounds(tmp_path, record: Record, monkeypatch):
    """A .tar.xz of some KB that expands to a thousand times its bound."""
    monkeypatch.setattr("loupe_lib.data.archives.ROOM", 1 << 20)
    path = tmp_path / "bomb.tar.xz"
    member = tarfile.TarInfo("file1.h5")
    member.size = 1 << 30
    with lzma.open(path, "wb", preset=0) as file:
        file.write(member.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match=r"bomb\.tar\.xz: it expands to more than") as caught:
        for found in members(path):
            found.open()
    assert_one_line(str(caught.value))
    record.count("refused")
