"""Image files of several formats, each of them one volume."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import SUFFIXES as NIFTI
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.formats.stacks import LARGEST, Stack
from loupe_lib.data.storage import digest
from loupe_lib.data.volumes import Opened, Volume, stack_bytes
from loupe_lib.errors import InputError

HDF5 = (".h5", ".hdf5")
BIDS = re.compile(r"sub-[a-zA-Z0-9]+(?=_)")  # of the Brain Imaging Data Structure


class ImageFiles:
    """Files, each one volume, or folders of a DICOM series.

    A :class:`~loupe_lib.data.volumes.Source`.

    Args:
        paths: the files and folders.
        axis: along which the slices lie; see the readers.
        dataset: of HDF5 files.
        size: side of the images; the smallest multiple of 16 that holds every slice, without it.

    Raises:
        InputError: if one of them cannot be read.
    """

    title = "images"
    is_complex = False

    def __init__(
        self,
        paths: Sequence[Path],
        axis: str | None = None,
        dataset: str | None = None,
        size: int | None = None,
    ) -> None:
        self.axis, self.dataset = axis, dataset
        self.settings = (axis, dataset)
        names = _names(paths)
        found = [self._volume(path, name) for path, name in zip(paths, names, strict=True)]
        self.size = size or max(32, -(-max(max(v.shape) for v in found) // 16) * 16)
        self.volumes = []
        for volume in found:
            fitted = stack_bytes(volume.slices, self.size, False)
            if fitted > LARGEST:
                raise InputError(
                    f"{volume.path}: {volume.slices} images of {self.size} x {self.size} have "
                    f"{fitted} bytes; at most {LARGEST} can be kept"
                )
            self.volumes.append(replace(volume, memory=volume.memory + fitted))

    def groups(self, volumes: Sequence[Volume]) -> list[list[Volume]]:
        """Each by itself."""
        return [[volume] for volume in volumes]

    def read(self, group: Sequence[Volume]) -> Iterator[Opened]:
        """Open the volumes of a group, one after the other; see `Source.read`."""
        for volume in group:
            path = Path(volume.path)
            yield Opened(volume, self._slices(path), lambda path=path: _digest(path))  # type: ignore[misc]

    def _slices(self, path: Path) -> Generator[np.ndarray, None, None]:
        yield from self._open(path).read()

    def _open(self, path: Path) -> Stack:
        name = path.name.lower()
        if not path.exists():
            raise InputError(f"cannot read {path}: No such file or directory")
        if path.is_dir() or name.endswith(".dcm"):
            return open_series(path, self.axis)
        if name.endswith(NIFTI):
            return open_nifti(path, self.axis)
        if name.endswith(".npy"):
            return open_npy(path, self.axis)
        if name.endswith(HDF5):
            return open_hdf5_stack(path, self.dataset, self.axis)
        raise InputError(
            f"{path} must be a .nii, .nii.gz, .npy, .h5 or .dcm file, or a folder of a DICOM series"
        )

    def _volume(self, path: Path, name: str) -> Volume:
        if not name.isprintable():
            raise InputError(f"the name of a file must be printable; got {name!r}")
        stack = self._open(path)
        bids = BIDS.match(path.name)
        return Volume(
            name=name,
            patient=stack.patient or (bids[0] if bids else name),
            acquisition=stack.kind,
            slices=stack.slices,
            shape=stack.shape,
            memory=stack.memory,
            path=os.path.abspath(path),
            stamp=_stamp(path),
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as few as tell them apart."""
    full = [Path(os.path.abspath(path)) for path in paths]
    twice = [path for path, n in Counter(full).items() if n > 1]
    if twice:
        raise InputError(f"{twice[0]} is given twice")
    for count in range(1, max(len(path.parts) for path in full) + 1):
        names = ["/".join(path.parts[-count:]) for path in full]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("paths that differ have names that differ")


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _stamp(path: Path) -> tuple[int, int]:
    status = [file.stat() for file in _files(path)]
    return sum(s.st_size for s in status), max(s.st_mtime_ns for s in status)


def _digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder that of the names and SHA-256 of its files."""
    if path.is_file():
        return digest(path)
    lines = "".join(f"{digest(file)}  {file.name}\n" for file in _files(path))
    return hashlib.sha256(lines.encode()).hexdigest()
