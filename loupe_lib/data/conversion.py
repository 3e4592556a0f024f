"""Convert volumes to an image file, on all cores; a stopped conversion can continue."""

import functools
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from loupe_lib.data.choice import Choice, Listed, list_text
from loupe_lib.data.images import (
    SPLITS,
    append_to_stack,
    check_images,
    create_stack,
    read_stack,
    write_volumes,
)
from loupe_lib.data.storage import digest, open_hdf5, remove_unfinished, writing_hdf5
from loupe_lib.data.volumes import LeftOut, Source, Volume, fit
from loupe_lib.data.workers import BadFile, cores, read_in_workers
from loupe_lib.errors import InputError

PART_FORMAT, PART_VERSION = "loupe-volume", 1
MEMORY = 640 << 20  # bytes for all workers together: with the program itself, less than 1 GB
WORKER = 32 << 20  # bytes of a worker without its volume
HEAP = 2  # times the memory of a volume: the heap is fragmented after the first one
# More different values than a map of labels has (atlases of the brain have some 50 to 120), and
# fewer than an image of 8 bits or more that uses its range.
LABELS = 128
SPARE = 16  # pixels of padding that a smaller size would save: sizes are multiples of it


@dataclass(frozen=True)
class Converted:
    """A converted volume.

    Attributes:
        volume: the volume.
        split: its split.
        sha256: of its file, in hexadecimal; of a folder, see :func:`digest_of`.
        maximum: of its magnitudes, by which they were divided.
        mean: of its magnitudes after the division.
        warnings: what a user should know, from the header and from the images.
    """

    volume: Volume
    split: str
    sha256: str
    maximum: float
    mean: float
    warnings: tuple[str, ...]

    @property
    def listed(self) -> Listed:
        """Its line in a list of volumes."""
        return Listed(self.split, self.volume.name, self.volume.slices, self.sha256)


def parts_folder(out: Path) -> Path:
    """The folder of the converted volumes, beside the image file that they become."""
    return out.with_name(f".{out.name}.parts")


