"""Stacks of slices, as the readers of formats other than fastMRI return them."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loupe_lib.errors import InputError

LARGEST = 512 << 20  # bytes of a volume as it is stored
PLANES = ("axial", "coronal", "sagittal")
INDICES = ("0", "1", "2")
# Where slices of each plane begin: columns, rows, slices. As on a radiologist's screen, column 0 is
# at the right of the patient or anterior, row 0 anterior or superior.
VIEWS = {"axial": "RAI", "coronal": "RSP", "sagittal": "ASR"}
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Stack:
    """A stack of slices, of which only the header has been read.

    Attributes:
        kind: of file.
        patient: who it is of; empty if the file does not say.
        slices: how many.
        shape: rows and columns.
        memory: bytes that reading takes, beside the slices themselves.
        read: reads them, one at a time: (rows, columns) numbers.
    """

    kind: str
    patient: str
    slices: int
    shape: tuple[int, int]
    memory: int
    read: Callable[[], Iterator[np.ndarray]]


@contextlib.contextmanager
def telling(path: Path, kind: str) -> Iterator[None]:
    """Turn any failure to read a file into one line that names it.

    Any exception, because the readers of NIfTI and DICOM raise many kinds for damaged files.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} cannot be read as {kind}: {reason}") from error


def check_array(shape: Sequence[int], kind: np.dtype) -> None:
    """Check that an array is a stack of real images, and not too large to be read.

    Raises:
        InputError: with the reason.
    """
    if kind.kind not in "fiu":
        raise InputError(f"images must be real numbers; got {kind}")
    if len(shape) != 3 or not all(n > 0 for n in shape):
        found = " x ".join(map(str, shape)) or "one number"
        raise InputError(f"a volume must have three dimensions; got {found}")
    size = math.prod(shape) * kind.itemsize
    if size > LARGEST:
        raise InputError(f"a volume has {size} bytes; at most {LARGEST} can be read")


def array_axis(axis: str | None) -> int:
    """The axis of an array along which slices lie; the first by default.

    Raises:
        InputError: if it is a plane of the body: an array does not say how the patient lay.
    """
    if axis is None:
        return 0
    if axis not in INDICES:
        raise InputError(f"axis must be one of {', '.join(INDICES)} for an array; got {axis!r}")
    return int(axis)


def view(orientation: np.ndarray, plane: str) -> tuple[list[int], list[bool]]:
    """How to turn a volume so that its slices of a plane lie along the first axis.

    Args:
        orientation: (3, 2), for each axis of the array the axis of the patient nearest to it
            (0 towards the left or right, 1 front or back, 2 head or feet), and 1 where it runs
            towards right, anterior or superior, else -1; as nibabel's `io_orientation`.
        plane: one of axial, coronal and sagittal.

    Returns:
        The axes of the array that become slices, rows and columns; and which are reversed.

    Raises:
        InputError: for another plane.
    """
    if plane not in PLANES:
        raise InputError(f"axis must be one of {', '.join(PLANES)} here; got {plane!r}")
    order, reverse = [], []
    for letter in VIEWS[plane][2], VIEWS[plane][1], VIEWS[plane][0]:
        patient_axis, start = AXES[letter]
        (axis,) = np.flatnonzero(orientation[:, 0] == patient_axis)
        order.append(int(axis))
        reverse.append(bool(orientation[axis, 1] == start))  # it must begin there, not end there
    return order, reverse


def turned(volume: np.ndarray, order: Sequence[int], reverse: Sequence[bool]) -> np.ndarray:
    """The volume in the order that `view` returns; no copy."""
    steps = tuple(slice(None, None, -1 if back else 1) for back in reverse)
    return volume.transpose(order)[steps]
