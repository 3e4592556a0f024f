"""From volumes to an image file: streamed, on all cores, and going on where it was stopped."""

import contextlib
import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from tqdm import tqdm

from loupe_lib.data.choice import Choice, Listed, list_text
from loupe_lib.data.images import (
    SPLITS,
    append_to_stack,
    check_images,
    create_stack,
    read_stack,
    writing_images,
)
from loupe_lib.data.storage import open_hdf5, remove_unfinished, writing_hdf5
from loupe_lib.data.volumes import MEMORY, Opened, Source, Volume, fit
from loupe_lib.data.workers import cores
from loupe_lib.errors import InputError

LOCK = "lock"
PART_FORMAT, PART_VERSION = "loupe-volume", 1


@dataclass(frozen=True)
class Converted:
    """What became of one volume.

    Attributes:
        volume: which.
        split: where it is.
        sha256: of its file or member, in hexadecimal.
        maximum: of its magnitudes before they were divided by it.
        mean: of its magnitudes after that.
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
    """Where volumes wait until all are there, beside the file that they will be in."""
    return out.with_name(f".{out.name}.parts")


def convert(
    source: Source,
    choice: Choice,
    out: Path,
    expected: Sequence[Listed] = (),
    progress: bool = True,
) -> list[Converted]:
    """Write the chosen volumes to an image file, each divided by the maximum of its magnitudes.

    As many threads as there are cores, or as fit the memory, convert one volume each. A volume
    that is done waits in a folder beside the file: the same call goes on from there after it was
    stopped, in whatever way. When all are there, they become the file and the folder goes.

    Args:
        source: reads the volumes. Slices larger than its size are cropped about their middle,
            smaller ones get zeros around them.
        choice: the volumes of each split.
        out: the file; replaced, when all is written, if it is there.
        expected: what the SHA-256 of the volumes must be.
        progress: show a progress bar, on a terminal.

    Returns:
        What became of each volume, in the order of the file.

    Raises:
        InputError: if a volume cannot be read or is not what is expected, or the file cannot be
            written; the message names it.
    """
    parts = parts_folder(out)
    volumes = [volume for split in SPLITS for volume in choice[split]]
    settings = source.size, source.is_complex, source.settings
    part = {v.name: parts / f"{v.key(settings)}.h5" for v in volumes}
    try:
        parts.mkdir(parents=True, exist_ok=True)
        lock = FileLock(parts / LOCK).acquire()
    except OSError as error:
        raise InputError(f"cannot write {parts}: {error.strerror}") from error
    with lock:
        todo = [volume for volume in volumes if not _is_whole(part[volume.name])]
        done = sum(volume.slices for volume in volumes if volume not in todo)
        with tqdm(
            desc="slices",
            total=sum(volume.slices for volume in volumes),
            initial=done,
            disable=None if progress else True,  # None: unless on a terminal
        ) as bar:
            _Conversion(source, part, bar).run(todo)
        converted = [_converted(v, s, part[v.name]) for s in SPLITS for v in choice[s]]
        _compare(converted, expected)
        listed = list_text([one.listed for one in converted]).encode()
        kinds = ", ".join(sorted({volume.acquisition for volume in volumes}))
        title = f"{source.title} {kinds} (list SHA-256 {hashlib.sha256(listed).hexdigest()})"
        remove_unfinished(out)
        with writing_images(out, title, source.size, source.is_complex) as writer:
            for one in converted:
                with open_hdf5(part[one.volume.name], PART_FORMAT, PART_VERSION) as file:
                    writer.append(one.split, one.volume.name, read_stack(file))
        _remove(parts)
    return converted


def _remove(parts: Path) -> None:
    """Remove the folder of parts; the lock last, as somebody may wait for it."""
    with contextlib.suppress(OSError):  # whoever waited may be at work there already
        for path in parts.iterdir():
            if path.name != LOCK:
                path.unlink()
        (parts / LOCK).unlink()
        parts.rmdir()


@dataclass
class _Conversion:
    """The threads that convert volumes, and what they share."""

    source: Source
    part: dict[str, Path]  # name of a volume -> where it is to be
    bar: tqdm

    def __post_init__(self) -> None:
        self.stop = threading.Event()

    def run(self, volumes: Sequence[Volume]) -> None:
        groups = self.source.groups(volumes)
        most = max((volume.memory for volume in volumes), default=1)
        workers = max(1, min(cores(), MEMORY // most))
        with ThreadPoolExecutor(workers, "", torch.set_num_threads, (1,)) as pool:
            tasks = [pool.submit(self._read, group) for group in groups]
            try:
                for task in as_completed(tasks):
                    task.result()
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _read(self, group: Sequence[Volume]) -> None:
        for opened in self.source.read(group):
            if self.stop.is_set():
                return
            if opened is not None:
                self._convert(opened)

    def _convert(self, opened: Opened) -> None:
        volume, size, is_complex = opened.volume, self.source.size, self.source.is_complex
        kind = np.complex64 if is_complex else np.float32
        stack: np.ndarray = np.zeros((volume.slices, size, size), kind)
        maximum = np.float32(0)
        number = -1
        with contextlib.closing(opened.slices):
            for number, image in enumerate(opened.slices):
                if self.stop.is_set():
                    return
                if not np.isfinite(image).all() or (not is_complex and image.min() < 0):
                    raise InputError(
                        f"{volume.origin}: slice {number} has pixels below 0, infinite or undefined"
                    )
                fitted = fit(image, size)
                maximum = max(maximum, np.abs(fitted).max())
                if number < len(stack):
                    stack[number] = fitted
                self.bar.update()
        if number + 1 != len(stack):
            raise InputError(f"{volume.origin} changed: {number + 1} slices, not {len(stack)}")
        if not 0 < maximum < np.inf:
            raise InputError(f"{volume.origin}: no image: its largest magnitude is {maximum:g}")
        stack /= maximum
        with writing_hdf5(self.part[volume.name], PART_FORMAT, PART_VERSION) as file:
            create_stack(file, size, is_complex)
            append_to_stack(file, check_images(stack))
            file.attrs.update(
                sha256=opened.digest(),
                maximum=float(maximum),
                mean=float(np.mean([np.abs(image).mean() for image in stack])),
            )


def _is_whole(part: Path) -> bool:
    """Whether a volume is there already, every byte of it right."""
    try:
        with open_hdf5(part, PART_FORMAT, PART_VERSION) as file:
            read_stack(file)
            return {"sha256", "maximum", "mean"} <= set(file.attrs)
    except InputError:
        return False


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
                f"{one.volume.origin} is not the one listed: "
                f"its SHA-256 is {one.sha256}, not {wanted.sha256}"
            )
