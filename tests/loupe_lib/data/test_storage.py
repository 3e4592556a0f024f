"""Files are written completely or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat

import h5py
import numpy as np
import pytest

from loupe_lib import InputError
from loupe_lib.data.storage import (
    digest,
    member,
    open_hdf5,
    read_array,
    remove_unfinished,
    write_file,
    writing,
    writing_hdf5,
)
from tests.common import cut, flip, refusal


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_file_is_written_with_its_folders_for_whom_the_umask_lets(umask, mode, tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    before = os.umask(umask)
    try:
        write_file(path, b"content")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(call, number, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    assert refusal(write_file, path, b"new") == f"cannot write {path}: {os.strerror(number)}"
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_body_that_raises_leaves_what_was_there(error, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), writing(path) as beside:
        beside.write_bytes(b"half of")
        assert path.read_bytes() == b"old"
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_an_hdf5_file_of_a_format_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.h5"
    with writing_hdf5(path, "numbers", 3) as file:
        file["values"] = np.arange(1000.0)
        assert not path.exists()
    with open_hdf5(path, "numbers", 3) as file:
        assert member(file, "values", h5py.Dataset)[7] == 7
    assert list(path.parent.iterdir()) == [path]


def test_the_leftover_of_a_killed_writer_can_be_removed(tmp_path):
    path = tmp_path / "file.bin"
    others = [tmp_path / name for name in (".file2.bin.x.unfinished", ".file.bin.x")]
    for other in others:
        other.write_bytes(b"")
    with writing(path) as beside:
        left = shutil.copy(beside, beside.with_stem(beside.stem + "2"))
    assert left.exists()
    remove_unfinished(path)
    assert sorted(tmp_path.iterdir()) == sorted([*others, path])


def test_the_digest_is_sha_256(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(format="numbers", version=3)
        file["values"] = np.arange(1000.0)
        file.create_group("group")
    return path


def refused(path, kind: str = "numbers", version: int = 3, hint: str = "") -> str:
    """The line with which the file is not opened."""
    with contextlib.ExitStack() as files:
        return refusal(files.enter_context, open_hdf5(path, kind, version, hint))


@pytest.mark.parametrize(
    ("kind", "version", "reason"),
    [("words", 3, "not a words file"), ("numbers", 4, "format version 3; this program reads 4")],
)
def test_other_formats_and_versions_are_refused(path, kind, version, reason):
    assert refused(path, kind, version) == f"{path}: {reason}"


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_a_file_cut_short_is_refused(path, fraction):
    cut(path, fraction)
    assert refused(path).startswith(f"{path}: not a valid numbers file (truncated or corrupt): ")


def test_what_is_no_hdf5_file_is_refused_with_a_hint(tmp_path):
    empty, text = tmp_path / "empty.h5", tmp_path / "text.h5"
    empty.touch()
    text.write_text("text")
    for path, message in (
        (tmp_path / "none", f"cannot read {tmp_path}/none: No such file or directory; try a"),
        (tmp_path, f"cannot read {tmp_path}: Is a directory; try a"),
        (empty, f"{empty}: not a numbers file; try a"),
        (text, f"{text}: not a numbers file; try a"),
    ):
        assert refused(path, hint="; try a") == message


def test_a_bug_in_the_body_is_not_taken_for_a_damaged_file(path):
    for bug in (KeyError("name"), ValueError("value"), OSError("disk")):
        with pytest.raises(type(bug)) as caught, open_hdf5(path, "numbers", 3):
            raise bug
        assert caught.value is bug


def test_an_error_about_the_content_names_the_path(path):
    with pytest.raises(InputError) as caught, open_hdf5(path, "numbers", 3):
        raise InputError("no values")
    assert str(caught.value) == f"{path}: no values"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_flipped_bit_after_the_checksum_is_noticed(in_memory, tmp_path):
    path = tmp_path / "file.h5"
    with writing_hdf5(path, "numbers", 3, in_memory) as file:
        file["values"] = np.arange(1000.0)
    flip(path, 5000)
    message = f"{path}: not a valid numbers file (truncated or corrupt); checksum mismatch"
    assert refused(path) == message


def test_corrupt_data_of_a_file_without_checksum_are_refused_when_they_are_read(path):
    with h5py.File(path, "r+") as file:
        file.create_dataset("packed", data=np.ones(100), chunks=(100,), fletcher32=True)
        chunk = file["packed"].id.get_chunk_info(0)
    flip(path, chunk.byte_offset)
    with open_hdf5(path, "numbers", 3) as file:
        packed = member(file, "packed", h5py.Dataset)
        assert refusal(read_array, packed).startswith("the data cannot be read")


def test_a_member_must_be_in_the_file_itself(path, tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["values"] = np.zeros(3)
    layout = h5py.VirtualLayout((3,), float)
    layout[:] = h5py.VirtualSource(other, "values", (3,))
    with h5py.File(path, "r+") as file:
        file["outside"] = h5py.ExternalLink(str(other), "values")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (3,), float, external=[(str(other), 0, 24)])
    with open_hdf5(path, "numbers", 3) as file:
        for name in ("outside", "virtual", "external", "nowhere", "group"):
            assert name in refusal(member, file, name, h5py.Dataset)
        assert "must be a group" in refusal(member, file, "values", h5py.Group)


def test_a_failed_write_below_a_relative_path_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = pytest.raises(InputError, match="cannot write new: No such file")
    with refused, writing("new") as beside:
        beside.unlink()
        beside.read_bytes()


def test_a_missing_file_that_the_body_reads_is_not_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), writing(tmp_path / "new.h5"):
        (tmp_path / "nowhere" / "other.txt").read_text()
    assert not list(tmp_path.iterdir())
