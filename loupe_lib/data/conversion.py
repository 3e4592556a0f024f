"""Convert volumes to an image file, on all cores; a stopped conversion can continue."""

import functools
import hashlib
import shutil
from collections.abc import Mapping, Sequence
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
    centre_crop,
    check_images,
    create_stack,
    read_stack,
    write_volumes,
)
from loupe_lib.data.storage import digest, open_hdf5, remove_unfinished, writing_hdf5
from loupe_lib.data.volumes import LeftOut, Volume, reason_of
from loupe_lib.data.workers import BadFile, cores, read_in_workers
from loupe_lib.errors import InputError

PART_FORMAT, PART_VERSION = "loupe-volume", 1
MEMORY = 640 << 20  # bytes for all workers together: with the program itself, less than 1 GB
WORKER = 32 << 20  # bytes of a worker without its volume
HEAP = 2  # times the memory of a volume: the heap is fragmented after the first one
# Of neighbours above 0, the fraction that is equal: 0.82 to 0.96 in atlases of the brain, 0.00 to
# 0.24 in images.
LABELS = 0.5
SPARE = 16  # pixels of padding along a side that are worth a warning: sizes are multiples of it


@dataclass(frozen=True)
class Target:
    """The image file that the volumes become.

    Attributes:
        path: of the file; an old one is replaced when all is written.
        title: of the volumes, for the record.
        size: side of the images. Larger slices are cropped about their middle, smaller ones get
            zeros around them.
        is_complex: whether the images are complex.
        clip_negative: whether pixels below 0 become 0, or else are refused.
    """

    path: Path
    title: str
    size: int
    is_complex: bool = False
    clip_negative: bool = False


