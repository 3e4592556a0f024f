"""Well-formed HDF5 files that hold other things, or claim others, than they should."""

import contextlib
import hashlib
import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from loupe_lib.data.storage import CHECKSUM, CHECKSUM_SIZE

ODD_VALUES: tuple[Any, ...] = (
    3,
    -1.5,
    "text",
    "line\nbreak",
    b"\xff\xfe",
    "9" * 5000,
    "[" * 50_000,
    h5py.Empty("f4"),
    np.float64("nan"),
    np.zeros(0),
    np.zeros((2, 0, 3), np.float32),
    np.full((4, 32, 32), np.nan, np.float32),
    np.full((4, 32, 32), -np.inf, np.float32),
    np.ones((3, 2, 32, 32), np.complex64),
    np.full((4, 32, 32), 65535, np.uint16),
    np.ones((4, 31, 33), np.uint16),
    np.ones((1,) * 9, np.int8),
    np.ones((2, 2), [("r", "<f4"), ("i", "<f4")]),
    np.array([b"a", b"bb"]),
    np.array(["a", "b"], h5py.string_dtype()),
    np.array([1, 2**63], np.uint64),
    np.void(b"opaque"),
)
HUGE = (10**6, 10**6), (2**31, 4, 4), (2**40,), (1, 2**20, 2**20)


def hdf5(sealed: bool) -> Callable[[bytes], SearchStrategy[bytes]]:
    """Datasets, groups, links and attributes that are missing, or others than they should be."""

    @st.composite
    def strategy(draw: DrawFn, whole: bytes) -> bytes:
        disk = io.BytesIO(whole)
        with h5py.File(disk, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            for _ in range(draw(st.integers(1, 3))):
                name = draw(st.sampled_from(names))
                # A change before this one may have cut the way to it.
                with contextlib.suppress(KeyError, RuntimeError):
                    _change(draw, file, name)
        content = bytearray(disk.getvalue())
        if sealed:
            seal = CHECKSUM + hashlib.sha256(content[CHECKSUM_SIZE:]).hexdigest().encode()
            content[:CHECKSUM_SIZE] = seal.ljust(CHECKSUM_SIZE, b"\0")
        return bytes(content)

    return strategy


def _change(draw: DrawFn, file: h5py.File, name: str) -> None:
    place = file[name]
    attributes = [(file, key) for key in file.attrs] + [(place, key) for key in place.attrs]
    if attributes and draw(st.booleans()):
        holder, key = draw(st.sampled_from(attributes))
        if draw(st.booleans()):
            del holder.attrs[key]
        else:
            holder.attrs[key] = draw(st.sampled_from(ODD_VALUES))
        return
    del file[name]
    kind = draw(st.sampled_from(["gone", "array", "array", "array", "group", "link", "claim"]))
    if kind == "array":
        file[name] = draw(st.sampled_from(ODD_VALUES))
    elif kind == "group":
        file.create_group(name)
    elif kind == "link":
        file[name] = draw(
            st.sampled_from(
                [file["/"], h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/")]
            )
        )
    elif kind == "claim":
        shape = draw(st.sampled_from(HUGE))
        chunks = draw(st.sampled_from([None, (1,) * len(shape)]))
        file.create_dataset(name, shape, draw(st.sampled_from(["f4", "u2", "c8"])), chunks=chunks)
