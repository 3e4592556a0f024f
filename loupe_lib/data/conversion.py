"""Convert volumes to an image file, on all cores; a stopped conversion can continue."""

import hashlib
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
from loupe_lib.data.volumes import Source, Volume, fit
from loupe_lib.data.workers import cores, read_in_workers
from loupe_lib.errors import InputError

PART_FORMAT, PART_VERSION = "loupe-volume", 1
MEMORY = 640 << 20  # bytes for all workers together: with the program itself, less than 1 GB
WORKER = 32 << 20  # bytes of a worker without its volume
HEAP = 2  # times the memory of a volume: the heap is fragmented after the first one


@dataclass(frozen=True)
class Converted:
    """A converted volume.

    Attributes:
        volume: the volume.
        split: its split.
        sha256: of its file, in hexadecimal; of a folder, see :func:`digest_of`.
        maximum: of its magnitudes, by which they were divided.
        mean: of its magnitudes after the division.
    """

    volume: Volume
    split: str
    sha256: str
    maximum: float
    mean: float

    @property
    def listed(self) -> Listed:
        """Its line in a list of volumes."""
        return Listed(self.split, self.volume.name, self.volume.slices, self.sha256)


def parts_folder(out: Path) -> Path:
    """The folder of the converted volumes, beside the image file that they become."""
    return out.with_name(f".{out.name}.parts")


def convert(
    source: Source,
    choice: Choice,
    out: Path,
    expected: Sequence[Listed] = (),
    progress: bool = True,
) -> list[Converted]:
    """Write the chosen volumes to an image file, each divided by the maximum of its magnitudes.

    Worker processes convert one volume each; there are as many as cores, or as fit in memory. Each
    converted volume is kept in a folder beside the file. If the call is stopped in any way, the
    same call continues. When all volumes are there, they become the file, and the folder is
    removed.

    Args:
        source: reads the volumes. Slices larger than its size are cropped about their middle,
            smaller ones get zeros around them.
        choice: the volumes of each split.
        out: the file; an old one is replaced when all is written.
        expected: the volumes with the SHA-256 that they must have.
        progress: show a progress bar, on a terminal.

    Returns:
        The converted volumes, in the order of the file.

    Raises:
        InputError: if a volume cannot be read or has another SHA-256 than expected, or the file
            cannot be written; the message names it.
    """
    parts = parts_folder(out)
    volumes = [volume for split in SPLITS for volume in choice[split]]
    settings = source.size, source.is_complex, source.settings
    part = {v.name: parts / f"{v.key(settings)}.h5" for v in volumes}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # The lock file stays: were it removed, one process could hold it and another a new one.
        lock = FileLock(out.with_name(f".{out.name}.lock")).acquire()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    with lock:
        todo = [_Task(source, v, part[v.name]) for v in volumes if not _is_done(part[v.name])]
        remaining = sum(task.volume.slices for task in todo)
        total = sum(volume.slices for volume in volumes)
        most = WORKER + HEAP * max(volume.memory for volume in volumes)
        with tqdm(
            desc="slices",
            total=total,
            initial=total - remaining,
            disable=None if progress else True,  # None: disabled unless on a terminal
        ) as bar:
            for task, _ in read_in_workers(_convert, todo, max(1, min(cores(), MEMORY // most))):
                bar.update(task.volume.slices)
        converted = [_converted(v, s, part[v.name]) for s in SPLITS for v in choice[s]]
        _compare(converted, expected)
        listed = list_text([one.listed for one in converted]).encode()
        kinds = ", ".join(sorted({volume.acquisition for volume in volumes}))
        title = f"{source.title} {kinds} (list SHA-256 {hashlib.sha256(listed).hexdigest()})"
        remove_unfinished(out)
        needed = sum(path.stat().st_size for path in part.values())
        free = shutil.disk_usage(out.parent).free
        if free < needed:
            raise InputError(
                f"cannot write {out}: it needs {needed >> 20} MB, and {free >> 20} MB are free; "
                "make room, then repeat the command to continue"
            )
        stacks = ((one.split, one.volume.name, _read(part[one.volume.name])) for one in converted)
        write_volumes(out, title, source.size, source.is_complex, stacks)
        shutil.rmtree(parts, ignore_errors=True)
    return converted


@dataclass(frozen=True)
class _Task:
    """One volume to convert, and the file for it."""

    source: Source
    volume: Volume
    part: Path

    @property
    def path(self) -> Path:
        return self.volume.path


def _convert(task: _Task) -> None:
    volume, size, is_complex = task.volume, task.source.size, task.source.is_complex
    kind = np.complex64 if is_complex else np.float32
    stack: np.ndarray = np.zeros((volume.slices, size, size), kind)
    count = 0
    for count, image in enumerate(task.source.read(volume), 1):
        if not np.isfinite(image).all() or (not is_complex and image.min() < 0):
            raise InputError(
                f"{volume.path}: slice {count - 1} has pixels below 0, infinite or undefined"
            )
        if count <= len(stack):
            stack[count - 1] = fit(image, size)
    if count != len(stack):
        raise InputError(f"{volume.path} changed: {count} slices, not {len(stack)}")
    maximum = max(np.abs(image).max() for image in stack)
    if not 0 < maximum < np.inf:
        raise InputError(f"{volume.path}: no image: its largest magnitude is {maximum:g}")
    stack /= maximum
    with writing_hdf5(task.part, PART_FORMAT, PART_VERSION) as file:
        create_stack(file, size, is_complex)
        append_to_stack(file, check_images(stack))
        file.attrs.update(
            sha256=digest_of(volume.path),
            maximum=float(maximum),
            mean=float(np.mean([np.abs(image).mean() for image in stack])),
        )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder that of the names and SHA-256 of its files."""
    if path.is_file():
        return digest(path)
    files = sorted(file for file in path.iterdir() if file.is_file())
    lines = "".join(f"{digest(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _is_done(part: Path) -> bool:
    try:
        with open_hdf5(part, PART_FORMAT, PART_VERSION):
            return True
    except InputError:
        return False


def _read(part: Path) -> Tensor:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        return read_stack(file)


def _converted(volume: Volume, split: str, part: Path) -> Converted:
    with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
        sha256, maximum, mean = (file.attrs[name] for name in ("sha256", "maximum", "mean"))
        return Converted(volume, split, str(sha256), float(maximum), float(mean))


def _compare(converted: Sequence[Converted], expected: Sequence[Listed]) -> None:
    found = {one.volume.name: one for one in converted}
    for wanted in expected:
        one = found[wanted.name]
        if one.sha256 != wanted.sha256:
            raise InputError(
                f"{one.volume.path} is not the one listed: "
                f"its SHA-256 is {one.sha256}, not {wanted.sha256}"
            )
