"""A folder of fastMRI as somebody has it: files, sub-folders, archives as downloaded."""

import contextlib
import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from loupe_lib.data.archives import Member, is_archive, is_compressed, members, window
from loupe_lib.data.fastmri import read_scan, read_slices
from loupe_lib.data.hdf5_check import check_hdf5
from loupe_lib.data.storage import digest_from_here, write_file
from loupe_lib.data.volumes import MEMORY, LeftOut, Opened, Volume, stack_bytes
from loupe_lib.data.workers import cores
from loupe_lib.errors import InputError

SUFFIX = ".h5"


class FastMRIFolder:
    """The volumes below a folder, a :class:`~loupe_lib.data.volumes.Source`.

    Args:
        root: the folder; or a single file or archive of it.
        size: side of the images.
        is_complex: whether to read complex images.
    """

    def __init__(self, root: Path, size: int, is_complex: bool = False) -> None:
        self.root, self.size, self.is_complex = root, size, is_complex
        self.title = "fastMRI"
        self.settings = ("fastMRI",)

    def scan(self, cache: Path, progress: bool = True) -> tuple[list[Volume], list[LeftOut]]:
        """Read the header of every volume.

        Args:
            cache: folder that keeps what was found in compressed archives: reading them takes
                as long as decompressing them.
            progress: show a progress bar, on a terminal.

        Returns:
            The volumes sorted by name, which is that of their folder and file; and what cannot
            be used.

        Raises:
            InputError: if a folder or an archive cannot be read.
        """
        paths = list(_files(self.root))
        total = sum(path.stat().st_size for path in paths)
        hide = None if progress else True  # None: unless on a terminal
        bar = tqdm(desc="headers", total=total, unit="B", unit_scale=True, disable=hide)
        stop = threading.Event()

        def advance(size: int) -> None:
            if stop.is_set():  # in the midst of an archive, which may take an hour
                raise KeyboardInterrupt
            bar.update(size)

        with bar, ThreadPoolExecutor(cores()) as pool:
            try:
                found = list(pool.map(lambda part: self._scan(part, cache, advance), _parts(paths)))
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        volumes: dict[str, Volume] = {}
        left_out = []
        for one in sorted((v for list_ in found for v in list_), key=lambda v: v.name):
            if isinstance(one, LeftOut):
                left_out.append(one)
            elif one.name in volumes:
                left_out.append(LeftOut(one.origin, "the same name as another volume"))
            else:
                volumes[one.name] = one
        for name in list(volumes):
            if name.startswith("multicoil") and name.replace("multi", "single", 1) in volumes:
                left_out.append(LeftOut(name, "its single-coil data are here as well"))
                del volumes[name]
        return list(volumes.values()), left_out

    def groups(self, volumes: Sequence[Volume]) -> list[list[Volume]]:
        """Each by itself; those of one compressed archive, which is read in order, together."""
        groups: dict[tuple[str, str], list[Volume]] = {}
        for volume in volumes:
            alone = "" if is_compressed(Path(volume.path)) else volume.member
            groups.setdefault((volume.path, alone), []).append(volume)
        return list(groups.values())

    def read(self, group: Sequence[Volume]) -> Iterator[Opened | None]:
        """Open the volumes of a group, one after the other; see `Source.read`."""
        wanted = {volume.member: volume for volume in group}
        path = Path(group[0].path)
        if not is_compressed(path):
            (volume,) = group
            with _open(volume) as file:
                yield self._opened(volume, file)
            return
        for member in members(path):
            found = wanted.pop(member.name, None)
            if found is None:
                yield None
                continue
            with member.open() as file:
                yield self._opened(found, file)
            if not wanted:
                return
        raise InputError(f"{path}: {min(wanted)} is gone")

    def _opened(self, volume: Volume, file: IO[bytes]) -> Opened:
        def slices() -> Generator[np.ndarray, None, None]:
            try:
                yield from read_slices(file, self.is_complex)
            except InputError as error:
                raise InputError(f"{volume.origin}: {error}") from error

        return Opened(volume, slices(), functools.partial(_digest, file))

    def _scan(
        self, part: tuple[Path, Member | None], cache: Path, progress: Callable[[int], object]
    ) -> list[Volume | LeftOut]:
        path, member = part
        status = path.stat()
        stamp = status.st_size, status.st_mtime_ns
        if member is None and is_compressed(path):
            return self._scan_once(path, stamp, cache, progress)
        progress(member.size if member else stamp[0])
        try:
            return [self._header(path, stamp, member)]
        except OSError as error:
            return [LeftOut(str(path), f"cannot be read: {error.strerror}")]

    def _scan_once(
        self, path: Path, stamp: tuple[int, int], cache: Path, progress: Callable[[int], object]
    ) -> list[Volume | LeftOut]:
        key = json.dumps([str(path), stamp, self.size, self.is_complex]).encode()
        index = cache / f"{hashlib.sha256(key).hexdigest()[:24]}.json"
        # There may be no index yet, or a damaged one.
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            kept = json.loads(index.read_bytes())
            found = [_from_json(one) for one in kept]
            progress(stamp[0])
            return found
        wanted = (member for member in members(path, progress) if _wanted(member.name))
        found = [self._header(path, stamp, member) for member in wanted]
        write_file(index, json.dumps([asdict(one) for one in found]).encode())
        return found

    def _header(
        self, path: Path, stamp: tuple[int, int], member: Member | None
    ) -> Volume | LeftOut:
        """What a file, or a member of an archive, says about itself."""
        name = PurePosixPath(member.name if member else os.path.abspath(path))
        title = "/".join(name.parts[-2:]).removesuffix(SUFFIX)
        if not title.isprintable():
            return LeftOut(repr(title), "its name is not printable")
        offset, length = (member.offset, member.size) if member else (0, stamp[0])
        with member.open() if member else open(path, "rb") as file:
            try:
                check_hdf5(file, offset, length)
                scan = read_scan(file, self.is_complex)
            except InputError as error:
                return LeftOut(title, str(error))
        working = scan.slice_bytes + 6 * scan.slice_bytes // scan.coils
        memory = stack_bytes(scan.slices, self.size, self.is_complex) + working
        if memory > MEMORY:
            return LeftOut(title, f"too large: it takes {memory >> 20} MB of memory")
        return Volume(
            name=title,
            patient=scan.patient or title,
            acquisition=scan.acquisition or "unknown",
            slices=scan.slices,
            shape=scan.shape,
            memory=memory,
            path=str(path),
            stamp=stamp,
            member=member.name if member else "",
            offset=offset,
            length=length,
        )


