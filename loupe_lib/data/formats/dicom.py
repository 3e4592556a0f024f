"""DICOM: a series of files, or one file of many frames; read by pydicom and highdicom."""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.formats.checks import check_array, reading
from loupe_lib.data.formats.planes import AS_STORED, orientation_of, per_axis
from loupe_lib.data.volumes import Volume, count_of
from loupe_lib.errors import InputError

IMAGES = re.compile(
    "(LegacyConverted)?(Enhanced)?(MR|CT|PET)ImageStorage|PositronEmissionTomographyImageStorage"
)
# Functional groups, of a frame or shared, which hold what a file of one frame has at its top.
GROUPS = (
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"),
    *("MREchoSequence", "MRImageFrameTypeSequence", "PixelValueTransformationSequence"),
)
NAMES = ("SeriesNumber", "SeriesDescription", "SeriesInstanceUID")  # that tell series apart
# Values of ComplexImageComponent, in files of many frames, or of ImageType in others.
COMPONENTS = {"P": "phase", "R": "real", "I": "imaginary"}
COMPONENTS |= {name.upper(): name for name in COMPONENTS.values()}
# What the slices of a volume have in common, to a tolerance in pixels, mm and cosines.
COMMON = {"Rows": 0, "Columns": 0, "PixelSpacing": 1e-3, "ImageOrientationPatient": 0.01}
SAME = 1e-3  # mm; slices that lie nearer are at one position
TO_RAS = np.diag([-1, -1, 1, 1])  # DICOM counts towards left, posterior and superior


@dataclass(frozen=True)
class Frame:
    """A slice: its file, its number there from 0, and its header as that of a file of its own."""

    file: Path
    number: int
    header: Any

    def __str__(self) -> str:
        many = self.header.get("NumberOfFrames", None)
        return f"{self.file.name}, frame {self.number + 1}" if many else self.file.name

    def numbers(self, name: str) -> list[float]:
        """The numbers of an attribute; InputError if it is missing."""
        if self.header.get(name) in (None, ""):
            raise InputError(f"{self} has no {name}")
        return [float(number) for number in np.atleast_1d(self.header[name].value)]

    @property
    def echo(self) -> tuple[float, float]:
        """The number and the time in ms of its echo; 0 for what the file does not say."""
        time = self.header.get("EffectiveEchoTime") or self.header.get("EchoTime") or 0
        number = self.numbers("EchoNumbers")[0] if self.header.get("EchoNumbers") else 0.0
        return number, float(time)

    @property
    def types(self) -> list[str]:
        """The values of ImageType."""
        return np.atleast_1d(self.header.get("ImageType") or []).tolist()

    @property
    def component(self) -> str:
        """Phase, real or imaginary; empty for a magnitude, or if the file does not say."""
        named = [self.header.get("ComplexImageComponent", ""), *self.types]
        return next((COMPONENTS[one] for one in named if one in COMPONENTS), "")


def is_dicom(path: Path) -> bool:
    """Whether it is a file of images in DICOM: those of scanners often have no suffix."""
    if not path.is_file() or path.name == "DICOMDIR" or path.name.startswith("."):
        return False
    with reading(path, "DICOM"), open(path, "rb") as file:
        return path.suffix.lower() == ".dcm" or file.read(132)[128:] == b"DICM"


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
        uid = ""
        if path.is_file() and len(frames) == 1:
            notes.append("one slice only; a series of files is imported by its folder")
            uid = str(header.get("SeriesInstanceUID") or "")
        kind = f"DICOM {header.get('Modality', '')}".strip()
        patient = str(header.get("PatientID", ""))
    memory = 4 * math.prod(shape)
    read = functools.partial(_read, path, series, echo, turn)
    return Volume(
        path, kind, slices, tuple(size), memory, read, patient, spacing, tuple(notes), uid
    )


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
            with reading(file, "DICOM (truncated?)"):
                for place, image in zip(places, pixels, strict=True):
                    volume[place] = apply_modality_lut(image, frames[place].header)
        yield from apply_orientation(volume, turn)


