"""A folder of fastMRI: files in sub-folders, as published."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from loupe_lib.data.fastmri import SUFFIX, read_header, read_slices, volume_name
from loupe_lib.data.volumes import MEMORY, LeftOut, Volume
from loupe_lib.data.workers import HEADER_WORKERS, cores, read_in_workers
from loupe_lib.errors import InputError

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
    clip_negative = False

    def __init__(self, root: Path, size: int, is_complex: bool = False) -> None:
        self.root, self.size, self.is_complex = root, size, is_complex

    def scan(
        self, progress: bool = True, bad: list[LeftOut] | None = None
    ) -> tuple[list[Volume], list[LeftOut]]:
        """Read the header of every volume, in worker processes.

        Args:
            progress: show a progress bar, on a terminal.
            bad: see :func:`~loupe_lib.data.workers.read_in_workers`.

        Returns:
            The volumes, sorted by name (folder and file), and the volumes that cannot be used.

        Raises:
            InputError: if the folder cannot be read, is an archive, or has a file that ends the
                process that reads it.
        """
        files = sorted(_files(self.root))
        left_out = [LeftOut(path.name, _unpack(path)) for path in files if _is_archive(path)]
        paths = [path for path in files if not _is_archive(path)]
        hide = None if progress else True  # None: disabled unless on a terminal
        headers = read_in_workers(self.header, paths, min(cores(), HEADER_WORKERS), bad)
        found = dict(tqdm(headers, "headers", len(paths), disable=hide))
        volumes: dict[str, Volume] = {}
        for path, one in sorted(found.items()):
            if isinstance(one, LeftOut):
                left_out.append(one)
            elif one.name in volumes:
                left_out.append(LeftOut(str(path), "the same name as another volume"))
            else:
                volumes[one.name] = one
        for name in sorted(volumes):
            if name.startswith("multicoil") and name.replace("multi", "single", 1) in volumes:
                left_out.append(LeftOut(name, "its single-coil data are here as well"))
                del volumes[name]
        return [volumes[name] for name in sorted(volumes)], left_out

    def header(self, path: Path) -> Volume | LeftOut:
        """The header of a file, or why it cannot be used."""
        try:
            volume = read_header(path, self.size, self.is_complex)
        except InputError as error:
            return LeftOut(volume_name(path), str(error))
        except OSError as error:
            return LeftOut(volume_name(path), f"cannot be read: {error.strerror}")
        if volume.memory > MEMORY:
            needed = f"too large: it takes {volume.memory >> 20} MB of memory"
            return LeftOut(volume.name, needed)
        return volume

    def read(self, volume: Volume) -> Iterator[np.ndarray]:
        """The slices of a volume; see `Source.read`."""
        try:
            yield from read_slices(volume.path, self.is_complex)
        except InputError as error:
            raise InputError(f"{volume.path}: {error}") from error


def _files(root: Path) -> Iterator[Path]:
    """The volumes and archives below a folder."""
    if root.is_file():
        if _is_archive(root):
            raise InputError(f"{root} is {_unpack(root)}")
        if root.suffix != SUFFIX:
            raise InputError(f"{root} must be a folder or a {SUFFIX} file")
        yield root
        return

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    for folder, _, names in os.walk(root, onerror=fail, followlinks=True):
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            if path.suffix == SUFFIX or _is_archive(path):
                yield path


def _is_archive(path: Path) -> bool:
    return path.name.endswith(ARCHIVES)


def _unpack(path: Path) -> str:
    return f"an archive: unpack it with tar -xf {shlex.quote(str(path))} -C FOLDER"
