"""Volumes of other formats become an image file."""

import itertools
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_lib import InputError
from loupe_lib.data import workers
from loupe_lib.data.formats import image_files
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.heads import load_heads
from loupe_lib.data.images import SPLITS, read_images
from loupe_lib.data.importing import Selection, import_files
from tests.common import cut, files_in

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")


def head(name: str = "colin27") -> np.ndarray:
    """(slices upwards, rows from anterior, columns from the right): 12 x 40 x 32, real anatomy."""
    return load_heads()[name].volume[5:65:5, ::4, ::4][:, :40, :32]


def bring(paths, out: Path, **settings):
    selection = settings.pop("selection", Selection((0.4, 0.3, 0.3)))
    return import_files(paths, out, selection, **{"progress": False, **settings})


def three(tmp_path: Path, write, suffix: str) -> list[Path]:
    """Three files of as many people."""
    paths = []
    for name in load_heads():
        paths.append(tmp_path / f"{name}{suffix}")
        write(paths[-1], head(name))
    return paths


def volumes(path: Path) -> dict[str, np.ndarray]:
    """Name of a volume -> its images."""
    images = read_images(path)
    splits = [getattr(images, name) for name in SPLITS]
    return {
        name: split.images[split.volume == number].numpy()
        for split in splits
        for number, name in enumerate(split.names)
    }


def assert_is(found: np.ndarray, wanted: np.ndarray) -> None:
    """The same slices, fitted to the size and divided by their maximum."""
    _, rows, columns = wanted.shape
    top, left = (found.shape[1] - rows) // 2, (found.shape[2] - columns) // 2
    middle = found[:, top : top + rows, left : left + columns]
    np.testing.assert_allclose(middle, wanted / wanted.max(), atol=1e-5)
    assert found.sum() == pytest.approx(middle.sum())


def as_ras(volume: np.ndarray) -> np.ndarray:
    """From slices upwards, rows from anterior, columns from the right, to x, y, z in RAS."""
    return volume[:, ::-1, ::-1].transpose(2, 1, 0)


def write_nifti(path: Path, volume: np.ndarray) -> None:
    nibabel.Nifti1Image(as_ras(volume), np.diag([5, 5, 5, 1])).to_filename(path)


def write_npy(path: Path, volume: np.ndarray) -> None:
    np.save(path, volume)


