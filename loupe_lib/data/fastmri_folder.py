"""A folder of fastMRI: files in sub-folders, as published."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from loupe_lib.data.fastmri import read_scan, read_slices
from loupe_lib.data.volumes import MEMORY, LeftOut, Volume, stack_bytes
from loupe_lib.data.workers import HEADER_WORKERS, cores, read_in_workers
from loupe_lib.errors import InputError

SUFFIX = ".h5"
ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tgz")


class FastMRIFolder:
    """The volumes below a folder, a :class:`~loupe_lib.data.volumes.Source`.

    Args:
        root: the folder; or a single file of it.
        size: side of the images.
        is_complex: whether to read complex images.
    """

    title = "fastMRI"
    settings = ("fastMRI",)

    def __init__(self, root: Path, size: int, is_complex: bool = False) -> None:
        self.root, self.size, self.is_complex = root, size, is_complex

    def scan(self, progress: bool = True) -> tuple[list[Volume], list[LeftOut]]:
        """Read the header of every volume, in worker processes.

        Returns:
            The volumes, sorted by name (folder and file), and the volumes that cannot be used.

        Raises:
            InputError: if the folder cannot be read, or is an archive.
        """
        paths = sorted(_files(self.root))
        left_out = [LeftOut(path.name, _unpack(path)) for path in paths if _is_archive(path)]
        tasks = [
            _Header(path, self.size, self.is_complex) for path in paths if not _is_archive(path)
        ]
        hide = None if progress else True  # None: disabled unless on a terminal
        headers = read_in_workers(_read_header, tasks, min(cores(), HEADER_WORKERS))
        found = [one for _, one in tqdm(headers, "headers", len(tasks), disable=hide)]
        volumes: dict[str, Volume] = {}
        for one in sorted(found, key=lambda one: (one.name, str(getattr(one, "path", "")))):
            if isinstance(one, LeftOut):
                left_out.append(one)
            elif one.name in volumes:
                left_out.append(LeftOut(str(one.path), "the same name as another volume"))
            else:
                volumes[one.name] = one
        for name in list(volumes):
            if name.startswith("multicoil") and name.replace("multi", "single", 1) in volumes:
                left_out.append(LeftOut(name, "its single-coil data are here as well"))
                del volumes[name]
        return list(volumes.values()), left_out

    def read(self, volume: Volume) -> Iterator[np.ndarray]:
        """The slices of a volume; see `Source.read`."""
        try:
            yield from read_slices(volume.path, self.is_complex)
        except InputError as error:
            raise InputError(f"{volume.path}: {error}") from error


@dataclass(frozen=True)
class _Header:
    """A file whose header is to be read, and the kind of images wanted from it."""

    path: Path
    size: int
    is_complex: bool


def _read_header(task: _Header) -> Volume | LeftOut:
    path = task.path
    title = "/".join(path.absolute().parts[-2:]).removesuffix(SUFFIX)
    try:
        status = path.stat()
        scan = read_scan(path, task.is_complex)
    except InputError as error:
        return LeftOut(title, str(error))
    except OSError as error:
        return LeftOut(title, f"cannot be read: {error.strerror}")
    working = scan.slice_bytes + 6 * scan.slice_bytes // scan.coils
    memory = stack_bytes(scan.slices, task.size, task.is_complex) + working
    if memory > MEMORY:
        return LeftOut(title, f"too large: it takes {memory >> 20} MB of memory")
    return Volume(
        name=title,
        patient=scan.patient or title,
        acquisition=scan.acquisition or "unknown",
        slices=scan.slices,
        shape=scan.shape,
        memory=memory,
        path=path,
        stamp=(status.st_size, status.st_mtime_ns),
    )


def _files(root: Path) -> Iterator[Path]:
    """The volumes and archives below a folder."""
    if root.is_file():
        if _is_archive(root):
            raise InputError(f"{root} is {_unpack(root)}")
        if not _is_volume(root):
            raise InputError(f"{root} must be a folder or a {SUFFIX} file")
        yield root
        return

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    for folder, _, names in os.walk(root, onerror=fail, followlinks=True):
        for path in (Path(folder, name) for name in names):
            if _is_volume(path) or _is_archive(path):
                yield path


def _is_volume(path: Path) -> bool:
    return path.name.endswith(SUFFIX) and not path.name.startswith(".")


def _is_archive(path: Path) -> bool:
    return path.name.endswith(ARCHIVES)


def _unpack(path: Path) -> str:
    return f"an archive: unpack it with tar -xf {shlex.quote(str(path))} -C FOLDER"
