"""A file of any format, or a folder of a DICOM series, opened by what it is."""

from pathlib import Path

from loupe_lib.data.formats.arrays import open_array
from loupe_lib.data.formats.checks import reading
from loupe_lib.data.formats.dicom import is_dicom, open_series
from loupe_lib.data.formats.nifti import SUFFIXES as NIFTI
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.volumes import Volume, count_of
from loupe_lib.errors import InputError

HDF5 = (".h5", ".hdf5")
PICTURES = (".png", ".jpg", ".jpeg")
GIVE = "give the files themselves"
SAVE = (
    "save the slices of each volume as one array (slices, rows, columns) with numpy.save, and give "
    "that .npy file"
)
# What a folder may hold instead of DICOM files, and what works then.
OTHERS = {
    "NIfTI file": (NIFTI, GIVE),
    "NumPy file": ((".npy",), GIVE),
    "HDF5 file": (HDF5, f"{GIVE}, or read a folder of fastMRI by `data fastmri`"),
    "picture": (PICTURES, SAVE),
}


def open_file(
    path: Path,
    axis: str | None = None,
    dataset: str | None = None,
    series: str | None = None,
    echo: int | None = None,
) -> Volume:
    """Open NIfTI, DICOM, ``.npy`` or HDF5 by the function of its format, which see.

    Raises:
        InputError: if it cannot be read, or is not one volume.
    """
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"cannot read {path}: No such file or directory")
    if path.is_dir():
        _check_folder(path)
    elif name.endswith(NIFTI):
        return open_nifti(path, axis)
    elif name.endswith((".npy", *HDF5)):
        return open_array(path, dataset, axis)
    elif name.endswith(PICTURES):
        raise InputError(f"{path} is a picture: {SAVE}")
    elif not is_dicom(path):
        raise InputError(
            f"{path} must be a .nii, .nii.gz, .npy, .h5 or DICOM file, or a folder of a DICOM "
            "series"
        )
    return open_series(path, axis, series, echo)


def _check_folder(path: Path) -> None:
    """Raise InputError if a folder holds no DICOM files, but deeper ones or others."""
    with reading(path, "a DICOM series"):
        if any(map(is_dicom, path.iterdir())):
            return
        every = sorted(file for file in path.rglob("*") if file.is_file())
        if deeper := next(filter(is_dicom, every), None):
            pattern = Path(path, *"*" * (len(deeper.relative_to(path).parts) - 1))
            raise InputError(
                f"its DICOM files lie in folders below it, such as {deeper}: give these folders, "
                f"{pattern}/"
            )
        for kind, (suffixes, advice) in OTHERS.items():
            found = [file for file in every if file.name.lower().endswith(suffixes)]
            if found:
                raise InputError(
                    f"not a DICOM series, but a folder of {count_of(len(found), kind)}, such as "
                    f"{found[0]}: {advice}"
                )
