"""Volumes: what their headers say, how their slices are read, and what became of them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Volume:
    """A volume of which only the header has been read. It can be pickled: workers read the rest."""

    path: Path  # of the file or, for a DICOM series, the folder
    kind: str  # of scan, such as CORPD_FBK, or of file
    slices: int
    shape: tuple[int, int]  # rows and columns of a slice
    memory: int  # bytes that reading takes, beside the images
    # Reads the slices, one at a time: (rows, columns) real or complex numbers. If they cannot be
    # read, it raises InputError, whose message begins with the path.
    read: functools.partial[Iterator[np.ndarray]] = field(repr=False, compare=False)
    patient: str = ""  # empty if the file does not say
    spacing: tuple[float, float, float] | None = None  # mm between slices, rows and columns
    warnings: tuple[str, ...] = ()  # what a user should know, of the header and then of the images
    series: str = ""  # the UID of the DICOM series of which a file is one slice
    name: str = ""  # in messages, lists and image files
    split: str = ""  # once it is chosen
    part: Path = Path()  # the file of its converted images, until all are joined
    sha256: str = ""  # once listed or converted; of a folder that of its files' names and SHA-256
    maximum: float = 0  # of its magnitudes, by which they are divided, once converted
    mean: float = 0  # of its magnitudes after the division


def count_of(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def reason_of(error: Exception, path: Path) -> str:
    """What the message of an error says after the path."""
    return str(error).removeprefix(str(path)).lstrip(": ")