def _volume(
    path: Path, series: str | None, echo: int | None
) -> tuple[list[Frame], np.ndarray, list[str]]:
    """The magnitudes of one echo of one series, as they lie, their affine matrix, and warnings."""
    from highdicom.spatial import create_affine_matrix_from_attributes

    frames = _frames(path, series)
    others = [frame for frame in frames if frame.component]
    if len(others) == len(frames):
        kind = others[0].component
        raise InputError(f"{others[0]} is a {kind} image; only magnitude images can be read")
    frames = _one_echo([frame for frame in frames if not frame.component], echo)
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
    frames, places = [frames[i] for i in order], places[order]
    steps = np.diff(places)
    usual = np.sort(steps)[(len(steps) - 1) // 2] if len(steps) else 1.0
    for step, one, two in zip(steps, frames, frames[1:], strict=False):
        if step < SAME:
            at = ", ".join(f"{x:g}" for x in one.numbers("ImagePositionPatient"))
            raise InputError(
                f"{one} and {two} lie at one position ({at} mm): they are images of several times, "
                "directions or kinds, not one volume; or one image twice"
            )
    affine[:3, 0] *= usual
    warnings = [
        f"a gap of {step:.4g} mm between the slices at {below:.4g} and {above:.4g} mm, where "
        f"others lie {usual:.4g} mm apart: slices are missing"
        for step, below, above in zip(steps, places, places[1:], strict=False)
        if step > 1.5 * usual
    ]
    if others:
        kinds = " and ".join(sorted({frame.component for frame in others}))
        left = count_of(len(others), f"{kinds} image")
        warnings.insert(0, f"{left} left out: not magnitudes")
    return frames, TO_RAS @ affine, warnings


def _frames(path: Path, series: str | None) -> list[Frame]:
    """Every frame of one series."""
    from pydicom import Dataset, dcmread
    from pydicom.uid import UID

    every: dict[tuple[str, ...], list[tuple[Path, Any]]] = {}
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if is_dicom(file):
            # By force: the header of a file without the first bytes of DICOM still says what it is.
            header = dcmread(file, stop_before_pixels=True, force=True)
            kind = UID(header.get("SOPClassUID", ""))
            named = tuple(str(header.get(name) or "") for name in NAMES)
            every.setdefault((*named, kind.name), []).append((file, header))
    if not every:
        raise InputError("there is no DICOM file in it; give the folder that holds a series")
    frames = []
    for file, header in _choose("series", "file", every, series):
        kind = UID(header.get("SOPClassUID", ""))
        if not IMAGES.fullmatch(kind.keyword):
            what = f"is {kind.name}" if kind else "does not say what it is (no SOPClassUID)"
            raise InputError(f"{file.name} {what}; only MR, CT and PET images can be read")
        shared = header.get("SharedFunctionalGroupsSequence", ())
        each = header.get("PerFrameFunctionalGroupsSequence", ())
        count = int(header.get("NumberOfFrames", None) or 1)
        if count != (len(each) or 1):
            raise InputError(f"{file.name} has {count} frames, and gives positions of {len(each)}")
        for number, own in enumerate(each or [Dataset()]):
            flat = Dataset()
            flat.update(header)
            for group in (*shared, own):
                for name in GROUPS:
                    flat.update(group[name].value[0] if group.get(name) else {})
            frames.append(Frame(file, number, flat))
    return frames


def _one_echo(frames: list[Frame], echo: int | None) -> list[Frame]:
    groups = {}
    for number, found in enumerate(sorted({frame.echo for frame in frames}), 1):
        names = str(number), f"{found[1]:g} ms" if found[1] else "time unknown"
        groups[names] = [frame for frame in frames if frame.echo == found]
    return _choose("echo", "slice", groups, None if echo is None else str(echo))


def _choose(what: str, noun: str, groups: Mapping[Any, list[Any]], wanted: str | None) -> list[Any]:
    """The group with the wanted one among the names that are its key, or the only group."""
    chosen = [group for names, group in groups.items() if wanted is None or wanted in names]
    if len(chosen) != 1:
        told = [
            f"{', '.join(filter(None, names))} ({count_of(len(group), noun)})"
            for names, group in groups.items()
        ]
        raise InputError(f"choose one {what} by --{what}: {'; '.join(sorted(told))}")
    return chosen[0]


def _check(frames: Sequence[Frame]) -> None:
    """Raise InputError unless the frames are grey images of one size in parallel planes."""
    first = frames[0]
    for frame in frames:
        if "MOSAIC" in frame.types:
            advice = "convert it with dcm2niix, and import the NIfTI file"
            raise InputError(f"{frame} is a mosaic, many slices in one picture: {advice}")
        colours = frame.header.get("PhotometricInterpretation", "missing")
        if colours != "MONOCHROME2":
            must = "PhotometricInterpretation must be MONOCHROME2"
            raise InputError(f"{frame}: {must}; is {colours}; convert it first")
        for name, tolerance in COMMON.items():
            found, wanted = (f.header.get(name) for f in (frame, first))
            if not np.allclose(found or 0, wanted or 0, atol=tolerance):
                raise InputError(
                    f"{frame} has {name} {found}; {first} has {wanted}: these are not slices of "
                    "one volume (perhaps a localizer)"
                )