def write_hdf5(path: Path, volume: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["group/stack"] = volume


def write_dicom(folder: Path, volume: np.ndarray, patient: str = "", series: int = 1) -> None:
    """One file a slice, named in another order than they lie."""
    folder.mkdir()
    for z, pixels in enumerate(volume):
        file = pydicom.dataset.FileDataset(
            str(folder), {}, file_meta=pydicom.dataset.FileMetaDataset(), preamble=bytes(128)
        )
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        file.SOPClassUID = pydicom.uid.MRImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"1.2.{series}.{z + 1}"
        file.SeriesInstanceUID = f"1.2.{series}"
        file.Modality, file.PatientID = "MR", patient or folder.name
        file.Rows, file.Columns = pixels.shape
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 0
        # Towards the left along rows, towards posterior along columns, upwards slice by slice.
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.ImagePositionPatient = [0, 0, 5 * z]
        file.PixelData = pixels.astype("<u2").tobytes()
        file.save_as(folder / f"{(z * 7) % 12:02d}", enforce_file_format=True)


WRITERS = {".nii": write_nifti, ".nii.gz": write_nifti, ".npy": write_npy, ".h5": write_hdf5}


@pytest.mark.parametrize("suffix", [*WRITERS, "-dicom"])
def test_each_file_is_one_volume_divided_by_its_maximum(suffix, tmp_path):
    paths = three(tmp_path, WRITERS.get(suffix, write_dicom), suffix)
    settings = {"dataset": "group/stack"} if suffix == ".h5" else {}
    report = bring(paths, tmp_path / "out.h5", **settings)
    found = volumes(tmp_path / "out.h5")
    assert report.size == 48  # the smallest multiple of 16 that holds 40 rows
    for name, path in zip(load_heads(), paths, strict=True):
        assert_is(found[path.name], head(name))
    assert [len(report.of(split)) for split in SPLITS] == [1, 1, 1]
    assert "| 40 x 32                           | 3       |" in report.to_markdown()


def test_files_of_several_formats_are_taken_together(tmp_path):
    names = list(load_heads())
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.npy", tmp_path / "c"]
    for path, write, name in zip(paths, (write_nifti, write_npy, write_dicom), names, strict=True):
        write(path, head(name))
    report = bring(paths, tmp_path / "out.h5", size=32)
    assert sorted(v.acquisition for v in report.found) == ["DICOM MR", "NIfTI", "npy"]
    for path, name in zip(paths, names, strict=True):
        wanted = head(name)[:, 4:-4]
        assert_is(volumes(tmp_path / "out.h5")[path.name], wanted)


@pytest.mark.parametrize(
    ("plane", "wanted"),
    [
        ("axial", head()),
        ("coronal", head().transpose(1, 0, 2)[::-1, ::-1]),  # from posterior; superior on top
        ("sagittal", head().transpose(2, 0, 1)[:, ::-1]),  # from the right; anterior at the left
    ],
)
def test_planes_are_the_body_s_however_the_array_lies(plane, wanted, tmp_path):
    """All 48 ways to store a volume, by the affine matrix."""
    ras = nibabel.Nifti1Image(as_ras(head()), np.diag([5, 5, 5, 1]))
    paths = []
    for order in itertools.permutations(range(3)):
        for flips in itertools.product([1, -1], repeat=3):
            stored = ras.as_reoriented(np.array(list(zip(order, flips, strict=True))))
            paths.append(tmp_path / f"{len(paths)}.nii")
            stored.to_filename(paths[-1])
    assert len({nibabel.load(path).shape for path in paths}) == 6
    bring(paths, tmp_path / "out.h5", axis=plane)
    found = volumes(tmp_path / "out.h5")
    assert len(found) == 48
    for volume in found.values():
        assert_is(volume, wanted)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes_of_dicom_are_those_of_nifti(plane, tmp_path):
    paths = three(tmp_path, write_dicom, "")
    bring(paths, tmp_path / "dicom.h5", axis=plane)
    bring(three(tmp_path, write_nifti, ".nii"), tmp_path / "nifti.h5", axis=plane)
    nifti = volumes(tmp_path / "nifti.h5")
    for name, found in volumes(tmp_path / "dicom.h5").items():
        np.testing.assert_array_equal(found, nifti[f"{name}.nii"])


@pytest.mark.parametrize("axis", ["0", "1", "2"])
@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_slices_of_arrays_lie_along_the_axis_named(suffix, axis, tmp_path):
    paths = three(tmp_path, WRITERS[suffix], suffix)
    bring(paths, tmp_path / "out.h5", axis=axis, dataset="group/stack")
    for path, name in zip(paths, load_heads(), strict=True):
        wanted = np.moveaxis(head(name), int(axis), 0)
        assert_is(volumes(tmp_path / "out.h5")[path.name], wanted)


def test_scaled_nifti_is_read_in_its_unit(tmp_path):
    paths = three(tmp_path, write_nifti, ".nii")
    for path in paths:
        image = nibabel.load(path)
        values = np.asarray(image.dataobj) * 0.25 + 3.0
        scaled = nibabel.Nifti1Image(values, image.affine)
        scaled.set_data_dtype(np.int16)
        path.unlink()
        scaled.to_filename(path)
    bring(paths, tmp_path / "out.h5")
    found = volumes(tmp_path / "out.h5")["colin27.nii"][:, 4:-4, 8:-8]
    wanted = head() * 0.25 + 3.0
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-4)


def test_the_patient_is_that_of_dicom_or_bids(tmp_path):
    paths = []
    for patient, visit in itertools.product("abc", (1, 2)):
        paths.append(tmp_path / f"visit-{patient}{visit}")
        write_dicom(paths[-1], head(), patient=f"patient {patient}")
        paths.append(tmp_path / f"sub-{patient}_ses-{visit}_T1w.npy")
        write_npy(paths[-1], head())
    report = bring(paths, tmp_path / "out.h5")
    patients = [report.patients(split) for split in SPLITS]
    wanted = {f"patient {p}" for p in "abc"} | {f"sub-{p}" for p in "abc"}
    assert set.union(*patients) == wanted and sum(map(len, patients)) == 6
    assert "patient a" not in (tmp_path / "out.h5").read_bytes().decode("latin1")


