"""Files that are whole or not there: atomic writing, and reading without trust."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import h5py

from loupe_lib.errors import InputError

Member = TypeVar("Member", h5py.Group, h5py.Dataset)


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file whole or not at all; missing folders are made.

    Written beside the file, flushed to the disk, then put in its place: no reader ever sees half
    of it, and what was there before stays until then.

    Raises:
        InputError: if it cannot be written: no space, no permission.
    """
    path = Path(path)
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)  # mkstemp's files are for their owner alone
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if beside is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike[str], kind: str, version: int) -> Iterator[h5py.File]:
    """Open an HDF5 file of one of our formats for reading.

    Args:
        path: the file.
        kind: what its attribute ``format`` must say.
        version: what its attribute ``version`` must say.

    Raises:
        InputError: also while the body runs, if the file is missing, no such file, of another
            version, cut short or damaged; the message names the file.
    """
    try:
        with open(path, "rb"):  # a plain reason where the file is missing or not ours to read
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != kind:
                raise InputError(f"not a file of format {kind}")
            if file.attrs.get("version") != version:
                found = file.attrs.get("version")
                raise InputError(f"format version {found}; this program reads {version}")
            yield file
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # What h5py raises for a file that is no HDF5, was cut short or damaged.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is no whole file of format {kind}: {reason}") from error


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


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)
    return sha256.hexdigest()
