"""One fastMRI file: read as published, whatever else it may be is refused in one line."""

import io
import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_lib import InputError
from loupe_lib.data.fastmri import read_scan, read_slices
from loupe_lib.data.synthetic_fastmri import write_fastmri
from tests.common import assert_one_line


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A single-coil and a multi-coil knee, a brain that is narrower, and a test file."""
    folder = tmp_path_factory.mktemp("files")
    single = write_fastmri(folder / "single", 3, 0, 1, size=48, slices=2)
    (multi,) = write_fastmri(folder / "multi", 1, 0, 0, size=48, slices=2, coils=3)
    brains = write_fastmri(
        folder / "brain", 3, 0, 0, size=80, slices=2, coils=2, acquisitions=["AXFLAIR"]
    )
    return {"single": single[0], "wide": single[2], "test": single[3], "multi": multi,
            "brain": brains[2]}  # fmt: skip


@pytest.fixture
def volume(files, tmp_path) -> Path:
    path = tmp_path / "file.h5"
    path.write_bytes(files["single"].read_bytes())
    return path


def images(path: Path, is_complex: bool = False) -> np.ndarray:
    with open(path, "rb") as file:
        return np.stack(list(read_slices(file, is_complex)))


def refused(path: Path, is_complex: bool = False) -> str:
    with open(path, "rb") as file, pytest.raises(InputError) as caught:
        read_scan(file, is_complex)
        list(read_slices(file, is_complex))
    assert_one_line(str(caught.value))
    return str(caught.value)


def change(path: Path, **members: object) -> None:
    with h5py.File(path, "a") as file:
        for name, value in members.items():
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value


@pytest.mark.parametrize("name", ["single", "wide", "multi", "brain"])
def test_the_image_made_of_k_space_is_the_stored_reconstruction(name, files, tmp_path):
    path = tmp_path / "file.h5"
    path.write_bytes(files[name].read_bytes())
    kind = "reconstruction_esc" if name in ("single", "wide") else "reconstruction_rss"
    with h5py.File(path) as file:
        wanted, largest, kspace = file[kind][:], file.attrs["max"], file["kspace"].shape
    assert kspace[-2] == 2 * wanted.shape[1]  # the readout is oversampled
    change(path, reconstruction_esc=None, reconstruction_rss=None)
    found = images(path)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * largest)
    assert found.max() == pytest.approx(largest, rel=1e-5)


def test_a_stored_reconstruction_is_taken_as_it_is(volume):
    with h5py.File(volume) as file:
        wanted = file["reconstruction_esc"][:]
    change(volume, kspace=None)
    np.testing.assert_array_equal(images(volume), wanted)


@pytest.mark.parametrize(
    ("name", "acquisition", "coils", "shape"),
    [
        ("single", "CORPD_FBK", 1, (48, 48)),
        ("multi", "CORPD_FBK", 3, (48, 48)),
        ("brain", "AXFLAIR", 2, (80, 66)),
    ],
)
def test_the_header_says_what_is_in_the_file(name, acquisition, coils, shape, files):
    with open(files[name], "rb") as file:
        scan = read_scan(file)
    assert (scan.acquisition, scan.coils, scan.shape) == (acquisition, coils, shape)
    assert scan.slices == 2 and len(scan.patient) == 64


def test_a_complex_image_has_the_magnitude_of_the_reconstruction(volume):
    with h5py.File(volume) as file:
        wanted, largest = file["reconstruction_esc"][:], file.attrs["max"]
    found = images(volume, is_complex=True)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(np.abs(found), wanted, atol=1e-5 * largest)
    assert np.abs(found.imag).max() > 0.1 * largest


def test_a_single_coil_may_have_an_axis_of_its_own(volume):
    before = images(volume, is_complex=True)
    with h5py.File(volume) as file:
        kspace = file["kspace"][:]
    change(volume, kspace=kspace[:, None])
    np.testing.assert_array_equal(images(volume, is_complex=True), before)


def test_files_without_images_say_why(files):
    assert refused(files["test"]) == "undersampled: a file of a test set"
    assert "several coils" in refused(files["multi"], is_complex=True)


@pytest.mark.parametrize("name", ["kspace", "ismrmrd_header"])
def test_a_missing_dataset_is_named(name, volume):
    change(volume, **{name: None, "reconstruction_esc": None})
    assert refused(volume) == f"/{name} is missing"


ENTITIES = """<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<a>&b;</a>"""
FILE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>'
MATRIX = "<matrixSize><x>{}</x><y>48</y></matrixSize>"
ENCODING = f"<h><encoding><reconSpace>{MATRIX}</reconSpace></encoding></h>"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "gives no reconSpace"),
        ("<a/>", "gives no reconSpace"),
        ("<a>" * 100_000, "gives no reconSpace"),
        ("<a" + " b='c'" * 100_000 + "/>", "gives no reconSpace"),
        (b"\xff\xfe<\x00a\x00", "gives no reconSpace"),
        (ENTITIES, "must not define a document type"),
        (FILE, "must not define a document type"),
        (ENTITIES.encode("utf-16"), "gives no reconSpace"),
        (ENCODING.format("-48"), "gives a reconSpace of -48 x 48"),
        (ENCODING.format("1e3"), "gives no reconSpace"),
        (ENCODING.format("9" * 5000), "gives no reconSpace"),
        (ENCODING.format("99999"), "gives a reconSpace of 99999 x 48"),
        (" " * (2 << 20), "must be one text"),
        (np.arange(3), "must be one text"),
        (3.0, "must be one text"),
    ],
)
def test_a_header_that_is_none_is_refused(header, reason, volume):
    if isinstance(header, bytes):
        header = np.void(header) if b"\0" in header else header
    change(volume, ismrmrd_header=header, reconstruction_esc=None)
    message = refused(volume)
    assert "ismrmrd_header" in message and (reason in message or "must be one text" in message)


@pytest.mark.parametrize("name", ["kspace", "reconstruction_esc", "ismrmrd_header", "mask"])
@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "raw file"])
def test_nothing_is_read_from_other_files(kind, name, volume, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file[name] = np.ones((2, 48, 48), np.float32)
    (tmp_path / "raw").write_bytes(bytes(2 * 48 * 48 * 4))
    change(volume, **{name: None, "reconstruction_esc": None})
    with h5py.File(volume, "a") as file:
        if kind == "external link":
            file[name] = h5py.ExternalLink(str(secret), name)
        elif kind == "soft link":
            file[name] = h5py.SoftLink("/reconstruction_rss")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2, 48, 48), np.float32)
            layout[:] = h5py.VirtualSource(str(secret), name, (2, 48, 48))
            file.create_virtual_dataset(name, layout)
        else:
            outside = [(str(tmp_path / "raw"), 0, 2 * 48 * 48 * 4)]
            file.create_dataset(name, (2, 48, 48), np.float32, external=outside)
    message = refused(volume)
    assert "of the file itself" in message or "in the file itself" in message or name == "mask"


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "chunks", "reason"),
    [
        ("reconstruction_esc", (10**9, 48, 48), "f4", (1, 48, 48), "1000000000 slices"),
        ("reconstruction_esc", (2, 10**6, 48), "f4", (1, 48, 48), "1000000 rows or columns"),
        ("reconstruction_esc", (2, 48, 48), "f4", None, "was never written"),
        ("reconstruction_esc", (2, 48, 48), "i4", None, "is no stack of slices"),
        ("reconstruction_esc", (2, 48), "f4", None, "is no stack of slices"),
        ("reconstruction_esc", (0, 48, 48), "f4", None, "is no stack of slices"),
        ("reconstruction_esc", (), "f4", None, "is no stack of slices"),
        ("kspace", (2, 4000, 4000, 48), "c8", (1, 1, 48, 48), "bytes a slice"),
        ("kspace", (4000, 4000, 48), "c8", (4000, 4000, 48), "bytes a slice"),
        ("kspace", (2, 96, 48), "f4", None, "is no stack of slices"),
        ("kspace", (2, 1, 1, 96, 48), "c8", None, "is no stack of slices"),
    ],
)
def test_what_would_not_fit_the_memory_is_refused(name, shape, dtype, chunks, reason, volume):
    change(volume, reconstruction_esc=None, kspace=None)
    with h5py.File(volume, "a") as file:
        file.create_dataset(name, shape, dtype, chunks=chunks)
    assert reason in refused(volume)


@pytest.mark.parametrize("value", ["line\nbreak", "\x1b[2J", "long" * 100, 3.5, np.arange(4)])
@pytest.mark.parametrize("name", ["acquisition", "patient_id"])
def test_attributes_that_are_no_short_text_are_refused(name, value, volume):
    with h5py.File(volume, "a") as file:
        file.attrs[name] = value
    assert refused(volume) == f"the attribute {name} must be a short text"


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.6, 0.99])
def test_a_file_cut_short_is_refused(share, files):
    content = files["single"].read_bytes()
    with pytest.raises(InputError, match="no whole HDF5 file") as caught:
        list(read_slices(io.BytesIO(content[: int(share * len(content))])))
    assert_one_line(str(caught.value))


def test_flipped_bytes_are_an_error_of_ours_or_a_read(files):
    """A hundred of them, in HDF5's own structures, which are at the beginning of the file."""
    content = files["single"].read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for position, bit in zip(rng.integers(0, 4096, 100), itertools.cycle(range(8)), strict=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        try:
            read += len(list(read_slices(io.BytesIO(bytes(damaged)))))
        except InputError as error:
            assert_one_line(str(error))
    assert read
