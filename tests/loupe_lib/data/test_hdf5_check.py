"""A first look at HDF5 files that nobody vouches for."""

import io
import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_lib import InputError
from loupe_lib.data import hdf5_check
from loupe_lib.data.hdf5_check import check_hdf5
from loupe_lib.data.hdf5_look import look_at
from loupe_lib.data.window import Window
from tests.common import assert_one_line
from tests.crashing import crashing_file


def stack(path: Path, expanded: int | None = None, **settings: object) -> Path:
    """A compressed stack; ``expanded`` is what its second chunk takes when HDF5 has read it."""
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "images", data=np.ones((3, 32, 32), np.float32), chunks=(1, 32, 32), **settings
        )
        if expanded is not None:
            images.id.write_direct_chunk((1, 0, 0), deflated_zeros(expanded))
    return path


def deflated_zeros(size: int) -> bytes:
    deflate = zlib.compressobj(1)
    piece = bytes(1 << 20)
    return b"".join(deflate.compress(piece) for _ in range(size >> 20)) + deflate.flush()


def refused(path: Path, *where: int) -> str:
    with open(path, "rb") as file, pytest.raises(InputError) as caught:
        check_hdf5(file, *where)
    assert_one_line(str(caught.value))
    return str(caught.value)


def test_whole_files_pass_wherever_they_lie(tmp_path):
    content = stack(tmp_path / "stack.h5", compression="gzip").read_bytes()
    within = tmp_path / "within"
    within.write_bytes(b"x" * 1000 + content + b"y" * 1000)
    with open(tmp_path / "stack.h5", "rb") as file:
        check_hdf5(file)
    with open(within, "rb") as file:
        file.seek(7)
        check_hdf5(file, 1000, len(content))
        assert file.tell() == 7 and file.read(1) == b"x"


def test_what_is_no_hdf5_passes_and_is_left_to_its_reader(tmp_path):
    path = tmp_path / "stack.h5"
    for content in (b"", b"no HDF5", bytes(4096)):
        path.write_bytes(content)
        with open(path, "rb") as file:
            check_hdf5(file)


def test_what_crashes_hdf5_is_refused(tmp_path):
    path = crashing_file(tmp_path)
    assert refused(path) == "it is damaged: HDF5 crashes on it"
    within = tmp_path / "within"
    within.write_bytes(bytes(512) + path.read_bytes())
    assert refused(within, 512, path.stat().st_size) == "it is damaged: HDF5 crashes on it"


def test_what_hdf5_reads_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_check, "SECONDS", 0.01)
    assert "without end" in refused(stack(tmp_path / "stack.h5"))


@pytest.mark.parametrize(
    "settings",
    [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}],
)
def test_a_chunk_that_expands_without_bound_is_refused(settings, tmp_path):
    path = stack(tmp_path / "stack.h5", 3 << 30, **settings)
    assert path.stat().st_size < 20 << 20
    assert "takes too much memory" in refused(path)


def test_large_chunks_that_keep_their_size_pass(tmp_path):
    path = tmp_path / "stack.h5"
    noise = np.random.default_rng(0).random((1, 600, 600), np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=noise, chunks=noise.shape, compression="gzip")
    with open(path, "rb") as file:
        check_hdf5(file)


def test_packages_are_found_where_this_process_finds_them(tmp_path, monkeypatch):
    """Not only in the interpreter's own folder: `pip install --user`, PYTHONPATH."""
    (tmp_path / "h5py.py").write_text("raise SystemExit('nobody is at home')")
    monkeypatch.syspath_prepend(tmp_path)
    assert refused(stack(tmp_path / "stack.h5")) == "it cannot be looked at: nobody is at home"


def test_links_in_a_circle_come_to_an_end(tmp_path):
    path = stack(tmp_path / "stack.h5")
    with h5py.File(path, "a") as file:
        file["group/back"] = file["/"]
    with open(path, "rb") as file:
        look_at(file.fileno(), 0, path.stat().st_size)


def test_a_window_is_a_file_of_its_own(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with io.BufferedReader(Window(io.FileIO(path), 10, 20)) as window:
        assert window.read() == bytes(range(10, 30))
        assert window.seek(-5, os.SEEK_END) == 15
        assert window.read(100) == bytes(range(25, 30))
        assert window.seek(3) == 3 and window.read(2) == bytes([13, 14])
        assert window.seek(1000) == 1000 and window.read() == b""
