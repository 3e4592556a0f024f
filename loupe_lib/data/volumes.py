"""Volumes: what is known of one before its images are read, and how its slices are fitted."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from loupe_lib.data.images import centre_crop

# Volumes that are in memory at once may have so many bytes by `Volume.memory`. Threads fragment the
# heap, so that they take up to twice as much; with the program itself, 320 MB, that stays under
# 1 GB however large the folder and however many the cores.
MEMORY = 256 << 20


@dataclass(frozen=True)
class Volume:
    """One volume, from its header: enough to choose it and to find it again.

    Attributes:
        name: of the volume, in messages, lists and image files.
        patient: no patient is in two splits.
        acquisition: what kind of scan it is.
        slices: how many.
        shape: rows and columns of a slice, before it is fitted.
        memory: bytes that reading it takes at most.
        path: of the file, or of the archive that it is in.
        stamp: size in bytes and time of last change, in ns, of that file.
        member: name within the archive; empty for a file.
        offset: of the member in a plain archive.
        length: of the file or member, in bytes.
    """

    name: str
    patient: str
    acquisition: str
    slices: int
    shape: tuple[int, int]
    memory: int
    path: str
    stamp: tuple[int, int]
    member: str = ""
    offset: int = 0
    length: int = 0

    @property
    def origin(self) -> str:
        """Where it is, for messages."""
        return f"{self.path}: {self.member}" if self.member else self.path

    def key(self, *settings: object) -> str:
        """A name for what is made of it with these settings: another if anything changed."""
        text = json.dumps([asdict(self), *settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class LeftOut:
    """What is not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Opened:
    """A volume that is being read.

    Attributes:
        volume: which.
        slices: its images, one at a time, (rows, columns) float32 or complex64.
        digest: computes the SHA-256 of its file or member.
    """

    volume: Volume
    slices: Generator[np.ndarray, None, None]
    digest: Callable[[], str]


class Source(Protocol):
    """Where volumes come from.

    Attributes:
        title: what they are, for the record.
        size: side of the images that are wanted.
        is_complex: whether complex images are wanted.
        settings: all else that the images depend on besides the file.
    """

    title: str
    size: int
    is_complex: bool
    settings: tuple[Any, ...]

    def groups(self, volumes: Sequence[Volume]) -> list[list[Volume]]:
        """The volumes in groups that are read in one go, each by one thread."""

    def read(self, group: Sequence[Volume]) -> Iterator[Opened | None]:
        """Open the volumes of a group, one after the other.

        Yields:
            Each of them, good until the next is asked for; and None, so that the caller may
            stop, while it passes over what is not wanted.

        Raises:
            InputError: if one cannot be read; the message names it.
        """


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """The middle of an image, (size, size); where it is smaller, zeros around it."""
    fitted = np.zeros((size, size), image.dtype)
    centre_crop(fitted, image.shape)[:] = centre_crop(image, fitted.shape)
    return fitted


def stack_bytes(slices: int, size: int, is_complex: bool) -> int:
    """Memory of the fitted slices of a volume."""
    return slices * size * size * (8 if is_complex else 4)