def _files(root: Path) -> Iterator[Path]:
    """The files and archives below a folder, in the order of their names."""
    if root.is_file():
        if not (_wanted(root) or is_archive(root)):
            raise InputError(f"{root} must be a folder, a {SUFFIX} file or a .tar archive")
        yield root
        return

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    seen = set()
    for folder, below, names in os.walk(root, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # links that lead back
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if (_wanted(path) or is_archive(path)) and path.is_file():
                yield path


def _parts(paths: Iterable[Path]) -> Iterator[tuple[Path, Member | None]]:
    """What can be read independently: a file, a whole archive, each member of a plain one."""
    for path in paths:
        if is_archive(path) and not is_compressed(path):
            yield from ((path, member) for member in members(path) if _wanted(member.name))
        else:
            yield path, None


def _wanted(path: str | Path) -> bool:
    name = PurePosixPath(path).name
    return name.endswith(SUFFIX) and not name.startswith(".")


def _open(volume: Volume) -> IO[bytes]:
    """A file, or a member of a plain archive."""
    try:
        return window(Path(volume.path), volume.offset, volume.length)
    except OSError as error:
        raise InputError(f"cannot read {volume.path}: {error.strerror}") from error


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return digest_from_here(file)


def _from_json(kept: dict[str, Any]) -> Volume | LeftOut:
    if "reason" in kept:
        return LeftOut(**kept)
    return Volume(**kept | {"shape": tuple(kept["shape"]), "stamp": tuple(kept["stamp"])})