@dataclass(frozen=True)
class Converted:
    """A converted volume.

    Attributes:
        volume: the volume.
        split: its split.
        sha256: of its file, in hexadecimal; of a folder that of the names and SHA-256 of its files.
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


def convert(
    target: Target,
    choice: Choice,
    expected: Mapping[str, str] = {},
    skip_bad: bool = False,
    progress: bool = True,
) -> tuple[list[Converted], list[LeftOut]]:
    """Write the chosen volumes to an image file, each divided by the maximum of its magnitudes.

    The maximum is that of the whole volume, whatever is cropped. Worker processes convert one
    volume each; there are as many as cores, or as fit in memory. Each converted volume is kept in a
    folder beside the file. If the call is stopped in any way, the same call continues. When all
    volumes are there, they become the file, and the folder is removed.

    Args:
        target: the file.
        choice: the volumes of each split.
        expected: the SHA-256 that volumes must have, by their names.
        skip_bad: whether to go on without volumes that cannot be read.
        progress: show a progress bar, on a terminal.

    Returns:
        The converted volumes, in the order of the file, and those that cannot be read.

    Raises:
        BadFile: if a volume cannot be read, without ``skip_bad``; the message names it.
        InputError: if a volume has another SHA-256 than expected, or the file cannot be written.
    """
    out = target.path
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # The lock file stays: were it removed, one process could hold it and another a new one.
        lock = FileLock(out.with_name(f".{out.name}.lock")).acquire()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    chosen = [(split, volume) for split in SPLITS for volume in choice[split]]
    with lock:
        parts = {volume.path: _part(target, volume) for _, volume in chosen}
        left_out = _convert_all(target, [volume for _, volume in chosen], parts, skip_bad, progress)
        lost = {one.name for one in left_out}
        converted = [
            _converted(volume, split, target.size, parts[volume.path])
            for split, volume in chosen
            if volume.name not in lost
        ]
        for one in converted:
            wanted = expected.get(one.volume.name, one.sha256)
            if one.sha256 != wanted:
                raise InputError(
                    f"{one.volume.path} is not the one listed: "
                    f"its SHA-256 is {one.sha256}, not {wanted}"
                )
        remove_unfinished(out)
        _join(target, converted, parts)
        shutil.rmtree(parts_folder(out), ignore_errors=True)
    return converted, left_out


def _convert_all(
    target: Target,
    volumes: Sequence[Volume],
    parts: Mapping[Path, Path],
    skip_bad: bool,
    progress: bool,
) -> list[LeftOut]:
    """Write the part of each volume that has none yet; the volumes that cannot be read."""
    todo = [volume for volume in volumes if not parts[volume.path].exists()]
    total, remaining = (sum(volume.slices for volume in some) for some in (volumes, todo))
    pixel = 8 if target.is_complex else 4  # bytes
    most = max(v.memory + v.slices * target.size**2 * pixel for v in volumes)
    workers = max(1, min(cores(), MEMORY // (WORKER + HEAP * most)))
    task = functools.partial(_convert, target, parts)
    left_out: list[LeftOut] = []
    hide = None if progress else True  # None: disabled unless on a terminal
    with tqdm(desc="slices", total=total, initial=total - remaining, disable=hide) as bar:
        for volume, error in read_in_workers(task, todo, workers):
            if isinstance(error, BadFile) and skip_bad:
                left_out.append(LeftOut(volume.name, reason_of(error, volume.path)))
            elif isinstance(error, InputError):
                raise error
            bar.update(volume.slices)
    return left_out


def _part(target: Target, volume: Volume) -> Path:
    """The file of a converted volume: another one if the file changes or is read otherwise."""
    path = volume.path.absolute()
    states = [(file.name, file.stat()) for file in _files(path)]
    stamps = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    how = (*volume.read.args[1:], target.size, target.is_complex, target.clip_negative)
    key = hashlib.sha256(repr((path, stamps, how)).encode()).hexdigest()[:24]
    return parts_folder(target.path) / f"{key}.h5"


def _convert(target: Target, parts: Mapping[Path, Path], volume: Volume) -> None:
    """Write the file of a volume."""
    try:
        stack, maximum = _read(target, volume)
    except InputError as error:
        raise BadFile(str(error)) from error
    labels = not target.is_complex and _are_labels(stack)
    stack /= maximum
    with writing_hdf5(parts[volume.path], PART_FORMAT, PART_VERSION) as file:
        create_stack(file, target.size, target.is_complex)
        append_to_stack(file, check_images(stack))
        file.attrs.update(
            sha256=_digest(volume.path),
            maximum=float(maximum),
            mean=float(np.mean([np.abs(image).mean() for image in stack])),
            labels=labels,
        )


def _read(target: Target, volume: Volume) -> tuple[np.ndarray, np.floating]:
    """The (slices, N, N) fitted images of a volume, and its largest magnitude."""
    kind = np.complex64 if target.is_complex else np.float32
    stack: np.ndarray = np.zeros((volume.slices, target.size, target.size), kind)
    maximum = np.float32(0)
    count = 0
    for count, image in enumerate(volume.read(), 1):
        image = image.astype(kind, copy=False)
        where = f"{volume.path}: slice {count - 1} has pixels"
        if not np.isfinite(image).all():
            raise InputError(f"{where} that are infinite or undefined; set them to 0 first")
        if not target.is_complex and image.min() < 0:
            if not target.clip_negative:
                raise InputError(f"{where} below 0; data import --clip-negative sets them to 0")
            image = image.clip(0)
        maximum = max(maximum, np.abs(image).max())
        if count <= len(stack):  # its middle, in the middle of the zeros
            place = centre_crop(stack[count - 1], image.shape)
            place[:] = centre_crop(image, place.shape)
    if count != len(stack):
        raise InputError(f"{volume.path} changed: {count} slices, not {len(stack)}")
    if not 0 < maximum < np.inf:
        raise InputError(f"{volume.path}: no image: its largest magnitude is {maximum:g}")
    return stack, maximum


def _are_labels(stack: np.ndarray) -> bool:
    """Whether all values are whole numbers, and most neighbours along the rows are equal."""
    equal = pairs = 0
    for image in stack:
        if (image != np.rint(image)).any():
            return False
        left, right = image[:, :-1], image[:, 1:]
        both = (left > 0) & (right > 0)
        pairs += both.sum()
        equal += (both & (left == right)).sum()
    return bool(equal > LABELS * pairs)


def _files(path: Path) -> list[Path]:
    """The files of a volume: itself, or those in its folder."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder that of the names and SHA-256 of its files."""
    if path.is_file():
        return digest(path)
    lines = "".join(f"{digest(file)}  {file.name}\n" for file in _files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def _converted(volume: Volume, split: str, size: int, part: Path) -> Converted:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        found = dict(file.attrs)
    warnings = list(volume.warnings)
    rows, columns = volume.shape
    if max(volume.shape) > size:
        warnings.append(f"cropped from {rows} x {columns} to {size} x {size}")
    elif min(volume.shape) <= size - SPARE:
        warnings.append(f"padded with zeros from {rows} x {columns} to {size} x {size}")
    if found["labels"]:
        warnings.append(
            "whole numbers, most of them equal to their neighbours: labels and not an image?"
        )
    sha256, maximum, mean = str(found["sha256"]), float(found["maximum"]), float(found["mean"])
    return Converted(volume, split, sha256, maximum, mean, tuple(warnings))


def _join(target: Target, converted: Sequence[Converted], parts: Mapping[Path, Path]) -> None:
    """Write the converted volumes to the image file."""
    listed = list_text([one.listed for one in converted]).encode()
    kinds = ", ".join(sorted({one.volume.kind for one in converted}))
    title = f"{target.title} {kinds} (list SHA-256 {hashlib.sha256(listed).hexdigest()})"
    needed = sum(parts[one.volume.path].stat().st_size for one in converted)
    free = shutil.disk_usage(target.path.parent).free
    if free < needed:
        raise InputError(
            f"cannot write {target.path}: it needs {needed >> 20} MB, and {free >> 20} MB are "
            "free; make room, then repeat the command to continue"
        )
    stacks = ((one.split, one.volume.name, _read_part(parts[one.volume.path])) for one in converted)
    write_volumes(target.path, title, target.size, target.is_complex, stacks)


def _read_part(part: Path) -> Tensor:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        return read_stack(file)