def check_writable(path: Path) -> None:
    """Raise InputError if a file cannot be written, before the work for it begins.

    Nothing is made: folders that are missing can be made if the last one that exists is writable.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, false where looking is not permitted
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not os.path.isdir(folder):
        raise InputError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write in {folder}")


def convert(
    source: Source,
    choice: Choice,
    out: Path,
    expected: Sequence[Listed] = (),
    progress: bool = True,
    bad: list[LeftOut] | None = None,
) -> list[Converted]:
    """Write the chosen volumes to an image file, each divided by the maximum of its magnitudes.

    Worker processes convert one volume each; there are as many as cores, or as fit in memory. Each
    converted volume is kept in a folder beside the file. If the call is stopped in any way, the
    same call continues. When all volumes are there, they become the file, and the folder is
    removed.

    Args:
        source: reads the volumes. Slices larger than its size are cropped about their middle,
            smaller ones get zeros around them. The maximum is that of the whole volume.
        choice: the volumes of each split.
        out: the file; an old one is replaced when all is written.
        expected: the volumes with the SHA-256 that they must have.
        progress: show a progress bar, on a terminal.
        bad: volumes that cannot be read are added to this list, and the conversion goes on without
            them.

    Returns:
        The converted volumes, in the order of the file.

    Raises:
        BadFile: if a volume cannot be read, without ``bad``; the message names it.
        InputError: if a volume has another SHA-256 than expected, or the file cannot be written.
    """
    parts = parts_folder(out)
    volumes = [volume for split in SPLITS for volume in choice[split]]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # The lock file stays: were it removed, one process could hold it and another a new one.
        lock = FileLock(out.with_name(f".{out.name}.lock")).acquire()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    with lock:
        todo = [volume for volume in volumes if not _is_done(_part(parts, source, volume))]
        remaining = sum(volume.slices for volume in todo)
        total = sum(volume.slices for volume in volumes)
        most = WORKER + HEAP * max(volume.memory for volume in volumes)
        task = functools.partial(_convert, source, parts)
        workers = max(1, min(cores(), MEMORY // most))
        with tqdm(
            desc="slices",
            total=total,
            initial=total - remaining,
            disable=None if progress else True,  # None: disabled unless on a terminal
        ) as bar:
            for volume, _ in read_in_workers(task, todo, workers, bad):
                bar.update(volume.slices)
        lost = {one.name for one in bad or ()}
        converted = [
            _converted(v, split, source.size, _part(parts, source, v))
            for split in SPLITS
            for v in choice[split]
            if str(v.path) not in lost
        ]
        hashes = {wanted.name: wanted.sha256 for wanted in expected}
        for one in converted:
            wanted = hashes.get(one.volume.name, one.sha256)
            if one.sha256 != wanted:
                raise InputError(
                    f"{one.volume.path} is not the one listed: "
                    f"its SHA-256 is {one.sha256}, not {wanted}"
                )
        remove_unfinished(out)
        _join(source, converted, parts, out)
        shutil.rmtree(parts, ignore_errors=True)
    return converted


def _join(source: Source, converted: Sequence[Converted], parts: Path, out: Path) -> None:
    """Write the converted volumes to the image file."""
    listed = list_text([one.listed for one in converted]).encode()
    kinds = ", ".join(sorted({one.volume.acquisition for one in converted}))
    title = f"{source.title} {kinds} (list SHA-256 {hashlib.sha256(listed).hexdigest()})"
    paths = [_part(parts, source, one.volume) for one in converted]
    needed = sum(path.stat().st_size for path in paths)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise InputError(
            f"cannot write {out}: it needs {needed >> 20} MB, and {free >> 20} MB are free; "
            "make room, then repeat the command to continue"
        )
    stacks = (
        (one.split, one.volume.name, _read_part(path))
        for one, path in zip(converted, paths, strict=True)
    )
    write_volumes(out, title, source.size, source.is_complex, stacks)


def _read_part(part: Path) -> Tensor:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        return read_stack(file)


def _part(parts: Path, source: Source, volume: Volume) -> Path:
    """The file of a converted volume."""
    return parts / f"{volume.key(source.size, source.is_complex, source.settings)}.h5"


def _is_done(part: Path) -> bool:
    try:
        with open_hdf5(part, PART_FORMAT, PART_VERSION):
            return True
    except InputError:
        return False


def _convert(source: Source, parts: Path, volume: Volume) -> None:
    """Write the file of a volume."""
    try:
        stack, maximum = _read(source, volume)
    except InputError as error:
        raise BadFile(str(error)) from error
    labels = not source.is_complex and _are_labels(stack)
    stack /= maximum
    with writing_hdf5(_part(parts, source, volume), PART_FORMAT, PART_VERSION) as file:
        create_stack(file, source.size, source.is_complex)
        append_to_stack(file, check_images(stack))
        file.attrs.update(
            sha256=digest_of(volume.path),
            maximum=float(maximum),
            mean=float(np.mean([np.abs(image).mean() for image in stack])),
            labels=labels,
        )


def _read(source: Source, volume: Volume) -> tuple[np.ndarray, np.floating]:
    """The (slices, N, N) fitted images of a volume, and its largest magnitude."""
    kind = np.complex64 if source.is_complex else np.float32
    stack: np.ndarray = np.zeros((volume.slices, source.size, source.size), kind)
    maximum = np.float32(0)
    count = 0
    for count, image in enumerate(source.read(volume), 1):
        image = image.astype(kind, copy=False)
        where = f"{volume.path}: slice {count - 1} has pixels"
        if not np.isfinite(image).all():
            raise InputError(f"{where} that are infinite or undefined")
        if not source.is_complex and image.min() < 0:
            if not source.clip_negative:
                raise InputError(f"{where} below 0; data import --clip-negative sets them to 0")
            image = image.clip(0)
        maximum = max(maximum, np.abs(image).max())
        if count <= len(stack):
            stack[count - 1] = fit(image, source.size)
    if count != len(stack):
        raise InputError(f"{volume.path} changed: {count} slices, not {len(stack)}")
    if not 0 < maximum < np.inf:
        raise InputError(f"{volume.path}: no image: its largest magnitude is {maximum:g}")
    return stack, maximum


def _are_labels(stack: np.ndarray) -> bool:
    """Whether the images have few different values, and all of them are whole numbers."""
    values: set[float] = set()
    for image in stack:
        if (image != np.rint(image)).any():
            return False
        values.update(np.unique(image))
        if len(values) > LABELS:
            return False
    return True


def digest_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder that of the names and SHA-256 of its files."""
    if path.is_file():
        return digest(path)
    files = sorted(file for file in path.iterdir() if file.is_file())
    lines = "".join(f"{digest(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _converted(volume: Volume, split: str, size: int, part: Path) -> Converted:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        found = dict(file.attrs)
    warnings = list(volume.warnings)
    rows, columns = volume.shape
    if max(volume.shape) > size:
        warnings.append(f"cropped from {rows} x {columns} to {size} x {size}")
    elif max(volume.shape) <= size - SPARE:
        warnings.append(f"padded with zeros from {rows} x {columns} to {size} x {size}")
    if found["labels"]:
        warnings.append(
            f"at most {LABELS} different values, all whole numbers: labels and not an image?"
        )
    return Converted(
        volume=volume,
        split=split,
        sha256=str(found["sha256"]),
        maximum=float(found["maximum"]),
        mean=float(found["mean"]),
        warnings=tuple(warnings),
    )
