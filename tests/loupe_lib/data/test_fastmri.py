"""One fastMRI file: read as published, whatever else it may be is refused in one line."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_companion.synthetic_fastmri import write_fastmri
from loupe_lib.data.formats.fastmri import open_fastmri
from tests.common import refusal


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
    return np.stack(list(open_fastmri(path, is_complex).read()))


def refused(path: Path, is_complex: bool = False) -> str:
    told = refusal(images, path, is_complex)
    assert told.startswith(str(path))
    return told.removeprefix(str(path)).lstrip(": ")


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
    ("name", "acquisition", "shape"),
    [
        ("single", "CORPD_FBK", (48, 48)),
        ("multi", "CORPD_FBK", (48, 48)),
        ("brain", "AXFLAIR", (80, 66)),
    ],
)
def test_the_header_says_what_is_in_the_file(name, acquisition, shape, files):
    volume = open_fastmri(files[name])
    assert (volume.kind, volume.shape, volume.slices) == (acquisition, shape, 2)
    assert len(volume.patient) == 64
    assert volume.name == f"{files[name].parent.name}/{files[name].stem}"


def test_a_file_without_a_patient_is_of_a_patient_of_its_own(volume):
    with h5py.File(volume, "a") as file:
        del file.attrs["patient_id"]
    assert open_fastmri(volume).patient == f"{volume.parent.name}/file"


def test_a_single_coil_may_have_an_axis_of_its_own(volume):
    before = images(volume, is_complex=True)
    with h5py.File(volume) as file:
        kspace = file["kspace"][:]
    change(volume, kspace=kspace[:, None])
    np.testing.assert_array_equal(images(volume, is_complex=True), before)


def test_files_without_images_say_why(files):
    assert refused(files["test"]) == "undersampled: a file of a test set"
    assert "several coils" in refused(files["multi"], is_complex=True)


HEADERS = "", "<a/>", b"\xff\xfe", "<h><encoding><reconSpace/></encoding></h>", np.arange(3), 3.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        *(({name: None}, f"/{name} is missing") for name in ("kspace", "ismrmrd_header")),
        *(({"ismrmrd_header": h}, "ismrmrd_header gives no reconSpace") for h in HEADERS),
    ],
)
def test_a_missing_dataset_and_a_header_without_a_size_are_named(changed, message, volume):
    change(volume, reconstruction_esc=None, **changed)
    assert refused(volume).startswith(message)


def test_images_in_another_file_are_refused(volume, files):
    change(volume, reconstruction_esc=h5py.ExternalLink(str(files["wide"]), "reconstruction_esc"))
    assert refused(volume) == "reconstruction_esc must be stored in the file itself, not in another"


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "reason"),
    [
        ("reconstruction_esc", (2, 48, 48), "f4", "was never written"),
        ("reconstruction_esc", (2, 48, 48), "i4", "must be a stack of slices"),
        ("reconstruction_esc", (2, 48), "f4", "must be a stack of slices"),
        ("reconstruction_esc", (0, 48, 48), "f4", "must be a stack of slices"),
        ("reconstruction_esc", (), "f4", "must be a stack of slices"),
        ("kspace", (2, 96, 48), "f4", "must be a stack of slices"),
        ("kspace", (2, 1, 1, 96, 48), "c8", "must be a stack of slices"),
    ],
)
def test_other_arrays_are_refused(name, shape, dtype, reason, volume):
    change(volume, reconstruction_esc=None, kspace=None)
    with h5py.File(volume, "a") as file:
        file.create_dataset(name, shape, dtype)
    assert reason in refused(volume)
