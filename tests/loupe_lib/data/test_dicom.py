"""DICOM series and files of many frames become volumes, or are refused with the reason."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")
highdicom = pytest.importorskip("highdicom")

from pydicom.data import get_testdata_file  # noqa: E402

from loupe_lib import InputError  # noqa: E402
from loupe_lib.data.formats.checks import LARGEST  # noqa: E402
from loupe_lib.data.formats.dicom import open_series  # noqa: E402
from loupe_lib.data.formats.nifti import open_nifti  # noqa: E402
from tests.common import cut, flip, refusal  # noqa: E402
from tests.loupe_lib.data.medical_files import (  # noqa: E402
    AFFINE,
    dataset,
    write_enhanced,
    write_series,
)

SLICES = 6
ARRAY = np.random.default_rng(0).integers(0, 500, (5, 7, SLICES))  # (x, y, z)
STACK = ARRAY.transpose(2, 1, 0)  # (slices, rows, columns)


def pixels(path: Path, **settings) -> np.ndarray:
    return np.stack(list(open_series(path, **settings).read()))


def refused(path: Path, **settings) -> str:
    told = refusal(pixels, path, **settings)
    assert told.startswith(str(path))
    return told


def test_slices_lie_in_order_of_their_positions_and_in_their_unit(tmp_path):
    write_series(tmp_path, ARRAY, RescaleSlope=0.5, RescaleIntercept=-3)
    stack = open_series(tmp_path)
    np.testing.assert_array_equal(np.stack(list(stack.read())), STACK * 0.5 - 3)
    assert (stack.kind, stack.patient) == ("DICOM MR", "somebody")
    assert (stack.slices, stack.shape, stack.spacing) == (SLICES, (7, 5), (5.0, 3.0, 2.0))
    assert stack.warnings == ()


def test_frames_of_one_file_have_their_own_position_and_rescale(tmp_path):
    """As scanners write them: stored out of order, each scaled to use all the bits."""
    path = tmp_path / "enhanced"
    order = [3, 0, 5, 1, 4, 2]
    rescale = [(0.25 * (i + 1), 10.0 * i) for i in range(SLICES)]
    write_enhanced(path, ARRAY, order=order, rescale=rescale)
    wanted = np.empty(STACK.shape)
    for z, (slope, intercept) in zip(order, rescale, strict=True):
        wanted[z] = STACK[z] * slope + intercept
    stack = open_series(path)
    np.testing.assert_array_equal(np.stack(list(stack.read())), wanted.astype(np.float32))
    theirs = highdicom.imread(path).get_volume(dtype=np.float32)  # from the other end
    np.testing.assert_array_equal(np.stack(list(stack.read())), theirs.array[::-1])
    assert (stack.slices, stack.shape, stack.spacing) == (SLICES, (7, 5), (5.0, 3.0, 2.0))
    assert stack.warnings == ()


@pytest.mark.parametrize("many_frames", [False, True])
def test_one_echo_is_chosen(many_frames, tmp_path):
    if many_frames:
        both = np.concatenate([ARRAY, ARRAY + 500], axis=2)
        path = tmp_path / "enhanced"
        # The affine matrix of the second half begins again, so positions are written twice.
        write_enhanced(path, ARRAY, order=[*range(SLICES)] * 2, echoes=[2.5] * 6 + [5.0] * 6)
        file = pydicom.dcmread(path)
        file.PixelData = both.transpose(2, 1, 0).astype("<u2").tobytes()
        file.save_as(path)
    else:
        path = tmp_path
        write_series(path, ARRAY, EchoNumbers=1, EchoTime=2.5)
        write_series(path, ARRAY + 500, EchoNumbers=2, EchoTime=5.0)
    np.testing.assert_array_equal(pixels(path, echo=1), STACK)
    np.testing.assert_array_equal(pixels(path, echo=2), STACK + 500)
    told = "choose one echo by --echo: 1, 2.5 ms (6 slices); 2, 5 ms (6 slices)"
    for echo in None, 0, 3:
        assert told in refused(path, echo=echo)


def test_echoes_of_one_number_are_told_apart_by_their_time(tmp_path):
    write_series(tmp_path, ARRAY, EchoNumbers=1, EchoTime=5.0)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / f"long-{path.name}")
    write_series(tmp_path, ARRAY + 500, EchoNumbers=1, EchoTime=2.5)
    np.testing.assert_array_equal(pixels(tmp_path, echo=1), STACK + 500)
    np.testing.assert_array_equal(pixels(tmp_path, echo=2), STACK)
    assert "1, 2.5 ms (6 slices); 2, 5 ms (6 slices)" in refused(tmp_path)


def test_a_copy_of_a_slice_is_named(tmp_path):
    paths = write_series(tmp_path, ARRAY)
    (tmp_path / "IM00-0 (1)").write_bytes(paths[0].read_bytes())
    assert "IM00-0 and IM00-0 (1) lie at one position (0, 0, 0 mm)" in refused(tmp_path)
    assert refused(tmp_path).endswith("not one volume; or one image twice")


def test_one_series_is_chosen(tmp_path):
    write_series(tmp_path, ARRAY, SeriesNumber=3, SeriesDescription="T1w")
    other = {"SeriesInstanceUID": "1.2.2", "SeriesNumber": 7, "EchoNumbers": 3}
    write_series(tmp_path, ARRAY[:, :, :2] + 1, **other)
    (tmp_path / "seg.dcm").write_bytes(Path(get_testdata_file("liver_1frame.dcm")).read_bytes())
    np.testing.assert_array_equal(pixels(tmp_path, series="3"), STACK)
    np.testing.assert_array_equal(pixels(tmp_path, series="T1w"), STACK)
    np.testing.assert_array_equal(pixels(tmp_path, series="1.2.2"), STACK[:2] + 1)
    for series in None, "2":
        told = refused(tmp_path, series=series)
        assert "choose one series by --series: 1, Liver Segmentation, " in told
        assert ", Segmentation Storage (1 file); " in told
        assert "; 3, T1w, 1.2.1, MR Image Storage (6 files); " in told
        assert told.endswith("; 7, 1.2.2, MR Image Storage (2 files)")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("liver_1frame.dcm", "Segmentation Storage"),
        ("rtdose.dcm", "RT Dose Storage"),
        ("rtstruct.dcm", "RT Structure Set Storage"),
        ("test-SR.dcm", "Comprehensive SR Storage"),
        ("SC_rgb_jpeg.dcm", "Secondary Capture Image Storage"),
    ],
)
def test_what_is_no_image_volume_is_refused_by_name(name, what, tmp_path):
    """Alone, and among the slices of a series."""
    path = tmp_path / name
    path.write_bytes(Path(get_testdata_file(name)).read_bytes())
    assert refused(path).endswith(f"{name} is {what}; only MR, CT and PET images can be read")
    write_series(tmp_path, ARRAY)
    assert what in refused(tmp_path)
    np.testing.assert_array_equal(pixels(tmp_path, series="1.2.1"), STACK)


def test_a_file_without_a_class_is_refused():
    path = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / "decimal_rescale.dcm"
    told = "decimal_rescale.dcm does not say what it is (no SOPClassUID); only MR, CT and PET"
    assert told in refused(path)


def test_ct_is_read_alone_and_refused_among_mr(tmp_path):
    path = tmp_path / "CT_small.dcm"
    path.write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    image = pixels(path)
    assert image.shape == (1, 128, 128)
    wanted = pydicom.dcmread(path).pixel_array.astype(np.float32) - 1024
    np.testing.assert_array_equal(image[0], wanted)  # Hounsfield units
    assert open_series(path).warnings == (
        "one slice only; a series of files is imported by its folder",
    )
    write_series(tmp_path, ARRAY)
    assert "CT Image Storage (1 file)" in refused(tmp_path)
    uid = pydicom.dcmread(path).SeriesInstanceUID
    for file in tmp_path.glob("IM*"):
        file.unlink()
    write_series(tmp_path, ARRAY, SeriesInstanceUID=uid)
    assert "CT Image Storage (1 file); 1, " in refused(tmp_path)
    assert refused(tmp_path).endswith("MR Image Storage (6 files)")


def test_a_missing_slice_is_a_warning_with_the_gap(tmp_path):
    paths = write_series(tmp_path, ARRAY)
    paths[3].unlink()
    stack = open_series(tmp_path)
    np.testing.assert_array_equal(np.stack(list(stack.read())), np.delete(STACK, 3, axis=0))
    assert stack.warnings == (
        "a gap of 10 mm between the slices at 10 and 20 mm, where others lie 5 mm apart: "
        "slices are missing",
    )
    assert stack.spacing == (5.0, 3.0, 2.0)


@pytest.mark.parametrize("name", ["0.dcm", "csa_slice_norm.dcm"])
def test_a_mosaic_is_refused(name):
    path = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / name
    assert refused(path).endswith(
        f"{name} is a mosaic, many slices in one picture: convert it with dcm2niix, and import the "
        "NIfTI file"
    )


@pytest.mark.parametrize("component", ["phase", "real", "imaginary"])
def test_what_is_no_magnitude_is_refused_by_name(component, tmp_path):
    code = component[0].upper()
    write_series(tmp_path / "a", ARRAY, ImageType=["ORIGINAL", "PRIMARY", code, "ND"])
    told = f"IM00-0 is a {component} image; only magnitude images can be read"
    assert refused(tmp_path / "a").endswith(told)
    write_enhanced(tmp_path / "b", ARRAY, ComplexImageComponent=component.upper())
    told = f"b, frame 1 is a {component} image; only magnitude images can be read"
    assert refused(tmp_path / "b").endswith(told)


def test_magnitudes_beside_phases_are_chosen_with_a_warning(tmp_path):
    """In a series of files, and in one file whose frames say what each of them is."""
    for name, array in ("M", ARRAY), ("P", ARRAY + 500):
        for path in write_series(tmp_path / "a", array, ImageType=["ORIGINAL", "PRIMARY", name]):
            path.rename(path.with_name(f"{path.name}-{name}"))
    path = tmp_path / "b"
    write_enhanced(path, ARRAY, order=[*range(SLICES)] * 2, ComplexImageComponent="MIXED")
    file = pydicom.dcmread(path)
    file.PixelData = np.concatenate([STACK + 500, STACK]).astype("<u2").tobytes()
    for number, frame in enumerate(file.PerFrameFunctionalGroupsSequence):
        frame.MRImageFrameTypeSequence = [pydicom.Dataset()]
        component = "PHASE" if number < SLICES else "MAGNITUDE"
        frame.MRImageFrameTypeSequence[0].ComplexImageComponent = component
    file.save_as(path)
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(pixels(path), STACK)
        assert open_series(path).warnings == ("6 phase images left out: not magnitudes",)


def change(path: Path, **attributes) -> None:
    file = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(file, name, value)
    file.save_as(path)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
            ": these are not slices of one volume (perhaps a localizer)",
        ),
        ({"ImagePositionPatient": None}, "IM09-0 has no ImagePositionPatient"),
        ({"Rows": 5, "Columns": 7}, "IM09-0 has Rows 5; IM00-0 has 7"),
        (
            {"PhotometricInterpretation": "MONOCHROME1"},
            "must be MONOCHROME2; is MONOCHROME1; convert it first",
        ),
        ({"PhotometricInterpretation": "RGB"}, "must be MONOCHROME2; is RGB"),
        ({"PixelSpacing": [3, 2.5]}, "has PixelSpacing [3.0, 2.5]; IM00-0 has [3.0, 2.0]"),
        ({"PixelData": bytes(20)}, "IM09-0 cannot be read as DICOM (truncated?): "),
    ],
)
def test_slices_that_are_not_of_one_volume_are_refused(attributes, reason, tmp_path):
    paths = write_series(tmp_path, ARRAY)
    change(paths[3], **attributes)
    assert reason in refused(tmp_path)


def test_a_three_plane_localizer_in_one_file_is_refused(tmp_path):
    path = tmp_path / "enhanced"
    write_enhanced(path, ARRAY)
    file = pydicom.dcmread(path)
    groups = file.PerFrameFunctionalGroupsSequence
    groups[4].PlaneOrientationSequence = [pydicom.Dataset()]
    groups[4].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    file.save_as(path)
    told = r"frame 5 has ImageOrientationPatient \[.*\]; enhanced, frame 1 has \[.*\(perhaps a loc"
    assert re.search(told, refused(path))


@pytest.mark.parametrize("frames", [SLICES - 1, SLICES + 1])
def test_frames_without_a_position_and_positions_without_a_frame_are_refused(frames, tmp_path):
    path = tmp_path / "enhanced"
    write_enhanced(path, ARRAY)
    change(path, NumberOfFrames=frames)
    assert f"enhanced has {frames} frames, and gives positions of {SLICES}" in refused(path)


def test_planes_are_the_body_s_in_each_of_48_orientations(tmp_path):
    """Classic files and one file of frames give the images of NIfTI."""
    original = nibabel.Nifti1Image(ARRAY.astype(np.int16), AFFINE)
    wanted = {
        # The columns begin at the right of the patient or anterior, rows anterior or superior.
        "axial": ((5, 3, 2), ARRAY[:, ::-1].transpose(2, 1, 0)[:, :, ::-1]),
        "coronal": ((3, 5, 2), ARRAY.transpose(1, 2, 0)[:, ::-1, ::-1]),
        "sagittal": ((2, 5, 3), ARRAY.transpose(0, 2, 1)[::-1, ::-1, ::-1]),
    }
    every = itertools.product(
        itertools.permutations(range(3)), itertools.product([1, -1], repeat=3)
    )
    for number, order_and_flips in enumerate(every):
        stored = original.as_reoriented(np.transpose(order_and_flips))
        array, affine = np.asarray(stored.dataobj), stored.affine
        stored.to_filename(tmp_path / "a.nii")
        write_series(tmp_path / str(number), array, affine)
        write_enhanced(tmp_path / "enhanced", array, affine)
        for plane, (spacing, slices) in wanted.items():
            for stack in (
                open_nifti(tmp_path / "a.nii", plane),
                open_series(tmp_path / str(number), plane),
                open_series(tmp_path / "enhanced", plane),
            ):
                np.testing.assert_array_equal(np.stack(list(stack.read())), slices)
                assert stack.shape == slices.shape[1:] and stack.slices == len(slices)
                assert stack.spacing == pytest.approx(spacing)


def test_a_volume_too_large_is_refused_by_its_header(tmp_path):
    path = tmp_path / "a.dcm"
    size = {"Rows": 65535, "Columns": 65535, "ImagePositionPatient": [0, 0, 0]}
    dataset(ARRAY[:, :, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **size).save_as(
        path, enforce_file_format=True
    )
    assert f"a volume has {4 * 65535**2} bytes; at most {LARGEST}" in refused(path)


def test_damage_is_one_line(tmp_path):
    """A bit of every seventh byte, flipped in turn; and the file cut short."""
    path = tmp_path / "enhanced"
    write_enhanced(path, ARRAY[:, :, :2])
    whole = path.read_bytes()
    outcomes = []
    for place in range(128, len(whole), 7):
        path.write_bytes(whole)
        flip(path, place)
        try:
            outcomes.append(pixels(path).shape)
        except InputError as error:
            assert str(error).startswith(str(path))
            outcomes.append(InputError)
    assert InputError in outcomes and STACK[:2].shape in outcomes
    path.write_bytes(whole)
    cut(path, 0.95)
    refused(path)
