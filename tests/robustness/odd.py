"""Reads well-formed files with odd content, drawn by hypothesis.

``python -m tests.robustness.odd KIND FILE EXAMPLES`` prints what `tests.robustness.mutate` prints.
Each strategy takes a whole file of its kind and changes what that says; its encoding stays right.
"""

import gzip
import io
import json
import lzma
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.robustness.odd_hdf5 import hdf5
from tests.robustness.readers import bound_this_process, try_to_read

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "\n", "\0", "../up", "/tmp/up", "[" * 50_000, "9" * 5000, "NaN", "-1", "\x1b[2J", "1e999"]
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
def record(draw: DrawFn, whole: bytes) -> bytes:
    """JSON with any value under any name, in the whole, its plan and its runs."""
    found = json.loads(whole)
    found["runs"] = [draw(odd_fields(run)) for run in found["runs"]]
    found["plan"] = draw(odd_fields(found["plan"]))
    return json.dumps(draw(odd_fields(found))).encode()


def odd_fields(whole: dict[str, Any]) -> SearchStrategy[dict[str, Any]]:
    """The same with a few values changed, missing or more."""
    some = st.dictionaries(st.sampled_from(sorted(whole)) | TEXTS, VALUES, max_size=2)
    lacking = st.sampled_from(sorted(whole)).map(
        lambda name: {key: value for key, value in whole.items() if key != name}
    )
    return mostly(whole, some.map(lambda changes: whole | changes) | lacking)


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
    # Of a few tensors alone: if any is odd, nothing else is looked at.
    for name in draw(st.just(set()) | st.sets(st.sampled_from(sorted(header)), max_size=2)):
        odd = {
            "dtype": st.sampled_from(["F64", "I8", "BOOL", "F8_E4M3"]) | TEXTS,
            "shape": st.lists(INTEGERS, max_size=4),
            "data_offsets": st.lists(INTEGERS, min_size=2, max_size=2),
        }
        about = header.pop(name)
        key = draw(st.sampled_from(sorted(odd)))
        other = {name: about | {key: draw(odd[key])}}
        header |= draw(st.sampled_from([{}, {name + "x": about}, other]))
    texts = {name: draw(mostly(value, TEXTS)) for name, value in metadata.items()}
    text = json.dumps({"__metadata__": texts, **header}).encode()
    return len(text).to_bytes(8, "little") + text + whole[end:]


TAR_FIELDS = {  # offset in the header, and values that it may have (POSIX.1-1988, ustar)
    "name": (0, TEXTS.map(lambda text: text[:25].encode("utf-8", "replace").ljust(100, b"\0"))),
    "size": (124, st.sampled_from([b"-0000000001\0", b"77777777777\0", b"00000000010 ", bytes(12),
                                   b"\x80" + b"\xff" * 11, b"\xff" * 12])),
    "type": (156, st.sampled_from([bytes([code]) for code in b"\x00123456789xgLKSNVMX"])),
    "magic": (257, st.sampled_from([b"ustar  \0", bytes(8), b"\xff" * 8])),
}  # fmt: skip
RECORDS = st.sampled_from([b"", b"20 path=/etc/passwd\n", b"1000000000 a=b\n"])


@st.composite
def tar(draw: DrawFn, whole: bytes) -> bytes:
    """Members of any kind, name and size; the check sums of their headers are right."""
    header, data = whole[:512], whole[512:]
    content = b""
    for _ in range(draw(st.integers(0, 3))):
        changed = bytearray(header)
        for begin, values in TAR_FIELDS.values():
            value = draw(mostly(None, values))
            if value is not None:
                changed[begin : begin + len(value)] = value
        changed[148:156] = b" " * 8
        changed[148:156] = b"%06o\0 " % sum(changed)
        body = draw(mostly(data, RECORDS))
        content += changed + body + bytes(-len(body) % 512)
    return content + draw(mostly(bytes(1024), st.just(b"")))


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
    "beyond.json": record,
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
