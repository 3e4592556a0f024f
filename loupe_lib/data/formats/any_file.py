"""A file of any format, or a folder of a DICOM series, opened by what it is."""

import re
from pathlib import Path

from loupe_lib.data.formats.arrays import open_array
from loupe_lib.data.formats.checks import reading
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import SUFFIXES as NIFTI
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.volumes import Volume, count_of
from loupe_lib.errors import InputError

HDF5 = (".h5", ".hdf5")
OTHERS = {"NIfTI": NIFTI, "NumPy": (".npy",), "HDF5": HDF5}  # not DICOM
PICTURES = (".png", ".jpg", ".jpeg")
SAVE = (
    "save the slices of each volume as one array (slices, rows, columns) with numpy.save, and give "
    "that .npy file"
)


def open_file(
    path: Path,
    axis: str | None = None,
    dataset: str | None = None,
    series: str | None = None,
    echo: int | None = None,
) -> Volume:
    """Open NIfTI, DICOM, ``.npy`` or HDF5.

    Args:
        path: a file, or a folder of a DICOM series.
        axis: along which the slices lie; see the function of each format.
        dataset: of HDF5 files.
        series: number, description or UID of the series in DICOM folders that hold several.
        echo: which echo of DICOM series that have several, from 1.

    Raises:
        InputError: if it cannot be read, or is not one volume.
    """
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"cannot read {path}: No such file or directory")
    if path.is_dir():
        _check_folder(path)
        return open_series(path, axis, series, echo)
    if name.endswith(NIFTI):
        return open_nifti(path, axis)
    if name.endswith((".npy", *HDF5)):
        return open_array(path, dataset, axis)
    if name.endswith(".dcm") or _is_dicom(path):
        return open_series(path, axis, series, echo)
    if name.endswith(PICTURES):
        raise InputError(f"{path} is a picture: {SAVE}")
    raise InputError(
        f"{path} must be a .nii, .nii.gz, .npy, .h5 or DICOM file, or a folder of a DICOM series"
    )


def _is_dicom(path: Path) -> bool:
    """Whether it begins as DICOM files do: those of scanners often have no suffix."""
    with reading(path, "DICOM"), open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_folder(path: Path) -> None:
    """Raise InputError if a folder holds no DICOM files, but others, at any depth."""
    with reading(path, "a DICOM series"):
        if any(_is_dicom(file) for file in path.iterdir() if file.is_file()):
            return
        every = sorted(file for file in path.rglob("*") if file.is_file())
        for kind, suffixes in OTHERS.items():
            below = [file for file in every if file.name.lower().endswith(suffixes)]
            if below:
                folders = [re.sub("^(sub|ses)-.*", r"\1-*", name) for name in below[0].parent.parts]
                ends = sorted({re.sub(r".*?(\.\w+(\.gz)?)$", r"\1", file.name) for file in below})
                end = ends[0] + "*" * (len(ends) > 1)  # .nii* finds .nii.gz as well
                fastmri = "; `data fastmri` reads a folder of fastMRI" if suffixes == HDF5 else ""
                raise InputError(
                    f"not a DICOM series, but a folder of {count_of(len(below), f'{kind} file')}; "
                    f"give those, such as {Path(*folders) / f'*{end}'}{fastmri}"
                )
        pictures = [file for file in every if file.name.lower().endswith(PICTURES)]
        if pictures:
            found = count_of(len(pictures), f"{pictures[0].suffix} picture")
            raise InputError(f"not a DICOM series, but a folder of {found}: {SAVE}")
