"""Image files of several formats, each of them one volume."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import SUFFIXES as NIFTI
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.formats.stacks import LARGEST, Stack, telling
from loupe_lib.data.volumes import Volume, stack_bytes
from loupe_lib.data.workers import HEADER_WORKERS, cores, read_in_workers
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
        series: number, description or UID of the series in DICOM folders that hold several.
        echo: which echo of DICOM series that have several, from 1.
        clip_negative: whether pixels below 0 become 0, or else are refused.

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
        series: str | None = None,
        echo: int | None = None,
        clip_negative: bool = False,
    ) -> None:
        self.settings = (axis, dataset, series, echo, clip_negative)
        self.how = (axis, dataset, series, echo)
        self.clip_negative = clip_negative
        names = _names(paths)
        tasks = [_Header(*both, self.how) for both in zip(paths, names, strict=True)]
        headers = dict(read_in_workers(_read_header, tasks, min(cores(), HEADER_WORKERS)))
        found = [headers[task] for task in tasks]
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

    def read(self, volume: Volume) -> Iterator[np.ndarray]:
        """The slices of a volume; see `Source.read`."""
        yield from _open(volume.path, *self.how).read()


@dataclass(frozen=True)
class _Header:
    """A file whose header is to be read, and how."""

    path: Path
    name: str
    how: tuple[str | None, str | None, str | None, int | None]  # as `_open` takes it


def _read_header(task: _Header) -> Volume:
    stack = _open(task.path, *task.how)
    bids = BIDS.match(task.path.name)
    return Volume(
        name=task.name,
        patient=stack.patient or (bids[0] if bids else task.name),
        acquisition=stack.kind,
        slices=stack.slices,
        shape=stack.shape,
        memory=stack.memory,
        path=task.path.absolute(),
        stamp=_stamp(task.path),
        spacing=stack.spacing,
        warnings=stack.warnings,
    )


def _open(
    path: Path, axis: str | None, dataset: str | None, series: str | None, echo: int | None
) -> Stack:
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"cannot read {path}: No such file or directory")
    if path.is_dir():
        _check_folder(path)
        return open_series(path, axis, series, echo)
    if name.endswith(NIFTI):
        return open_nifti(path, axis)
    if name.endswith(".npy"):
        return open_npy(path, axis)
    if name.endswith(HDF5):
        return open_hdf5_stack(path, dataset, axis)
    if name.endswith(".dcm") or _is_dicom(path):
        return open_series(path, axis, series, echo)
    raise InputError(
        f"{path} must be a .nii, .nii.gz, .npy, .h5 or DICOM file, or a folder of a DICOM series"
    )


def _is_dicom(path: Path) -> bool:
    """Whether it begins as DICOM files do: those of scanners often have no suffix."""
    with telling(path, "DICOM"), open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_folder(path: Path) -> None:
    """Raise InputError if a folder holds no DICOM files, but NIfTI files, at any depth."""
    with telling(path, "a DICOM series"):
        if any(_is_dicom(file) for file in path.iterdir() if file.is_file()):
            return
        below = sorted(file for file in path.rglob("*") if file.name.lower().endswith(NIFTI))
        if below:
            folders = [re.sub("^(sub|ses)-.*", r"\1-*", name) for name in below[0].parent.parts]
            works = Path(*folders) / f"*{''.join(below[0].suffixes[-2:])}"
            raise InputError(
                f"not a DICOM series, but a folder of {len(below)} NIfTI files; give those, such "
                f"as {works}"
            )


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ from each other."""
    full = [Path(os.path.abspath(path)) for path in paths]
    twice = [path for path, n in Counter(full).items() if n > 1]
    if twice:
        raise InputError(f"{twice[0]} is given twice")
    for count in range(1, max(len(path.parts) for path in full) + 1):
        names = ["/".join(path.parts[-count:]) for path in full]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("paths that differ have names that differ")


def _stamp(path: Path) -> tuple[int, int]:
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    status = [file.stat() for file in files]
    return sum(s.st_size for s in status), max(s.st_mtime_ns for s in status)
