"""Writers of small NIfTI and DICOM files, for tests of their readers."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from loupe_lib.data.heads import load_heads

SPACING = (5.0, 3.0, 2.0)  # mm between slices, rows, columns
AFFINE = np.diag([2.0, 3.0, 5.0, 1.0])  # of x, y, z


def head(name: str = "colin27") -> np.ndarray:
    """(slices upwards, rows from anterior, columns from the right): 12 x 40 x 32, real anatomy."""
    return load_heads()[name].volume[5:65:5, ::4, ::4][:, :40, :32]


def as_ras(volume: np.ndarray) -> np.ndarray:
    """From slices upwards, rows from anterior, columns from the right, to x, y, z in RAS."""
    return volume[:, ::-1, ::-1].transpose(2, 1, 0)


def write_nifti(path: Path, volume: np.ndarray) -> None:
    nibabel.Nifti1Image(as_ras(volume), AFFINE).to_filename(path)


def dataset(pixels: np.ndarray, **attributes: object) -> pydicom.Dataset:
    """An MR image of 16 bits; attributes whose value is None are left out."""
    file = pydicom.Dataset()
    every = {
        "SOPClassUID": pydicom.uid.MRImageStorage,
        "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": "1.2.1",
        "SeriesNumber": 1,
        "Modality": "MR",
        "PatientID": "somebody",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": pixels.astype("<u2").tobytes(),
    }
    for name, value in {**every, **attributes}.items():
        if value is not None:
            setattr(file, name, value)
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    return file


def geometry(affine: np.ndarray, slices: int) -> tuple[list[float], list[float], list[list[float]]]:
    """Orientation, spacing and positions of an array (columns, rows, slices), as DICOM says them.

    The affine matrix is that of NIfTI, in RAS.
    """
    lps = np.diag([-1, -1, 1, 1]) @ affine
    right, down = (lps[:3, i] / np.linalg.norm(lps[:3, i]) for i in (0, 1))
    spacing = [float(np.linalg.norm(lps[:3, i])) for i in (1, 0)]
    positions = [(lps[:3, 3] + z * lps[:3, 2]).tolist() for z in range(slices)]
    return [*right.tolist(), *down.tolist()], spacing, positions


def write_series(
    folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, **attributes: object
) -> list[Path]:
    """One file a slice, named in another order than they lie; the array is (x, y, z)."""
    folder.mkdir(exist_ok=True)
    orientation, spacing, positions = geometry(affine, array.shape[2])
    paths = []
    for z, position in enumerate(positions):
        where = {
            "ImageOrientationPatient": orientation,
            "PixelSpacing": spacing,
            "ImagePositionPatient": position,
        }
        paths.append(folder / f"IM{z * 7 % 12:02d}-{attributes.get('EchoNumbers', 0)}")
        file = dataset(array[:, :, z].T, **{**where, **attributes})
        file.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_enhanced(
    path: Path,
    array: np.ndarray,
    affine: np.ndarray = AFFINE,
    order: list[int] | None = None,
    rescale: list[tuple[float, float]] | None = None,
    echoes: list[float] | None = None,
    **attributes: object,
) -> None:
    """One file: frame i is slice ``order[i]`` of the array (x, y, z), with its own rescale."""
    orientation, spacing, positions = geometry(affine, array.shape[2])
    order = order or list(range(array.shape[2]))

    def group(**values: object) -> pydicom.Sequence:
        item = pydicom.Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return pydicom.Sequence([item])

    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=orientation)
    shared.PixelMeasuresSequence = group(PixelSpacing=spacing)
    each = []
    for number, z in enumerate(order):
        frame = pydicom.Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=positions[z])
        slope, intercept = rescale[number] if rescale else (1.0, 0.0)
        frame.PixelValueTransformationSequence = group(
            RescaleSlope=slope, RescaleIntercept=intercept
        )
        if echoes:
            frame.MREchoSequence = group(EffectiveEchoTime=echoes[number])
        each.append(frame)
    file = dataset(
        np.stack([array[:, :, z].T for z in order]),
        SOPClassUID=pydicom.uid.EnhancedMRImageStorage,
        NumberOfFrames=len(order),
        FrameOfReferenceUID="1.2.3",
        DimensionIndexSequence=[],
        SharedFunctionalGroupsSequence=pydicom.Sequence([shared]),
        PerFrameFunctionalGroupsSequence=pydicom.Sequence(each),
        **attributes,
    )
    file.save_as(path, enforce_file_format=True)
