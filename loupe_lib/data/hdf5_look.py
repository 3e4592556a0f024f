"""Looks at all structure and some data of an HDF5 file: a script that may die of what it reads.

``python hdf5_look.py OFFSET SIZE``, with the file that contains it as standard input. Exits with
0 where HDF5 neither crashed nor looped, whatever else is wrong; with ``UNREADABLE`` where a large
piece of data is damaged, or too large. Imports nothing of the library, which would take seconds.
"""

import contextlib
import io
import runpy
import sys
from pathlib import Path

import h5py

Window = runpy.run_path(str(Path(__file__).with_name("window.py")))["Window"]

UNREADABLE = 3  # exit status
MEMORY = 2 << 30  # bytes of addresses
PIECE = 1 << 29  # bytes; what may expand to more than that is read here first
EXPANSION = 1032  # at most, of what deflate compressed; other filters expand by less
# Filters after which the data have the size that they had before: shuffle, Fletcher's checksum.
OF_EQUAL_SIZE = (2, 3)


def look_at(descriptor: int, offset: int, size: int) -> None:
    """Look at the HDF5 file that lies in an open file; leave the process where it is unreadable."""
    with (
        contextlib.suppress(Exception),
        io.BufferedReader(Window(io.FileIO(descriptor, closefd=False), offset, size)) as file,
        h5py.File(file, "r") as hdf5,
    ):
        look_at_group(hdf5, frozenset())


def look_at_group(group: h5py.Group, seen: frozenset[int]) -> None:
    """Read what a reader would, of the group and all that it holds in the file itself."""
    dict(group.attrs)
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            with contextlib.suppress(Exception):
                found = group[name]
                address = h5py.h5o.get_info(found.id).addr
                if isinstance(found, h5py.Group) and address not in seen:
                    look_at_group(found, seen | {address})
                elif isinstance(found, h5py.Dataset) and not (found.is_virtual or found.external):
                    look_at_data(found)


def look_at_data(dataset: h5py.Dataset) -> None:
    """Read the last element, and whatever may take much memory.

    HDF5 expands a chunk as far as its filters say, not to the size that chunks should have.
    """
    dict(dataset.attrs)
    if dataset.chunks:
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        packed = sum(code not in OF_EQUAL_SIZE for code in filters)
        chunks: list[h5py.h5d.StoreInfo] = []
        dataset.id.chunk_iter(chunks.append)
        for chunk in chunks:
            if packed and chunk.size * EXPANSION**packed > PIECE:
                try:
                    dataset[chunk.chunk_offset]  # one element, for which HDF5 expands all
                except Exception:
                    sys.exit(UNREADABLE)
    if dataset.size and dataset.dtype.itemsize < 1 << 20:
        dataset[tuple(n - 1 for n in dataset.shape)]


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    look_at(0, *map(int, sys.argv[1:]))
