"""The frames of a DICOM series, from the headers of its files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.volumes import count_of
from loupe_lib.errors import InputError

IMAGES = re.compile(
    "(LegacyConverted)?(Enhanced)?(MR|CT|PET)ImageStorage|PositronEmissionTomographyImageStorage"
)
# Functional groups, of a frame or shared, which hold what a file of one frame has at its top.
GROUPS = (
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"),
    *("MREchoSequence", "MRImageFrameTypeSequence", "PixelValueTransformationSequence"),
)
NAMES = ("SeriesNumber", "SeriesDescription")  # by which a series is chosen, or by its UID
# Values of ComplexImageComponent, in files of many frames, or of ImageType in others.
COMPONENTS = {"P": "phase", "R": "real", "I": "imaginary"}
COMPONENTS |= {name.upper(): name for name in COMPONENTS.values()}

Files = list[tuple[Path, Any]]  # each with its header


@dataclass(frozen=True)
class Frame:
    """A slice.

    Attributes:
        file: that holds its pixels.
        number: which frame of the file, from 0.
        header: as that of a file of one frame.
    """

    file: Path
    number: int
    header: Any

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
    def image_type(self) -> list[str]:
        """The values of ImageType."""
        return np.atleast_1d(self.header.get("ImageType") or []).tolist()

    @property
    def component(self) -> str:
        """Phase, real or imaginary; empty for a magnitude, or if the file does not say."""
        named = [self.header.get("ComplexImageComponent", ""), *self.image_type]
        return next((COMPONENTS[one] for one in named if one in COMPONENTS), "")

    def __str__(self) -> str:
        many = self.header.get("NumberOfFrames", None)
        return f"{self.file.name}, frame {self.number + 1}" if many else self.file.name


def read_frames(path: Path, series: str | None, echo: int | None) -> tuple[list[Frame], list[str]]:
    """The magnitudes of one echo of one series, in any order, and a warning if others are left out.

    Args:
        path: a DICOM file, or a folder of such files.
        series: the number, description or UID of the series; needed if there are several.
        echo: which echo, from 1; needed if there are several.

    Raises:
        InputError: if they are not magnitude images, or the choice is missing or not there.
    """
    frames = _split(_one_series(_headers(path), series))
    magnitudes = [frame for frame in frames if not frame.component]
    others = [frame for frame in frames if frame.component]
    if not magnitudes:
        raise InputError(
            f"{others[0]} is a {others[0].component} image; only magnitude images can be read"
        )
    kinds = " and ".join(sorted({frame.component for frame in others}))
    warnings = [f"{count_of(len(others), f'{kinds} image')} left out: not magnitudes"]
    return _one_echo(magnitudes, echo), warnings if others else []


def _headers(path: Path) -> Files:
    from pydicom import dcmread
    from pydicom.misc import is_dicom

    found = []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if not file.is_file() or file.name == "DICOMDIR" or file.name.startswith("."):
            continue
        if is_dicom(file) or file.suffix.lower() == ".dcm":
            # By force: the header of a file without the first bytes of DICOM still says what it is.
            found.append((file, dcmread(file, stop_before_pixels=True, force=True)))
    if not found:
        raise InputError("there is no DICOM file in it; give the folder that holds a series")
    return found


def _one_series(files: Files, series: str | None) -> Files:
    every: dict[str, Files] = {}
    for file, header in files:
        every.setdefault(_text(header, "SeriesInstanceUID"), []).append((file, header))
    named = {uid: [_text(files[0][1], name) for name in NAMES] for uid, files in every.items()}
    chosen = [uid for uid in every if series is None or series in (uid, *named[uid])]
    if len(chosen) != 1:
        numbers = [number for number, _ in named.values()]
        told = []
        for uid, (number, description) in named.items():
            name = number if number and numbers.count(number) == 1 else uid
            modality = _text(every[uid][0][1], "Modality")
            told.append(
                f"{name} ({description or 'no description'}, {modality}, {_content(every[uid])})"
            )
        raise InputError(f"choose one series by --series: {'; '.join(sorted(told))}")
    files = every[chosen[0]]
    first = _kind(files[0][1])
    for file, header in files:
        kind = _kind(header)
        if not IMAGES.fullmatch(kind.keyword):
            what = f"is {kind.name}" if kind else "does not say what it is (no SOPClassUID)"
            raise InputError(f"{file.name} {what}; only MR, CT and PET images can be read")
        if kind != first:
            raise InputError(f"{file.name} is {kind.name}; {files[0][0].name} is {first.name}")
    return files


def _kind(header: Any) -> Any:
    from pydicom.uid import UID

    return UID(header.get("SOPClassUID", ""))


def _text(header: Any, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value)


def _content(files: Files) -> str:
    kind = _kind(files[0][1])
    slices = sum(int(header.get("NumberOfFrames", None) or 1) for _, header in files)
    return count_of(slices, "slice") if IMAGES.fullmatch(kind.keyword) else kind.name


def _split(files: Files) -> list[Frame]:
    """Every frame, with its functional groups and the shared ones at the top of its header."""
    from pydicom import Dataset

    frames = []
    for file, header in files:
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
    found = sorted({frame.echo for frame in frames})
    if echo is None and len(found) == 1:
        return frames
    if echo is None or not 1 <= echo <= len(found):
        told = []
        for number, one in enumerate(found, 1):
            theirs = [frame for frame in frames if frame.echo == one]
            time = f"{one[1]:g} ms" if one[1] else "time unknown"
            told.append(f"{number} ({time}, {count_of(len(theirs), 'slice')})")
        raise InputError(f"choose one echo by --echo: {'; '.join(told)}")
    return [frame for frame in frames if frame.echo == found[echo - 1]]
