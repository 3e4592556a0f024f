"""Files that are whole or not there: atomic writing, and reading without trust."""

import contextlib
import glob
import hashlib
import io
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import h5py

from loupe_lib.data.hdf5_check import check_hdf5
from loupe_lib.errors import InputError

Member = TypeVar("Member", h5py.Group, h5py.Dataset)
UNFINISHED = ".unfinished"
SEAL = b"SHA-256 of all after 512 bytes: "
SEAL_SIZE = 512  # the smallest that HDF5 skips
KEPT_UNWRITTEN = 1 << 16  # bytes; what HDF5 reads again in order to go on is smaller
LAYOUT = ("v110", "v110")  # of HDF5 1.10 and later, half the size where datasets are small


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file whole or not at all; missing folders are made.

    Raises:
        InputError: if it cannot be written: no space, no permission.
    """
    with writing(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a file that appears whole or not at all; missing folders are made.

    The body writes beside the file; when it ends, that is flushed to the disk and put in the
    file's place. No reader ever sees half of it, and what was there before stays until then, or
    for good if the body raises.

    Yields:
        The path to write to; an empty file is there.

    Raises:
        InputError: if it cannot be written: no space, no permission.
    """
    path = Path(path)
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(UNFINISHED, f".{path.name}.", path.parent)
        os.close(handle)
        beside = Path(name)
        yield beside
        os.chmod(beside, 0o644)  # mkstemp's files are for their owner alone
        _flush(beside, os.O_RDWR)
        os.replace(beside, path)
        _flush(path.parent, os.O_RDONLY)  # the new name as well
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(path: Path) -> None:
    """Remove what a killed writer left beside a file; for the holder of that file's lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{UNFINISHED}"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_hdf5(path: str | os.PathLike[str], kind: str, version: int) -> Iterator[h5py.File]:
    """An HDF5 file of one of our formats, which appears whole or not at all; see :func:`writing`.

    It is sealed: its first 512 bytes, which HDF5 leaves to the user, hold the SHA-256 of all
    others, so that :func:`open_hdf5` notices any damage.

    Args:
        path: the file.
        kind: its attribute ``format``.
        version: its attribute ``version``.

    Raises:
        InputError: when the body has ended, if the file cannot be written.
    """
    with writing(path) as beside, _Disk(beside, "r+") as disk:
        try:
            with h5py.File(disk, "w", libver=LAYOUT, userblock_size=SEAL_SIZE) as file:
                file.attrs.update(format=kind, version=version)
                yield file
            seal = SEAL + _sealed_digest(disk)
            disk.seek(0)
            disk.write(seal)
        finally:
            if disk.failure is not None:
                raise disk.failure


class _Disk(io.FileIO):
    """A file that keeps its failures to itself: HDF5 crashes the process on a full disk.

    After the first failure HDF5 still finds what it wrote, but for large pieces of data, which it
    does not rely on.
    """

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self.failure: BaseException | None = None
        self.unwritten: dict[int, bytes] = {}  # by place, in the order of writing

    def write(self, content: Any) -> int:
        place, size = self.tell(), len(content)
        try:
            done = 0
            while self.failure is None and done < size:
                done += super().write(content[done:]) or 0
        except BaseException as error:
            self.failure = error
        if self.failure is not None:
            self.unwritten.pop(place, None)
            self.unwritten[place] = bytes(content) if size <= KEPT_UNWRITTEN else b""
            self.seek(place + size)
        return size

    def readinto(self, buffer: Any) -> int:
        if self.failure is None:
            return super().readinto(buffer) or 0
        place, size = self.tell(), len(buffer)
        content = bytearray(super().read(size) or b"").ljust(size, b"\0")
        for start, piece in self.unwritten.items():
            begin, end = max(start, place), min(start + len(piece), place + size)
            if begin < end:
                content[begin - place : end - place] = piece[begin - start : end - start]
        buffer[:] = content
        self.seek(place + size)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self.failure is not None and whence == io.SEEK_END:
            return super().seek(self._end() + offset)
        return super().seek(offset, whence)

    def _end(self) -> int:
        written = super().seek(0, io.SEEK_END)
        return max([written, *(start + len(piece) for start, piece in self.unwritten.items())])

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return 0


def _sealed_digest(file: IO[bytes]) -> bytes:
    file.seek(SEAL_SIZE)
    return digest_from_here(file).encode()


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike[str], kind: str, *versions: int) -> Iterator[h5py.File]:
    """Open an HDF5 file of one of our formats for reading.

    Args:
        path: the file.
        kind: what its attribute ``format`` must say.
        versions: one of them must be its attribute ``version``.

    Raises:
        InputError: also while the body runs, if the file is missing, no such file, of another
            version, cut short or damaged; the message names the file.
    """
    try:
        with open(path, "rb") as raw:
            seal = raw.read(SEAL_SIZE).rstrip(b"\0")
            if not seal.startswith(SEAL):
                check_hdf5(raw)
            elif seal != SEAL + _sealed_digest(raw):
                raise InputError("its checksum is another")
    except InputError as error:
        raise InputError(f"{path} is no whole file of format {kind}: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        with h5py.File(path, "r") as file:
            attributes = file.attrs
            if attributes.get("format") != kind:
                raise InputError(f"not a file of format {kind}")
            found = attributes.get("version")
            if found not in versions:
                known = " and ".join(map(str, versions))
                raise InputError(f"format version {found}; this program reads {known}")
            yield file
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # What h5py raises for a file that is no HDF5, was cut short or damaged.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise InputError(f"{path} is no whole file of format {kind}: {error}") from error


def member(group: h5py.Group, name: str, kind: type[Member]) -> Member:
    """The member of that name, if the file itself holds it: a link may name any file here.

    Raises:
        InputError: if it is missing, of another kind, or kept in another file.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise InputError(f"{group.name.rstrip('/')}/{name} is missing")
    found = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, kind):
        raise InputError(f"{name} must be a {kind.__name__.lower()} of the file itself")
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise InputError(f"{found.name} must be in the file itself, not in another")
    return found


def check_written(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that claims more than was written, in whose place HDF5 reads zeros.

    Raises:
        InputError: naming the dataset.
    """
    name, shape = dataset.name.lstrip("/"), dataset.shape or ()
    if dataset.chunks:
        chunks = math.prod(-(-n // m) for n, m in zip(shape, dataset.chunks, strict=True))
        lacking = chunks - dataset.id.get_num_chunks()
        if lacking:
            raise InputError(f"{name} lacks {lacking} of its {chunks} chunks")
    elif dataset.id.get_storage_size() < math.prod(shape) * dataset.dtype.itemsize:
        raise InputError(f"{name} was never written")


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return digest_from_here(file)


def digest_from_here(file: IO[bytes]) -> str:
    """The SHA-256 of all from where an open file stands, in hexadecimal."""
    sha256 = hashlib.sha256()  # hashlib.file_digest is of Python 3.11
    for block in iter(lambda: file.read(1 << 20), b""):
        sha256.update(block)
    return sha256.hexdigest()
