"""DICOM series, read by pydicom."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.formats.stacks import Stack, check_array, telling, turned, view
from loupe_lib.errors import InputError

DEFLATED = "1.2.840.10008.1.2.1.99"  # transfer syntax that expands without bound
HEADER = [
    *("PatientID", "Modality", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames"),
    *("SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
]


def open_series(path: Path, axis: str | None = None) -> Stack:
    """Open a series as one volume.

    Args:
        path: a folder that holds the files of one series, in any order, and of no other; or one
            file of several frames.
        axis: axial, coronal or sagittal, by the orientation in the headers; without it the
            slices are as they were acquired.

    Raises:
        InputError: if it cannot be read, or is not one series of grey images of one size.
    """
    try:
        import pydicom
        from pydicom.filereader import read_file_meta_info
    except ModuleNotFoundError:
        raise InputError(f"{path}: DICOM needs pydicom: pip install pydicom") from None
    with telling(path, "a DICOM series"):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        headers = []
        for file in files:
            if not file.is_file() or not pydicom.misc.is_dicom(file) or file.name == "DICOMDIR":
                continue
            if read_file_meta_info(file).TransferSyntaxUID == DEFLATED:
                raise InputError(f"{file.name} is deflated as a whole: not supported")
            headers.append(
                (file, pydicom.dcmread(file, stop_before_pixels=True, specific_tags=HEADER))
            )
        if not headers:
            raise InputError("there is no DICOM file in it")
        first = headers[0][1]
        for file, header in headers:
            _check(file, header, first)
        headers = _in_order(headers)
        frames = int(first.get("NumberOfFrames", None) or 1)
        if frames > 1 and len(headers) > 1:
            raise InputError("several files, each of several frames")
        shape = (max(frames, len(headers)), int(first.Rows), int(first.Columns))
        check_array(shape, np.dtype(np.float32))
        order, reverse = [0, 1, 2], [False] * 3
        if axis is not None:
            order, reverse = view(_orientation(headers), axis)
        patient = str(first.get("PatientID", ""))
        kind = f"DICOM {first.get('Modality', '')}".strip()

    def read() -> Iterator[np.ndarray]:
        with telling(path, "a DICOM series"):
            volume = np.empty(shape, np.float32)
            for number, (file, header) in enumerate(headers):
                pixels = pydicom.dcmread(file).pixel_array.astype(np.float32)
                slope, intercept = (
                    float(header.get(name, None) or default)
                    for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
                )
                volume[number : number + (pixels.shape[0] if pixels.ndim == 3 else 1)] = (
                    pixels * slope + intercept
                )
            yield from turned(volume, order, reverse)

    slices, rows, columns = (shape[i] for i in order)
    return Stack(kind, patient, slices, (rows, columns), 4 * int(np.prod(shape)), read)


def _check(file: Path, header: Any, first: Any) -> None:
    """Raise InputError if a file is of another series, or is not a grey image."""
    for name in ("SeriesInstanceUID", "Rows", "Columns"):
        if header.get(name, None) != first.get(name, None):
            raise InputError(
                f"{file.name} is not of the same series: {name} is {header.get(name, 'missing')}, "
                f"not {first.get(name, 'missing')}"
            )
    if header.get("PhotometricInterpretation", None) != "MONOCHROME2":
        found = header.get("PhotometricInterpretation", "missing")
        raise InputError(f"{file.name}: PhotometricInterpretation must be MONOCHROME2; is {found}")


def _in_order(headers: Sequence[tuple[Path, Any]]) -> list[tuple[Path, Any]]:
    """Sorted along the normal of the slices; by number where no position is given."""
    if all("ImagePositionPatient" in h and "ImageOrientationPatient" in h for _, h in headers):
        normal = _normal(headers[0][1])
        return sorted(headers, key=lambda one: float(normal @ _vector(one[1].ImagePositionPatient)))
    if len(headers) > 1 and not all("InstanceNumber" in h for _, h in headers):
        raise InputError("the files give neither the positions of their slices nor their order")
    return sorted(headers, key=lambda one: int(one[1].get("InstanceNumber", None) or 0))


def _vector(values: Any) -> np.ndarray:
    return np.array([float(value) for value in values])


def _normal(header: Any) -> np.ndarray:
    along_rows, along_columns = _vector(header.ImageOrientationPatient).reshape(2, 3)
    return np.cross(along_rows, along_columns)


def _orientation(headers: Sequence[tuple[Path, Any]]) -> np.ndarray:
    """Of slices, rows and columns, as `view` takes it."""
    first = headers[0][1]
    if "ImageOrientationPatient" not in first or "ImagePositionPatient" not in first:
        raise InputError("the files do not give the orientation of the patient; leave the axis out")
    to_the_right, downwards = _vector(first.ImageOrientationPatient).reshape(2, 3)
    found = []
    for direction in (_normal(first), downwards, to_the_right):
        axis = int(np.argmax(np.abs(direction)))
        # DICOM's axes run towards left, posterior and superior.
        sign = np.sign(direction[axis]) * (1 if axis == 2 else -1)
        found.append((axis, sign))
    if sorted(axis for axis, _ in found) != [0, 1, 2]:
        raise InputError("the slices are too oblique to name their plane; leave the axis out")
    return np.array(found)
