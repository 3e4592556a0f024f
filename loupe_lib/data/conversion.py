"""Convert volumes to an image file, on all cores; a stopped conversion can continue."""

import contextlib
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from loupe_lib.data.choice import list_text
from loupe_lib.data.images import centre_crop, encode, write_volumes
from loupe_lib.data.storage import digest, remove_unfinished, writing
from loupe_lib.data.volumes import Volume, reason_of
from loupe_lib.data.workers import BadFile, cores, read_in_workers
from loupe_lib.errors import InputError

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

    Larger slices are cropped about their middle, smaller ones get zeros around them.
    """

    path: Path  # an old file is replaced when all is written
    title: str  # of the volumes, for the record
    size: int  # N, the side of the images
    is_complex: bool = False
    clip_negative: bool = False  # pixels below 0 become 0, and are not refused


def parts_folder(out: Path) -> Path:
    """The folder of the converted volumes, beside the image file that they become."""
    return out.with_name(f".{out.name}.parts")


def convert(
    target: Target, chosen: Sequence[Volume], skip_bad: bool = False
) -> tuple[list[Volume], dict[str, str]]:
    """Write the chosen volumes to an image file, each divided by the maximum of its magnitudes.

    The maximum is that of the whole volume, whatever is cropped. Worker processes convert one
    volume each; there are as many as cores, or as fit in memory. Each converted volume is kept in a
    folder beside the file. If the call is stopped in any way, the same call continues. When all
    volumes are there, they become the file, in the given order, and the folder is removed.

    Returns:
        The converted volumes, and the reason for each volume that cannot be read, by its name.

    Raises:
        BadFile: if a volume cannot be read, without ``skip_bad``; the message names it.
        InputError: if a volume has another SHA-256 than listed, or the file cannot be written.
    """
    out = target.path
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # The lock file stays: were it removed, one process could hold it and another a new one.
        lock = FileLock(out.with_name(f".{out.name}.lock")).acquire()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    with lock:
        chosen = [replace(volume, part=_part(target, volume)) for volume in chosen]
        left_out = _convert_all(target, chosen, skip_bad)
        used = [volume for volume in chosen if volume.name not in left_out]
        converted = [_converted(volume, target.size) for volume in used]
        remove_unfinished(out)
        _join(target, converted)
        shutil.rmtree(parts_folder(out), ignore_errors=True)
    return converted, left_out


def _part(target: Target, volume: Volume) -> Path:
    """The file of a converted volume: another one if the file changes or is read otherwise."""
    path = volume.path.absolute()
    states = [(file.name, file.stat()) for file in _files(path)]
    stamps = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    how = (*volume.read.args[1:], target.size, target.is_complex, target.clip_negative)
    key = hashlib.sha256(repr((path, stamps, how)).encode()).hexdigest()[:24]
    return parts_folder(target.path) / f"{key}.npz"


def _convert_all(target: Target, chosen: Sequence[Volume], skip_bad: bool) -> dict[str, str]:
    """Write the part of each volume that has none yet; the volumes that cannot be read, and why."""
    pixel = 8 if target.is_complex else 4  # bytes
    most = max(v.memory + v.slices * target.size**2 * pixel for v in chosen)
    workers = max(1, min(cores(), MEMORY // (WORKER + HEAP * most)))
    tasks = [(volume, target) for volume in chosen if not volume.part.exists()]
    left_out = {}
    with contextlib.closing(read_in_workers(_convert, tasks, workers, "volumes")) as errors:
        for (volume, _), error in zip(tasks, errors, strict=True):
            if isinstance(error, BadFile) and skip_bad:
                left_out[volume.name] = reason_of(error, volume.path)
            elif error:  # or its part cannot be written
                raise error
    return left_out


def _convert(volume: Volume, target: Target) -> None:
    """Fit the slices of a volume to the size, divide them by their maximum, and write them."""
    kind = np.complex64 if target.is_complex else np.float32
    stack: np.ndarray = np.zeros((volume.slices, target.size, target.size), kind)
    maximum = np.float32(0)
    count = 0
    for count, image in enumerate(volume.read(), 1):
        image = image.astype(kind, copy=False)
        where = f"{volume.path}: slice {count - 1} has pixels"
        if not np.isfinite(image).all():
            raise BadFile(f"{where} that are infinite or undefined; set them to 0 first")
        if not target.is_complex and image.min() < 0:
            if not target.clip_negative:
                raise BadFile(f"{where} below 0; data import --clip-negative sets them to 0")
            image = image.clip(0)
        maximum = max(maximum, np.abs(image).max())
        if count <= len(stack):  # its middle, in the middle of the zeros
            place = centre_crop(stack[count - 1], image.shape)
            place[:] = centre_crop(image, place.shape)
    if count != len(stack):
        raise BadFile(f"{volume.path} changed: {count} slices, not {len(stack)}")
    if not 0 < maximum < np.inf:
        raise BadFile(f"{volume.path}: no image: its largest magnitude is {maximum:g}")
    labels = not target.is_complex and _are_labels(stack)
    stack /= maximum
    with writing(volume.part) as beside, open(beside, "wb") as file:
        np.savez(
            file,
            codes=np.stack([encode(image) for image in torch.from_numpy(stack)]),
            sha256=_digest(volume.path),
            maximum=maximum,
            mean=np.mean([np.abs(image).mean() for image in stack]),
            labels=labels,
        )


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


def _converted(volume: Volume, size: int) -> Volume:
    """The volume, with what is known of its images."""
    with np.load(volume.part) as found:
        sha256 = str(found["sha256"])
        maximum, mean, labels = (found[name].item() for name in ("maximum", "mean", "labels"))
    if volume.sha256 not in ("", sha256):
        raise InputError(
            f"{volume.path} is not the one listed: its SHA-256 is {sha256}, not {volume.sha256}"
        )
    warnings = list(volume.warnings)
    rows, columns = volume.shape
    if max(volume.shape) > size:
        warnings.append(f"cropped from {rows} x {columns} to {size} x {size}")
    elif min(volume.shape) <= size - SPARE:
        warnings.append(f"padded with zeros from {rows} x {columns} to {size} x {size}")
    if labels:
        warnings.append(
            "whole numbers, most of them equal to their neighbours: labels and not an image?"
        )
    return replace(volume, sha256=sha256, maximum=maximum, mean=mean, warnings=tuple(warnings))


def _join(target: Target, converted: Sequence[Volume]) -> None:
    """Write the converted volumes to the image file."""
    sha256 = hashlib.sha256(list_text(converted).encode()).hexdigest()
    kinds = ", ".join(sorted({volume.kind for volume in converted}))
    title = f"{target.title} {kinds} (list SHA-256 {sha256})"
    needed = sum(volume.part.stat().st_size for volume in converted)
    free = shutil.disk_usage(target.path.parent).free
    if free < needed:
        raise InputError(
            f"cannot write {target.path}: it needs {needed >> 20} MB, and {free >> 20} MB are "
            "free; make room, then repeat the command to continue"
        )
    stacks = ((v.split, v.name, np.load(v.part)["codes"]) for v in converted)
    write_volumes(target.path, title, target.size, target.is_complex, stacks)
