"""The synthetic fastMRI folder, read by fastMRI's own reader and by ISMRMRD's."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_companion.synthetic_fastmri import write_fastmri
from loupe_lib import InputError
from tests.common import files_in, refusal

SIZE, SLICES = 64, 4


@pytest.fixture(scope="module")
def knees(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("knees")
    write_fastmri(folder, train=7, val=2, test=2, size=SIZE, slices=SLICES, seed=5)
    return folder


@pytest.fixture(scope="module")
def brains(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("brains")
    names = ("AXT2", "AXFLAIR")
    write_fastmri(folder, 3, 0, 0, size=SIZE, slices=SLICES, coils=5, acquisitions=names)
    return folder


def attributes(folder: Path, name: str) -> list:
    found = []
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            found.append(file.attrs.get(name))
    return found


def test_folders_and_names_are_those_of_fastmri(knees, brains):
    assert [str(path.relative_to(knees)) for path in sorted(knees.rglob("*.h5"))] == [
        *(f"singlecoil_test/file{n}.h5" for n in (1000010, 1000011)),
        *(f"singlecoil_train/file{n}.h5" for n in range(1000001, 1000008)),
        *(f"singlecoil_val/file{n}.h5" for n in (1000008, 1000009)),
    ]
    assert [path.name for path in sorted((brains / "multicoil_train").iterdir())] == [
        "file_brain_AXFLAIR_200_6000002.h5",
        "file_brain_AXT2_200_6000001.h5",
        "file_brain_AXT2_200_6000003.h5",
    ]


def test_a_single_coil_knee_holds_what_a_published_one_does(knees):
    with h5py.File(knees / "singlecoil_train" / "file1000001.h5") as file:
        assert {name: (data.shape, data.dtype) for name, data in file.items()} == {
            "ismrmrd_header": ((), h5py.string_dtype()),
            "kspace": ((SLICES, 128, 74), np.complex64),  # as 640 x 368 for 320 x 320
            "reconstruction_esc": ((SLICES, SIZE, SIZE), np.float32),
            "reconstruction_rss": ((SLICES, SIZE, SIZE), np.float32),
        }
        image = file["reconstruction_esc"][:]
        assert dict(file.attrs) == {
            "acquisition": "CORPD_FBK",
            "max": image.max(),
            "norm": pytest.approx(np.linalg.norm(image)),
            "patient_id": file.attrs["patient_id"],
        }
        assert len(bytes.fromhex(file.attrs["patient_id"])) == 32
        assert 1e-5 < image.max() < 2e-3


def test_the_published_size_is_the_default(tmp_path):
    write_fastmri(tmp_path, 1, 0, 0, slices=1)
    with h5py.File(tmp_path / "singlecoil_train" / "file1000001.h5") as file:
        assert file["kspace"].shape == (1, 640, 368)
        assert file["reconstruction_esc"].shape == (1, 320, 320)


def test_a_multi_coil_brain_has_coils_and_no_single_coil_image(brains):
    shapes = {}
    for path in sorted((brains / "multicoil_train").iterdir()):
        with h5py.File(path) as file:
            assert set(file) == {"ismrmrd_header", "kspace", "reconstruction_rss"}
            assert file.attrs["max"] == file["reconstruction_rss"][:].max()
            shapes[path.stem[-1]] = file["kspace"].shape, file["reconstruction_rss"].shape
    assert shapes["1"] == shapes["2"] == ((SLICES, 5, 128, 64), (SLICES, 64, 64))
    assert shapes["3"] == ((SLICES, 5, 128, 52), (SLICES, 64, 52))  # as 320 x 264


def test_test_files_are_undersampled_and_have_no_reconstruction(knees):
    with h5py.File(knees / "singlecoil_test" / "file1000010.h5") as file:
        assert set(file) == {"ismrmrd_header", "kspace", "mask"}
        assert set(file.attrs) == {"acceleration", "acquisition", "num_low_frequency", "patient_id"}
        mask, y = file["mask"][:], file["kspace"][:]
        middle, low = len(mask) // 2, file.attrs["num_low_frequency"]
        assert mask[middle - low // 2 : middle + low // 2].all()
        assert 2 < len(mask) / mask.sum() < 8
        assert (y[..., ~mask] == 0).all()
        assert not (y[..., middle] == 0).any()


def test_patients_have_one_to_three_volumes_and_are_in_one_folder(knees):
    patients = {
        name: attributes(knees / f"singlecoil_{name}", "patient_id")
        for name in ("train", "val", "test")
    }
    train = patients["train"]
    assert [train.index(patient) for patient in train] == [0, 0, 0, 3, 4, 4, 6]
    groups = [set(group) for group in patients.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 4 + 1 + 1
    assert attributes(knees / "singlecoil_train", "acquisition")[:3] == [
        "CORPD_FBK",
        "CORPDFS_FBK",
        "CORPD_FBK",
    ]


def test_a_seed_gives_the_same_bytes_and_another_seed_other_people(knees, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    write_fastmri(again, train=7, val=2, test=2, size=SIZE, slices=SLICES, seed=5)
    write_fastmri(other, train=7, val=2, test=2, size=SIZE, slices=SLICES, seed=6)
    first, second, third = (
        {name: content for name, (_, content) in files_in(folder).items()}
        for folder in (knees, again, other)
    )
    assert first == second
    assert not set(first.values()) & set(third.values())
    assert not set(attributes(knees, "patient_id")) & set(attributes(other, "patient_id"))


@pytest.mark.parametrize("challenge", ["singlecoil", "multicoil"])
def test_fastmri_reads_it_and_reconstructs_what_is_stored(challenge, knees, brains):
    fastmri = pytest.importorskip("fastmri")
    from fastmri.data.mri_data import SliceDataset
    from fastmri.data.transforms import center_crop, to_tensor

    folder = knees if challenge == "singlecoil" else brains
    count = 0
    for kind in [path.name for path in folder.iterdir()]:
        for y, mask, target, attrs, name, z in SliceDataset(folder / kind, challenge):
            count += 1
            if kind == "singlecoil_test":
                assert target is None and mask.shape == y.shape[-1:]
                continue
            assert mask is None
            image = fastmri.complex_abs(fastmri.ifft2c(to_tensor(y)))
            image = center_crop(image, attrs["recon_size"][:2])
            if challenge == "multicoil":
                image = fastmri.rss(image)
            error = np.abs(image.numpy() - target).max()
            assert error < 1e-5 * attrs["max"], (name, z)
            assert attrs["encoding_size"] == (*y.shape[-2:], 1)
            measured = np.flatnonzero(np.abs(y).reshape(-1, y.shape[-1]).max(0))
            assert attrs["padding_left"] == measured[0]
            assert attrs["padding_right"] == measured[-1] + 1
    assert count == sum(1 for _ in folder.rglob("*.h5")) * SLICES


def test_the_header_is_valid_ismrmrd_and_says_what_the_file_is(knees, brains):
    xsd = pytest.importorskip("ismrmrd").xsd
    for folder, position in ((knees, "FFS"), (brains, "HFS")):
        for path in folder.rglob("*.h5"):
            with h5py.File(path) as file:
                header = xsd.CreateFromDocument(file["ismrmrd_header"][()])
                shape = file["kspace"].shape
                recon = [file[name].shape for name in file if name.startswith("reconstruction")]
                acquisition = file.attrs["acquisition"]
            (encoding,) = header.encoding
            matrix, fov = encoding.encodedSpace.matrixSize, encoding.encodedSpace.fieldOfView_mm
            assert (matrix.x, matrix.y, matrix.z) == (*shape[-2:], 1)
            assert (fov.x, fov.y) == pytest.approx((480, shape[-1] * 240 / SIZE))  # 2 x 240 mm
            matrix, fov = encoding.reconSpace.matrixSize, encoding.reconSpace.fieldOfView_mm
            assert (matrix.x, fov.x, fov.y) == pytest.approx((SIZE, 240, matrix.y * 240 / SIZE))
            assert all(size == (SLICES, matrix.x, matrix.y) for size in recon)
            limits = encoding.encodingLimits
            assert limits.slice.maximum == SLICES - 1
            assert 0 < limits.kspace_encoding_step_1.center < limits.kspace_encoding_step_1.maximum
            assert encoding.trajectory.value == "cartesian"
            assert header.measurementInformation.protocolName == acquisition
            assert header.measurementInformation.patientPosition.value == position


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match=r"the folder must be new or empty; .* is not"):
        write_fastmri(tmp_path, 1, 0, 0, size=32, slices=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ({"train": -1}, "train must be a whole number of at least 0; got -1"),
        ({"train": 0}, "train, val and test must be at least one volume together; got none"),
        ({"slices": 0}, "slices must be a whole number of at least 1; got 0"),
        ({"coils": 1}, "coils must be a whole number of at least 2; got 1"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        (
            {"acquisitions": ("T1",)},
            "acquisitions must be of CORPD_FBK, CORPDFS_FBK, AXT2, AXFLAIR; got T1",
        ),
    ],
)
def test_bad_values_are_refused(change, message, tmp_path):
    arguments = {"train": 1, "val": 0, "test": 0, "size": 32, "slices": 1, **change}
    assert refusal(write_fastmri, tmp_path / "new", **arguments) == message
    assert not (tmp_path / "new").exists()
