"""Volumes: their headers, the sources that read them, and the size of their slices."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from loupe_lib.data.images import centre_crop

MEMORY = 256 << 20  # bytes that reading one volume may take


@dataclass(frozen=True)
class Volume:
    """One volume, from its header: enough to choose it and to find it again.

    Attributes:
        name: of the volume, in messages, lists and image files.
        patient: no patient is in two splits.
        acquisition: the kind of scan.
        slices: how many.
        shape: rows and columns of a slice, before it is fitted.
        memory: bytes that reading it takes at most.
        path: of the file or, for a DICOM series, the folder.
        stamp: its size in bytes, and the time of its last change in ns.
        spacing: mm between slices, rows and columns; None if unknown.
        warnings: what a user should know, from the header.
    """

    name: str
    patient: str
    acquisition: str
    slices: int
    shape: tuple[int, int]
    memory: int
    path: Path
    stamp: tuple[int, int]
    spacing: tuple[float, float, float] | None = None
    warnings: tuple[str, ...] = ()

    def key(self, *settings: object) -> str:
        """A hash of the volume and the settings, as the name of its converted file."""
        text = json.dumps([asdict(self), *settings], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class LeftOut:
    """A volume that is not used, and the reason."""

    name: str
    reason: str


class Source(Protocol):
    """A source of volumes. It is pickled, because worker processes read the volumes.

    Attributes:
        title: of the volumes, for the record.
        size: side of the images that are wanted.
        is_complex: whether complex images are wanted.
        settings: all else that the images depend on besides the file.
    """

    title: str
    size: int
    is_complex: bool
    settings: tuple[Any, ...]

    def read(self, volume: Volume) -> Iterator[np.ndarray]:
        """The slices of a volume, one at a time: (rows, columns) real or complex numbers.

        Raises:
            InputError: if it cannot be read; the message names the file.
        """


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """Crop an image at the centre to (size, size), or put zeros around it."""
    fitted = np.zeros((size, size), image.dtype)
    centre_crop(fitted, image.shape)[:] = centre_crop(image, fitted.shape)
    return fitted


def stack_bytes(slices: int, size: int, is_complex: bool) -> int:
    """Memory of the fitted slices of a volume."""
    return slices * size * size * (8 if is_complex else 4)
