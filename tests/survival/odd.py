"""Reads well-formed files with odd content, drawn by hypothesis.

``python -m tests.survival.odd KIND FILE EXAMPLES`` prints what `tests.survival.mutate` prints. Each
strategy takes a whole file of its kind and changes what that says; its encoding stays right.
"""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import struct
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from loupe_lib.files import SEAL, SEAL_SIZE
from tests.survival.readers import bound_this_process, try_to_read

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "\n",
        "\0",
        "../../up",
        "/tmp/up",
        "[" * 50_000,
        "9" * 5000,
        "NaN",
        "-1",
        "\x1b[2J",
        "1e999",
    ]
)
INTEGERS = st.integers(-3, 40) | st.sampled_from([-(2**63), 2**31, 2**32, 2**62, 10**30])
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=5,
)


def mostly(whole: Any, odd: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """The value of the whole file, eleven times in twelve."""
    return st.integers(0, 11).flatmap(lambda n: odd if n == 11 else st.just(whole))


@st.composite
def config(draw: DrawFn, whole: bytes) -> bytes:
    """JSON with any value under any name."""
    fields = {name: draw(mostly(value, VALUES)) for name, value in json.loads(whole).items()}
    return json.dumps(fields | draw(st.dictionaries(TEXTS, VALUES, max_size=1))).encode()


@st.composite
def listed(draw: DrawFn, whole: bytes) -> bytes:
    """Lines and fields that are missing, repeated or any text."""
    lines = []
    for line in whole.decode().split("\n"):
        fields = [draw(mostly(field, TEXTS)) for field in line.split("\t")]
        fields += draw(mostly([], st.lists(TEXTS, max_size=2)))
        lines += ["\t".join(fields)] * draw(mostly(1, st.integers(0, 2)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def npy(draw: DrawFn, whole: bytes) -> bytes:
    """A header that claims any kind, order, shape and version."""
    array = np.load(io.BytesIO(whole))
    kinds = st.sampled_from(
        ["|O", "<U3", "|V8", "<M8[s]", ">f2", "|b1", "<c8", "f4,f4", ",", "|S0", [("a", "<f4")]]
    )
    header = {
        "descr": draw(mostly(array.dtype.str, kinds | TEXTS)),
        "fortran_order": draw(mostly(False, st.booleans() | TEXTS)),
        "shape": tuple(draw(mostly(n, INTEGERS | TEXTS)) for n in array.shape),
    } | draw(mostly({}, st.dictionaries(TEXTS, VALUES, max_size=1)))
    text = draw(mostly(repr(header), TEXTS)).encode("utf-8", "surrogatepass") + b"\n"
    version = draw(mostly((1, 0), st.sampled_from([(2, 0), (3, 0), (9, 9)])))
    length = draw(mostly(len(text), st.integers(0, 65535))) % 65536
    size = length.to_bytes(2 if version[0] < 2 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text + draw(mostly(array.tobytes(), st.binary()))


@st.composite
def nifti(draw: DrawFn, whole: bytes) -> bytes:
    """A header with any bits in some of its fields."""
    kind = nibabel.nifti1.header_dtype
    content = bytearray(whole)
    for name in draw(st.lists(st.sampled_from(kind.names), min_size=1, max_size=3)):
        field, place = kind.fields[name][:2]
        size = field.itemsize
        extreme = draw(st.sampled_from([0, 1, 127, 128, 255]))
        odd = st.binary(min_size=size, max_size=size) | st.just(bytes([extreme]) * size)
        small = extreme.to_bytes(size, "little")
        content[place : place + size] = draw(odd | st.just(small))
    return bytes(content)


@st.composite
def dicom(draw: DrawFn, whole: bytes) -> bytes:
    """Elements that are missing, repeated, of another kind, or of any value."""
    begin = whole.index(b"DICM") + 4
    content = whole[:begin]
    for tag, kind, value in _elements(whole[begin:]):
        odd = st.binary(max_size=20) | TEXTS.map(lambda t: t[:60_000].encode("utf-8", "replace"))
        value = draw(mostly(value, odd))
        kind = draw(mostly(kind, st.sampled_from([b"US", b"DS", b"IS", b"LO", b"UI", *LONG])))
        if kind in LONG:
            element = tag + kind + b"\0\0" + struct.pack("<I", draw(mostly(len(value), UINT32)))
        else:
            element = tag + kind + struct.pack("<H", len(value) % 65536)
        content += (element + value) * draw(mostly(1, st.integers(0, 2)))
    return content


LONG = (b"OB", b"OW", b"SQ", b"UN")  # kinds whose size takes four bytes, after two zeros
UINT32 = st.sampled_from([0, 0xFFFFFFFF, 0xFFFFFFFE])


def _elements(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Tag, kind and value of each; explicit VR, little-endian (DICOM PS3.5, 7.1.2)."""
    while content:
        tag, kind = content[:4], content[4:6]
        begin, size = (12, content[8:12]) if kind in LONG else (8, content[6:8])
        end = begin + int.from_bytes(size, "little")
        yield tag, kind, content[begin:end]
        content = content[end:]


@st.composite
def safetensors(draw: DrawFn, whole: bytes) -> bytes:
    """Tensors and settings of any kind, size and place, in the version without a check sum."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    metadata = header.pop("__metadata__") | {"format": "loupe-weights 1"}
    metadata["config"] = draw(
        mostly(metadata["config"].encode(), config(metadata["config"]))
    ).decode()
    changed: dict[str, Any] = {}
    for name, about in header.items():
        if draw(mostly(False, st.booleans())):
            odd = {
                "dtype": st.sampled_from(["F64", "I8", "BOOL", "F8_E4M3"]) | TEXTS,
                "shape": st.lists(INTEGERS, max_size=4),
                "data_offsets": st.lists(INTEGERS, min_size=2, max_size=2),
            }
            about = {key: draw(mostly(value, odd[key])) for key, value in about.items()}
        changed |= draw(mostly({name: about}, st.sampled_from([{}, {name + "x": about}])))
    texts = {name: draw(mostly(value, TEXTS)) for name, value in metadata.items()}
    text = json.dumps({"__metadata__": texts, **changed}).encode()
    return len(text).to_bytes(8, "little") + text + whole[end:]


@st.composite
def tar(draw: DrawFn, whole: bytes) -> bytes:
    """Members of any kind, name and size; the check sums of their headers are right."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        (member,) = archive.getmembers()
        data = archive.extractfile(member).read()
    content = b""
    for _ in range(draw(st.integers(0, 3))):
        name = draw(mostly(b"folder/fastmri.h5", TEXTS.map(lambda t: t.encode("utf-8", "replace"))))
        octal = b"%011o\0" % len(data)
        size = draw(
            mostly(
                octal,
                st.sampled_from(
                    [
                        b"-0000000001\0",
                        b"77777777777\0",
                        b"\x80" + b"\xff" * 11,
                        b"\xff" * 12,
                        b"\0" * 12,
                        b"00000000010 ",
                    ]
                ),
            )
        )
        kind = draw(mostly(b"0", st.sampled_from([bytes([b]) for b in b"\x00123456789xgLKSNVMX"])))
        magic = draw(mostly(b"ustar\x0000", st.sampled_from([b"ustar  \0", bytes(8), b"\xff" * 8])))
        header = (
            name[:100].ljust(100, b"\0")
            + b"0000644\0"
            + b"0000000\0" * 2
            + size
            + b"0" * 11
            + b"\0"
        )
        header += b" " * 8 + kind + bytes(100) + magic + bytes(247)
        header = header[:148] + b"%06o\0 " % sum(header[:512]) + header[156:512]
        body = draw(
            mostly(data, st.sampled_from([b"", b"20 path=/etc/passwd\n", b"1000000000 a=b\n"]))
        )
        content += header + body + bytes(-len(body) % 512)
    return content + draw(mostly(bytes(1024), st.just(b"")))


ODD_ARRAYS: tuple[Callable[[], Any], ...] = (
    lambda: 3,
    lambda: -1.5,
    lambda: "text",
    lambda: "line\nbreak",
    lambda: b"\xff\xfe",
    lambda: "9" * 5000,
    lambda: "[" * 50_000,
    lambda: h5py.Empty("f4"),
    lambda: np.float64("nan"),
    lambda: np.zeros(0),
    lambda: np.zeros((2, 0, 3), np.float32),
    lambda: np.full((4, 32, 32), np.nan, np.float32),
    lambda: np.full((4, 32, 32), -np.inf, np.float32),
    lambda: np.ones((3, 2, 32, 32), np.complex64),
    lambda: np.full((4, 32, 32), 65535, np.uint16),
    lambda: np.ones((4, 31, 33), np.uint16),
    lambda: np.ones((1,) * 9, np.int8),
    lambda: np.ones((2, 2), [("r", "<f4"), ("i", "<f4")]),
    lambda: np.array([b"a", b"bb"]),
    lambda: np.array(["a", "b"], h5py.string_dtype()),
    lambda: np.array([1, 2**63], np.uint64),
    lambda: np.void(b"opaque"),
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
            seal = SEAL + hashlib.sha256(content[SEAL_SIZE:]).hexdigest().encode()
            content[:SEAL_SIZE] = seal.ljust(SEAL_SIZE, b"\0")
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
            holder.attrs[key] = draw(st.sampled_from(ODD_ARRAYS))()
        return
    del file[name]
    kind = draw(st.sampled_from(["gone", "array", "array", "array", "group", "link", "claim"]))
    if kind == "array":
        file[name] = draw(st.sampled_from(ODD_ARRAYS))()
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


ODD: dict[str, Callable[[bytes], SearchStrategy[bytes]]] = {
    "results.h5": hdf5(sealed=True),
    "images.h5": hdf5(sealed=True),
    "fastmri.h5": hdf5(sealed=False),
    "stack.h5": hdf5(sealed=False),
    "stack.npy": npy,
    "head.nii": nifti,
    "head.nii.gz": lambda whole: nifti(gzip.decompress(whole)).map(gzip.compress),
    "series.dcm": dicom,
    "weights.safetensors": safetensors,
    "config.json": config,
    "list.tsv": listed,
    "fastmri.tar": tar,
    "fastmri.tar.xz": lambda whole: tar(lzma.decompress(whole)).map(lzma.compress),
}


class Content(bytes):
    """Of a file; hypothesis prints the one that fails, which is the last that was written."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def main() -> None:
    kind, source, examples = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    counts: Counter[str] = Counter()
    path = source.with_name(f"odd-{source.name}")

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(ODD[kind](source.read_bytes()).map(Content))
    def check(content: Content) -> None:
        path.write_bytes(content)
        counts[try_to_read(kind, path)] += 1

    bound_this_process()
    check()
    path.unlink(missing_ok=True)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
