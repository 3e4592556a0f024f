"""DICOM: a series of files, or one file of many frames; read by pydicom and highdicom."""

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from loupe_lib.data.formats.checks import check_array, reading
from loupe_lib.data.formats.dicom_frames import Frame, read_frames
from loupe_lib.data.formats.planes import AS_STORED, orientation_of, per_axis
from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

SAME = 1e-3  # mm; slices that lie nearer are at one position
# What the slices of a volume have in common, to a tolerance in pixels, mm and cosines.
COMMON = {"Rows": 0, "Columns": 0, "PixelSpacing": 1e-3, "ImageOrientationPatient": 0.01}
TO_RAS = np.diag([-1, -1, 1, 1])  # DICOM counts towards left, posterior and superior


def open_series(
    path: Path, axis: str | None = None, series: str | None = None, echo: int | None = None
) -> Volume:
    """Open a series as one volume.

    Args:
        path: a folder that holds the files of a series, in any order; or one file.
        axis: axial, coronal or sagittal, by the orientation in the headers; without it the
            slices are as they were acquired.
        series: the number, description or UID of the series, if the folder holds several.
        echo: which echo, if there are several at each position: 1 is the first.

    Raises:
        InputError: if it cannot be read, or is not one volume of grey images of one size.
    """
    with reading(path, "DICOM"):
        frames, affine, notes = _volume(path, series, echo)
        header = frames[0].header
        shape = (len(frames), int(header.Rows), int(header.Columns))
        check_array(shape, np.dtype(np.float32))
        turn = AS_STORED if axis is None else orientation_of(affine, axis)
        slices, *size = per_axis(shape, turn)
        spacing = None
        if "PixelSpacing" in header and len(frames) > 1:
            spacing = per_axis(np.linalg.norm(affine[:3, :3], axis=0), turn)
        kind = f"DICOM {header.get('Modality', '')}".strip()
        patient = str(header.get("PatientID", ""))
        if path.is_file() and len(frames) == 1:
            notes.append("one slice only; a series of files is imported by its folder")
    memory = 4 * math.prod(shape)
    read = functools.partial(_read, path, series, echo, turn)
    return Volume(path, kind, slices, tuple(size), memory, read, patient, spacing, tuple(notes))


def _read(
    path: Path, series: str | None, echo: int | None, turn: np.ndarray
) -> Iterator[np.ndarray]:
    with reading(path, "DICOM"):
        from nibabel import apply_orientation
        from pydicom.pixels.processing import apply_modality_lut
        from pydicom.pixels.utils import iter_pixels

        frames, _, _ = _volume(path, series, echo)
        header = frames[0].header
        volume = np.empty((len(frames), header.Rows, header.Columns), np.float32)
        for file in {frame.file for frame in frames}:
            places = [place for place, frame in enumerate(frames) if frame.file == file]
            pixels = iter_pixels(file, indices=[frames[place].number for place in places])
            try:
                for place, image in zip(places, pixels, strict=True):
                    volume[place] = apply_modality_lut(image, frames[place].header)
            except ValueError as error:
                if "cannot reshape" not in str(error):
                    raise
                lacks = "has fewer pixels than its header says (truncated?)"
                raise InputError(f"{file.name} {lacks}") from error
    yield from apply_orientation(volume, turn)


def _check(frames: Sequence[Frame]) -> None:
    """Raise InputError unless the frames are grey images of one size in parallel planes."""
    first = frames[0]
    for frame in frames:
        if "MOSAIC" in frame.image_type:
            raise InputError(
                f"{frame} is a mosaic: many slices in one picture; convert it with dcm2niix, and "
                "import the NIfTI file"
            )
        colours = frame.header.get("PhotometricInterpretation", "missing")
        if colours != "MONOCHROME2":
            raise InputError(
                f"{frame}: PhotometricInterpretation must be MONOCHROME2; is {colours}; "
                "convert it first"
            )
        for name, tolerance in COMMON.items():
            found, wanted = (f.header.get(name) for f in (frame, first))
            if not np.allclose(found or 0, wanted or 0, atol=tolerance):
                raise InputError(
                    f"{frame} has {name} {found}; {first} has {wanted}: these are not slices of "
                    "one volume (perhaps a localizer)"
                )


def _volume(
    path: Path, series: str | None, echo: int | None
) -> tuple[list[Frame], np.ndarray, list[str]]:
    """The frames in the order in which they lie, their affine matrix, and warnings.

    Raises:
        InputError: if they are not one volume.
    """
    from highdicom.spatial import create_affine_matrix_from_attributes

    frames, warnings = read_frames(path, series, echo)
    _check(frames)
    first = frames[0]
    affine = create_affine_matrix_from_attributes(
        first.numbers("ImagePositionPatient"),
        first.numbers("ImageOrientationPatient"),
        first.numbers("PixelSpacing") if "PixelSpacing" in first.header else (1.0, 1.0),
        index_convention="DR",
        slices_first=True,
        handedness="LEFT_HANDED",  # slices run along the cross product of rows and columns
    )
    normal = affine[:3, 0]
    places = np.array([normal @ frame.numbers("ImagePositionPatient") for frame in frames])
    order = np.argsort(places, kind="stable")
    ordered, places = [frames[i] for i in order], places[order]
    steps = np.diff(places)
    if not len(steps):
        return ordered, TO_RAS @ affine, warnings
    closest = int(np.argmin(steps))
    if steps[closest] < SAME:
        one, two = ordered[closest : closest + 2]
        at = ", ".join(f"{x:g}" for x in one.numbers("ImagePositionPatient"))
        if one.file != two.file and one.header.SOPInstanceUID == two.header.SOPInstanceUID:
            raise InputError(f"{one} and {two} are the same image twice; remove one of them")
        raise InputError(
            f"{one} and {two} lie at one position ({at} mm): they are images of several times, "
            "directions or kinds, not one volume"
        )
    usual = np.sort(steps)[(len(steps) - 1) // 2]
    affine[:3, 0] *= usual
    warnings += [
        f"a gap of {steps[i]:.4g} mm between the slices at {places[i]:.4g} and "
        f"{places[i + 1]:.4g} mm, where others lie {usual:.4g} mm apart: slices are missing"
        for i in np.flatnonzero(steps > 1.5 * usual)
    ]
    return ordered, TO_RAS @ affine, warnings
