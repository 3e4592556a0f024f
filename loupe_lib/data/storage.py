"""Files that are complete or absent: atomic writing, and HDF5 files with a checksum."""

import contextlib
import errno
import glob
import hashlib
import io
import math
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import h5py

from loupe_lib.errors import InputError

Member = TypeVar("Member", h5py.Group, h5py.Dataset)
UNFINISHED = ".unfinished"
CHECKSUM = b"SHA-256 of all after 512 bytes: "
CHECKSUM_SIZE = 512  # bytes; the smallest user block that HDF5 allows
LAYOUT = ("v110", "v110")  # of HDF5 1.10 and later, half the size where datasets are small
# What h5py raises for a file that is not HDF5, truncated or corrupt.
HDF5_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError)


def check_target(
    path: str | os.PathLike[str], is_ours: Callable[[Path], bool] = lambda path: True
) -> None:
    """Raise InputError if a file cannot be written, or there is one that is not ours to replace.

    Missing folders can be made; nothing is made here.
    """
    parent = next((one for one in Path(path).parents if os.path.exists(one)), Path())
    reason = ""
    if os.path.isdir(path):
        reason = "it is a folder; give the path of a file"
    elif not os.path.isdir(parent):
        reason = f"{parent} is not a folder"
    elif not os.access(parent, os.W_OK | os.X_OK):
        read_only = os.statvfs(parent).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
    elif os.path.exists(path) and not is_ours(Path(path)):
        reason = "it holds something else, which would be lost; give another name"
    if reason:
        raise InputError(f"cannot write {path}: {reason}")


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file atomically: see :func:`writing`."""
    with writing(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically; missing folders are made.

    The body writes to the path that this yields, an empty temporary file beside the target. After
    the body, that file is flushed to the disk and replaces the target. If the body raises, the
    target stays as it was.

    Raises:
        InputError: if it cannot be written: no space, no permission.
    """
    check_target(path)
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch(exist_ok=False)
        try:
            yield beside
            _flush(beside, os.O_RDWR)
            os.replace(beside, path)
            _flush(path.parent, os.O_RDONLY)  # the new name as well
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if error.filename and Path(error.filename) not in (beside, path, *path.parents):
            raise  # of another file, which the body reads
        # From the number, because the text of HDF5 has several lines.
        reason = os.strerror(error.errno) if error.errno else error
        raise InputError(f"cannot write {path}: {reason}") from error


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(path: Path) -> None:
    """Remove the temporary files of killed writers; the caller must hold the file's lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{UNFINISHED}"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_hdf5(
    path: str | os.PathLike[str], kind: str, version: int, in_memory: bool = True
) -> Iterator[h5py.File]:
    """Write an HDF5 file of one of our formats atomically; see :func:`writing`.

    Its first 512 bytes, which HDF5 leaves to the user, hold the SHA-256 of the rest. It is built in
    memory, because HDF5 may crash the process, when that exits, after a write to a full disk has
    failed. A large file is built on the disk instead: a crash leaves nothing under its name.
    """
    with writing(path) as beside:
        target = io.BytesIO() if in_memory else beside
        with h5py.File(target, "w", libver=LAYOUT, userblock_size=CHECKSUM_SIZE) as file:
            file.attrs.update(format=kind, version=version)
            yield file
        if isinstance(target, io.BytesIO):
            beside.write_bytes(target.getbuffer())
        checksum = _checksum(beside)
        with open(beside, "r+b") as raw:
            raw.write(checksum)


def _checksum(path: str | os.PathLike[str]) -> bytes:
    return CHECKSUM + digest(path, CHECKSUM_SIZE).encode()


@contextlib.contextmanager
def open_hdf5(
    path: str | os.PathLike[str], kind: str, version: int, hint: str = ""
) -> Iterator[h5py.File]:
    """Open an HDF5 file of that format and version for reading.

    A file without a checksum, written by another program, is opened as it is.

    Raises:
        InputError: if the file is missing, of another format or version, truncated or corrupt. If
            it is another file, the message ends with the hint: how to get one of this format. An
            InputError of the body is raised again with the path in front.
    """
    invalid = f"{path}: not a valid {kind} file (truncated or corrupt)"
    try:
        with open(path, "rb") as raw:
            checksum = raw.read(CHECKSUM_SIZE).rstrip(b"\0")
        if checksum.startswith(CHECKSUM) and checksum != _checksum(path):
            raise InputError(f"{invalid}; checksum mismatch")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}{hint}") from error
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: not a {kind} file{hint}")
    try:
        file = h5py.File(path, "r")
        found_kind, found = (str(file.attrs.get(name)) for name in ("format", "version"))
    except HDF5_ERRORS as error:
        raise InputError(f"{invalid}: {error}") from error
    with file:
        if found_kind != kind:
            raise InputError(f"{path}: not a {kind} file{hint}")
        if found != str(version):
            raise InputError(f"{path}: format version {found}; this program reads {version}")
        try:
            yield file
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def member(group: h5py.Group, name: str, kind: type[Member]) -> Member:
    """The member of that name; InputError if it is missing, of another kind, or in another file."""
    try:
        found = group.get(name)
    except HDF5_ERRORS as error:
        raise InputError(f"{name} cannot be read: {error}") from error
    if found is None:
        raise InputError(f"{group.name.rstrip('/')}/{name} is missing")
    if not isinstance(found, kind):
        content = f"; it is a group with {', '.join(found)}" if kind is h5py.Dataset else ""
        raise InputError(f"{found.name} must be a {kind.__name__.lower()}{content}")
    is_dataset = isinstance(found, h5py.Dataset)
    if found.file != group.file or (is_dataset and (found.is_virtual or found.external)):
        raise InputError(f"{name} must be stored in the file itself, not in another")
    return found


def read_array(dataset: h5py.Dataset, index: Any = ()) -> Any:
    """Read a dataset, or part of it, as h5py does; corrupt data raise InputError."""
    try:
        return dataset[index]
    except HDF5_ERRORS as error:
        raise InputError(f"the data cannot be read: {error}") from error


def check_written(dataset: h5py.Dataset) -> None:
    """Raise InputError if a dataset is not written completely: HDF5 reads the rest as zeros."""
    name, shape = dataset.name.lstrip("/"), dataset.shape or ()
    if dataset.chunks:
        chunks = math.prod(-(-n // m) for n, m in zip(shape, dataset.chunks, strict=True))
        missing = chunks - dataset.id.get_num_chunks()
        if missing:
            raise InputError(f"{name} lacks {missing} of its {chunks} chunks")
    elif dataset.id.get_storage_size() < math.prod(shape) * dataset.dtype.itemsize:
        raise InputError(f"{name} was never written")


def digest(path: str | os.PathLike[str], first: int = 0) -> str:
    """The SHA-256 of a file from its byte number ``first`` on, in hexadecimal."""
    with open(path, "rb") as file:
        file.seek(first)
        return hashlib.file_digest(file, "sha256").hexdigest()
