"""Stacks of slices in ``.npy`` and HDF5 files."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from loupe_lib.data.formats.stacks import Stack, array_axis, check_array, telling
from loupe_lib.data.storage import check_written, member
from loupe_lib.errors import InputError


def open_npy(path: Path, axis: str | None = None) -> Stack:
    """Open an array (slices, rows, columns).

    Args:
        path: a ``.npy`` file; one with pickled objects is refused, and none of its code runs.
        axis: along which the slices lie: 0 (the default), 1 or 2.

    Raises:
        InputError: if it cannot be read, or is not a stack of real images.
    """
    with telling(path, ".npy"):
        # Reads only plain arrays: an array of objects, which are pickled, is refused.
        array = np.lib.format.open_memmap(path, mode="r")
        check_array(array.shape, array.dtype)
        array = np.moveaxis(array, array_axis(axis), 0)
        slices, rows, columns = array.shape

    def read() -> Iterator[np.ndarray]:
        with telling(path, ".npy"):
            yield from array

    return Stack("npy", "", slices, (rows, columns), array.nbytes, read)


def open_hdf5_stack(path: Path, dataset: str | None, axis: str | None = None) -> Stack:
    """Open a dataset (slices, rows, columns) of an HDF5 file.

    Args:
        path: the file.
        dataset: the name of the dataset in it, with slashes after groups.
        axis: along which the slices lie: 0 (the default), 1 or 2.

    Raises:
        InputError: if it cannot be read, or is not a stack of real images in the file itself.
    """
    along = array_axis(axis)
    with telling(path, "HDF5"), h5py.File(path, "r") as file:
        if dataset is None:
            raise InputError(f"dataset must be named; the file has {', '.join(file)}")
        *groups, name = dataset.strip("/").split("/")
        found: h5py.Group = file
        for group in groups:
            found = member(found, group, h5py.Group)
        stack = member(found, name, h5py.Dataset)
        check_array(stack.shape or (), stack.dtype)
        if stack.chunks:  # HDF5 reads them whole
            check_array(stack.chunks, stack.dtype)
        check_written(stack)
        order = [along, *(i for i in range(3) if i != along)]
        slices, rows, columns = (stack.shape[i] for i in order)
        memory = stack.nbytes

    def read() -> Iterator[np.ndarray]:
        with telling(path, "HDF5"), h5py.File(path, "r") as file:
            yield from file[dataset][:].transpose(order)

    return Stack("HDF5", "", slices, (rows, columns), memory, read)
