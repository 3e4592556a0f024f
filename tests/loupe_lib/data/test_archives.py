"""Files within tar archives, friendly and not."""

import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from loupe_lib import InputError
from loupe_lib.data import archives
from loupe_lib.data.archives import is_archive, is_compressed, members
from tests.common import assert_one_line, cut, files_in

CONTENT = {
    "singlecoil_train/file1.h5": os.urandom(1000),
    "singlecoil_train/empty.h5": b"",
    "singlecoil_train/file2.h5": os.urandom(5000),
    f"singlecoil_train/{'long' * 60}.h5": os.urandom(512),
}
KINDS = [".tar", ".tar.xz", ".tar.gz", ".tgz", ".txz"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def make(path: Path, content: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> Path:
    mode = {".tar": "w:", ".xz": "w:xz", ".txz": "w:xz"}.get(path.suffix, "w:gz")
    with tarfile.open(path, mode, format=kind) as tar:
        folder = tarfile.TarInfo("singlecoil_train")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("singlecoil_train/link.h5")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def read(path: Path) -> dict[str, bytes]:
    found = {}
    for member in members(path):
        with member.open() as file:
            found[member.name] = file.read()
        assert len(found[member.name]) == member.size
    return found


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert_one_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_says_what_is_an_archive(kind):
    assert is_archive(Path(f"knee{kind.upper()}"))
    assert is_compressed(Path(f"knee{kind}")) == (kind != ".tar")
    assert not is_archive(Path("knee.h5"))


@pytest.mark.parametrize("suffix", KINDS)
def test_members_are_read_and_nothing_is_unpacked(suffix, tmp_path):
    path = make(tmp_path / f"knee{suffix}", CONTENT)
    assert read(path) == CONTENT
    assert list(files_in(tmp_path)) == [path.name]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_dialect_of_tar_is_read(kind, tmp_path):
    content = CONTENT
    if kind == tarfile.USTAR_FORMAT:  # which has no longer names
        content = {name: data for name, data in CONTENT.items() if len(name) < 100}
    assert read(make(tmp_path / "knee.tar", content, kind)) == content


def test_members_of_a_plain_archive_stay_open_in_any_order(tmp_path):
    found = list(members(make(tmp_path / "knee.tar", CONTENT)))
    for member in reversed(found):
        with member.open() as file:
            file.seek(-10, os.SEEK_END) if member.size else None
            assert file.read() == CONTENT[member.name][-10:]
            assert file.read() == b""


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz"])
def test_what_is_not_opened_is_passed_over(suffix, tmp_path):
    path = make(tmp_path / f"knee{suffix}", CONTENT)
    assert [member.name for member in members(path)] == list(CONTENT)


def test_a_compressed_member_waits_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = make(tmp_path / "knee.tar.xz", CONTENT)
    for member in members(path):
        with member.open() as file:
            assert not list((tmp_path / "scratch").iterdir())
            assert file.read() == CONTENT[member.name]


@pytest.mark.parametrize("name", ["../../outside.h5", "/etc/outside.h5", "a/../../b.h5"])
def test_names_that_lead_outside_are_names_alone(name, tmp_path):
    path = make(tmp_path / "knee.tar.gz", {name: b"content"})
    assert read(path) == {name: b"content"}
    assert list(files_in(tmp_path)) == [path.name]


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("share", [0, 0.2, 0.4])
def test_an_archive_cut_short_is_refused(suffix, share, tmp_path):
    path = make(tmp_path / f"knee{suffix}", CONTENT)
    cut(path, share)
    assert "is no whole archive" in refused(path)


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz"])
def test_a_flipped_bit_is_found(suffix, tmp_path):
    path = make(tmp_path / f"knee{suffix}", CONTENT)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("suffix", KINDS)
def test_other_files_are_refused(suffix, tmp_path):
    path = tmp_path / f"knee{suffix}"
    path.write_bytes(b"no archive " * 100)
    assert "is no whole archive" in refused(path)
    path.unlink()
    refused(path)


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".tar.xz", lzma.compress), (".tar.gz", gzip.compress)]
)
def test_a_bomb_does_not_go_off(suffix, pack, tmp_path, monkeypatch):
    plain = make(tmp_path / "plain.tar", {"a.h5": bytes(3 << 20)})
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(pack(plain.read_bytes()))
    monkeypatch.setattr(archives, "ROOM", 1 << 20)  # in place of 1 GB
    assert "expands to more than" in refused(path)


def test_a_member_that_claims_to_be_huge_is_refused(tmp_path):
    info = tarfile.TarInfo("a.h5")
    info.size = 1 << 50
    block = info.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "knee.tar"
    path.write_bytes(block + bytes(1024))
    assert "cut short" in refused(path)
    path = tmp_path / "knee.tar.gz"
    path.write_bytes(gzip.compress(block + bytes(1024)))
    assert "at most 17179869184 can be read" in refused(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_huge_extended_header_is_refused(kind, tmp_path):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 1 << 30
    path = tmp_path / "knee.tar"
    with open(path, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 30)  # a hole: no space on the disk
    assert "an extended header has 1073741824 bytes; at most 65536" in refused(path)


def test_headers_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 50)
    content = {f"{i}.h5": b"" for i in range(60)}
    assert "it has more than 50 members" in refused(make(tmp_path / "knee.tar", content))


def test_sparse_members_are_refused(tmp_path):
    info = tarfile.TarInfo("sparse.h5")
    info.type = tarfile.GNUTYPE_SPARSE
    path = tmp_path / "knee.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "sparse files in archives cannot be read" in refused(path)
