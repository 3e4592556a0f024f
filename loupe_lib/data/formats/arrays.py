"""Stacks of slices in ``.npy`` and HDF5 files."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from loupe_lib.data.formats.checks import check_array, reading
from loupe_lib.data.storage import member
from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

INDICES = ("0", "1", "2")


def open_npy(path: Path, axis: str | None = None) -> Volume:
    """Open an array (slices, rows, columns).

    Args:
        path: a ``.npy`` file; one with pickled objects is refused, and none of its code runs.
        axis: along which the slices lie: 0 (the default), 1 or 2.

    Raises:
        InputError: if it cannot be read, or is not a stack of real images.
    """
    with reading(path, ".npy"):
        # Reads only plain arrays: an array of objects, which are pickled, is refused.
        array = np.lib.format.open_memmap(path, mode="r")
        check_array(array.shape, array.dtype)
        order = _order(array.shape, axis)
    slices, rows, columns = (array.shape[i] for i in order)
    read = functools.partial(_read_npy, path, order)
    return Volume(path, "npy", slices, (rows, columns), array.nbytes, read)


def _read_npy(path: Path, order: list[int]) -> Iterator[np.ndarray]:
    with reading(path, ".npy"):
        yield from np.lib.format.open_memmap(path, mode="r").transpose(order)


def open_hdf5_stack(path: Path, dataset: str | None, axis: str | None = None) -> Volume:
    """Open a dataset (slices, rows, columns) of an HDF5 file.

    Args:
        path: the file.
        dataset: the name of the dataset in it, with slashes after groups.
        axis: along which the slices lie: 0 (the default), 1 or 2.

    Raises:
        InputError: if it cannot be read, or is not a stack of real images in the file itself.
    """
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        if dataset is None:
            raise InputError(f"dataset must be named; the file has {', '.join(file)}")
        *groups, name = dataset.strip("/").split("/")
        found: h5py.Group = file
        for group in groups:
            found = member(found, group, h5py.Group)
        stack = member(found, name, h5py.Dataset)
        check_array(stack.shape or (), stack.dtype)
        order = _order(stack.shape, axis)
        slices, rows, columns = (stack.shape[i] for i in order)
        memory = stack.nbytes
    read = functools.partial(_read_hdf5, path, dataset, order)
    return Volume(path, "HDF5", slices, (rows, columns), memory, read)


def _read_hdf5(path: Path, dataset: str, order: list[int]) -> Iterator[np.ndarray]:
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        yield from file[dataset][:].transpose(order)


def _order(shape: Sequence[int], axis: str | None) -> list[int]:
    """The axes of an array that are slices, rows and columns.

    Raises:
        InputError: if the axis is a plane of the body, because an array does not say how the
            patient lay; or none is given and the array looks like (rows, columns, slices).
    """
    if axis is not None and axis not in INDICES:
        raise InputError(f"axis must be one of {', '.join(INDICES)} for an array; got {axis!r}")
    if axis is None and shape[1] != shape[2] and shape[0] in shape[1:]:
        other = 1 if shape[0] == shape[1] else 2
        raise InputError(
            f"an array of {' x '.join(map(str, shape))} has equal axes 0 and {other}, so its "
            f"slices seem to lie along axis {3 - other}: give --axis {3 - other}, or --axis 0 if "
            f"they are {shape[1]} x {shape[2]}"
        )
    along = int(axis or 0)
    return [along, *(i for i in range(3) if i != along)]
