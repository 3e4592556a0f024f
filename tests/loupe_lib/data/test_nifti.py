"""NIfTI files become volumes, or are refused with the reason."""

from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("pydicom")

from loupe_lib import InputError  # noqa: E402
from loupe_lib.data.formats.nifti import open_nifti  # noqa: E402
from tests.common import flip  # noqa: E402
from tests.loupe_lib.data.medical_files import AFFINE, as_ras, head, write_nifti  # noqa: E402

SHIPPED = Path(nibabel.__file__).parent / "tests" / "data"


def images(path: Path, **settings) -> np.ndarray:
    return np.stack(list(open_nifti(path, **settings).read()))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slices_are_axial_as_on_the_screen(kind, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    kind(as_ras(head())[..., None], AFFINE).to_filename(path)
    stack = open_nifti(path)
    np.testing.assert_array_equal(images(path), head().astype(np.float32))
    assert (stack.kind, stack.patient) == ("NIfTI", "")
    assert (stack.slices, stack.shape, stack.spacing) == (12, (40, 32), (5, 3, 2))
    assert stack.warnings == ()


def test_numbers_are_scaled_to_their_unit(tmp_path):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(as_ras(head()).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.25, 3)
    image.to_filename(path)
    np.testing.assert_array_equal(images(path), head() * np.float32(0.25) + 3)


def test_a_file_of_somebody_else_is_read():
    """An anatomy that nibabel ships, in another orientation, with values below 0."""
    image = nibabel.load(SHIPPED / "anatomical.nii")
    wanted = nibabel.as_closest_canonical(image).get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1]
    np.testing.assert_allclose(images(SHIPPED / "anatomical.nii"), wanted, rtol=1e-6)
    assert wanted.min() < 0


def test_an_orientation_that_the_header_does_not_give_is_a_warning(tmp_path):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(as_ras(head()), None)
    image.to_filename(path)
    assert open_nifti(path).warnings == (
        "no orientation in the header (sform_code and qform_code are 0): "
        "left and right, up and down are a guess",
    )
    image.set_qform(AFFINE)
    image.to_filename(path)
    assert open_nifti(path).warnings == ()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("functional.nii", "17 x 21 x 3 x 20; save one of its volumes as a file of its own"),
        ("example_nifti2.nii.gz", "32 x 20 x 12 x 2; save one of its volumes as a file of its own"),
        ("row_major.dconn.nii", "10 x 10"),
    ],
)
def test_a_file_of_other_dimensions_is_refused(name, shape):
    with pytest.raises(InputError, match=f"{name}: a volume must have three .* got {shape}$"):
        open_nifti(SHIPPED / name)


def test_a_plane_of_an_array_is_refused(tmp_path):
    write_nifti(tmp_path / "a.nii", head())
    with pytest.raises(InputError, match="axis must be one of axial, coronal, sagittal here; got"):
        open_nifti(tmp_path / "a.nii", "0")


def test_an_affine_matrix_without_an_orientation_is_refused(tmp_path):
    image = nibabel.Nifti1Image(as_ras(head()), AFFINE)
    image.set_sform(np.diag([0, 3, 5, 1]), code=1)
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match="affine matrix does not give the orientation"):
        open_nifti(tmp_path / "a.nii")


def test_damage_is_one_line(tmp_path):
    """A bit of each byte of the header, flipped in turn."""
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(np.ones((3, 4, 5), np.int16), AFFINE).to_filename(path)
    whole, refusals = path.read_bytes(), 0
    for place in range(348):
        path.write_bytes(whole)
        flip(path, place)
        try:
            images(path)
        except InputError as error:
            assert str(error).startswith(str(path))
            refusals += 1
    assert 10 < refusals < 340