def refused(paths, tmp_path: Path, **settings) -> str:
    before = files_in(tmp_path)
    with pytest.raises(InputError) as caught:
        bring(paths, tmp_path / "out.h5", **settings)
    after = files_in(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not (tmp_path / "out.h5").exists()
    return str(caught.value)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_pixels_that_are_no_magnitudes_are_refused(value, tmp_path):
    paths = three(tmp_path, write_npy, ".npy")
    array = head().astype(np.float32)
    array[4, 5, 6] = value
    np.save(paths[1], array)
    message = refused(paths, tmp_path)
    assert message.startswith(f"{paths[1]}: slice 4 has pixels ")
    clipped = "below 0; data import --clip-negative sets them to 0"
    assert message.endswith(clipped if value < 0 else "that are infinite or undefined")


def test_a_volume_without_signal_is_refused(tmp_path):
    paths = three(tmp_path, write_npy, ".npy")
    np.save(paths[2], np.zeros((3, 40, 32)))
    message = refused(paths, tmp_path)
    assert message == f"{paths[2]}: no image: its largest magnitude is 0"


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 4), np.float32), "must have three dimensions; got 3 x 4"),
        (np.zeros((3, 0, 4), np.float32), "must have three dimensions; got 3 x 0 x 4"),
        (np.zeros((3, 4, 4), np.complex64), "must be real numbers; got complex64"),
        (np.array([[["text"]]]), "must be real numbers; got <U4"),
    ],
)
def test_other_arrays_are_refused(array, reason, tmp_path):
    np.save(tmp_path / "a.npy", array)
    assert reason in refused([tmp_path / "a.npy"], tmp_path)


@pytest.mark.parametrize("suffix", [*WRITERS, "-dicom"])
def test_files_cut_short_are_refused(suffix, tmp_path):
    paths = three(tmp_path, WRITERS.get(suffix, write_dicom), suffix)
    cut(paths[1] if paths[1].is_file() else sorted(paths[1].iterdir())[3], 0.5)
    message = refused(paths, tmp_path, dataset="group/stack")
    assert str(paths[1]) in message


def test_a_link_to_another_hdf5_file_is_refused(tmp_path):
    write_hdf5(tmp_path / "other.h5", head())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["stack"] = h5py.ExternalLink("other.h5", "group/stack")
    message = refused([tmp_path / "a.h5"], tmp_path, dataset="stack")
    assert "stack must be stored in the file itself" in message


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_file_that_crashes_hdf5_is_named(tmp_path, monkeypatch):
    """No damage is known that crashes HDF5 on a stack: the reader stands for it."""
    monkeypatch.setattr(image_files, "open_hdf5_stack", lambda *_: os._exit(1))
    monkeypatch.setattr(workers, "START", "fork")  # workers have that reader too
    paths = [*three(tmp_path, write_npy, ".npy"), tmp_path / "stack.h5"]
    write_hdf5(paths[-1], head())
    message = refused(paths, tmp_path, dataset="group/stack")
    assert message.startswith(f"{paths[-1]} ends the process that reads it")


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("a.nii", {"axis": "0"}, "axis must be one of axial, coronal, sagittal here; got '0'"),
        ("a.npy", {"axis": "axial"}, "axis must be one of 0, 1, 2 for an array; got 'axial'"),
        ("a.npy", {"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ("a.h5", {}, "dataset must be named; the file has group"),
        ("a.h5", {"dataset": "group/none"}, "/group/none is missing"),
        ("a.h5", {"dataset": "group"}, "group must be a dataset"),
        ("a.txt", {}, "must be a .nii, .nii.gz, .npy, .h5 or .dcm file"),
        ("none.nii", {}, "No such file"),
        ("empty", {}, "there is no DICOM file in it"),
        ("a.npy", {}, "three splits need three patients; there are 1"),
    ],
)
def test_mistakes_are_one_line(name, settings, reason, tmp_path):
    for suffix, write in WRITERS.items():
        write(tmp_path / f"a{suffix}", head())
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    assert reason in refused([tmp_path / name], tmp_path, **settings)


def test_a_file_given_twice_is_refused(tmp_path):
    paths = three(tmp_path, write_npy, ".npy")
    assert "colin27.npy is given twice" in refused([*paths, paths[0]], tmp_path)


def test_two_series_in_a_folder_are_refused(tmp_path):
    write_dicom(tmp_path / "a", head())
    write_dicom(tmp_path / "b", head(), series=2)
    (tmp_path / "b" / "00").rename(tmp_path / "a" / "99")
    assert "99 is not of the same series: SeriesInstanceUID" in refused([tmp_path / "a"], tmp_path)


@pytest.mark.parametrize(("read", "package"), [(open_nifti, "nibabel"), (open_series, "pydicom")])
def test_a_missing_package_is_one_line(read, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"needs {package}: pip install {package}"):
        read(Path("head"))
