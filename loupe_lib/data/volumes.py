"""Volumes: what their headers say, how their slices are read, and what became of them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Volume:
    """A volume of which only the header has been read. It can be pickled: workers read the rest.

    Attributes:
        path: of the file or, for a DICOM series, the folder.
        kind: of scan, such as CORPD_FBK, or of file.
        slices: how many.
        shape: rows and columns of a slice.
        memory: bytes that reading takes, beside the images.
        read: reads the slices, one at a time: (rows, columns) real or complex numbers. It raises
            InputError, whose message begins with the path, if they cannot be read.
        patient: whose volume it is; empty if the file does not say.
        spacing: mm between slices, rows and columns; None if unknown.
        warnings: what a user should know, from the header and, once converted, from the images.
        name: of the volume, in messages, lists and image files.
        split: in which it is, once chosen.
        sha256: of its file, in hexadecimal, once listed or converted; of a folder that of the names
            and SHA-256 of its files.
        maximum: of its magnitudes, by which they were divided, once converted.
        mean: of its magnitudes after the division.
    """

    path: Path
    kind: str
    slices: int
    shape: tuple[int, int]
    memory: int
    read: functools.partial[Iterator[np.ndarray]] = field(repr=False, compare=False)
    patient: str = ""
    spacing: tuple[float, float, float] | None = None
    warnings: tuple[str, ...] = ()
    name: str = ""
    split: str = ""
    sha256: str = ""
    maximum: float = 0
    mean: float = 0


def count_of(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def reason_of(error: Exception, path: Path) -> str:
    """What the message of an error says after the path."""
    return str(error).removeprefix(str(path)).lstrip(": ")
