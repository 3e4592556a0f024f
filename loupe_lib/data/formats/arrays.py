"""Stacks of slices in ``.npy`` and HDF5 files."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from loupe_lib.data.formats.checks import check_array, reading
from loupe_lib.data.storage import check_written, member
from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

INDICES = ("0", "1", "2")
ELONGATED = 3  # ratio of the sides of a slice; above it, another axis is likely meant


def open_array(path: Path, dataset: str | None = None, axis: str | None = None) -> Volume:
    """Open an array (slices, rows, columns).

    Args:
        path: a ``.npy`` file; one with pickled objects is refused, and none of its code runs. Any
            other file is taken for HDF5.
        dataset: the name of the dataset in an HDF5 file, with slashes after groups.
        axis: along which the slices lie: 0 (the default), 1 or 2.

    Raises:
        InputError: if it cannot be read, or is not a stack of real images in the file itself.
    """
    with _open(path, dataset) as stack:
        check_array(stack.shape or (), stack.dtype)
        if isinstance(stack, h5py.Dataset):
            if stack.chunks:  # HDF5 reads them whole
                check_array(stack.chunks, stack.dtype)
            check_written(stack)
        order = _order(stack.shape, axis)
        slices, rows, columns = (stack.shape[i] for i in order)
        read = functools.partial(_read, path, dataset, order)
        return Volume(path, _kind(path), slices, (rows, columns), stack.nbytes, read)


def _read(path: Path, dataset: str | None, order: list[int]) -> Iterator[np.ndarray]:
    with _open(path, dataset) as stack:
        yield from stack[:].transpose(order)


def _kind(path: Path) -> str:
    return "npy" if path.name.lower().endswith(".npy") else "HDF5"


@contextlib.contextmanager
def _open(path: Path, dataset: str | None) -> Iterator[np.ndarray | h5py.Dataset]:
    with reading(path, _kind(path)):
        if _kind(path) == "npy":
            # Reads only plain arrays: an array of objects, which are pickled, is refused.
            yield np.lib.format.open_memmap(path, mode="r")
            return
        with h5py.File(path, "r") as file:
            if dataset is None:
                raise InputError(f"dataset must be named; the file has {', '.join(file)}")
            yield member(file, dataset.strip("/"), h5py.Dataset)


def _order(shape: Sequence[int], axis: str | None) -> list[int]:
    """The axes that are slices, rows and columns; InputError if that is doubtful.

    A plane of the body is refused: an array does not say how the patient lay.
    """
    if axis is not None and axis not in INDICES:
        raise InputError(f"axis must be one of {', '.join(INDICES)} for an array; got {axis!r}")
    sides = [(shape[1], shape[2]), (shape[0], shape[2]), (shape[0], shape[1])]  # of slices
    aspects = [max(pair) / min(pair) for pair in sides]
    best = aspects.index(min(aspects))
    if axis is None and best and (aspects[best] == 1 or aspects[0] > ELONGATED):
        array, first, better = (" x ".join(map(str, n)) for n in (shape, sides[0], sides[best]))
        raise InputError(
            f"an array of {array} has slices of {first} along axis 0, and of {better} along axis "
            f"{best}: give --axis {best}, or --axis 0 if {first} is right"
        )
    order = [0, 1, 2]
    order.insert(0, order.pop(int(axis or 0)))
    return order
