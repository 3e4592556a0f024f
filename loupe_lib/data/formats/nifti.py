"""NIfTI files, read by nibabel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.formats.stacks import Stack, check_array, telling, turned, view
from loupe_lib.errors import InputError

SUFFIXES = (".nii", ".nii.gz")


def open_nifti(path: Path, axis: str | None = None) -> Stack:
    """Open a volume.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        axis: axial (the default), coronal or sagittal, by the affine matrix of the file; an
            oblique volume is taken for the nearest.

    Raises:
        InputError: if it cannot be read, or is not a volume of real numbers.
    """
    try:
        import nibabel
    except ModuleNotFoundError:
        raise InputError(f"{path}: NIfTI needs nibabel: pip install nibabel") from None
    with telling(path, "NIfTI"):
        with open(path, "rb"):  # a plain reason if the file is missing or must not be read
            pass
        with nibabel.imageglobals.LoggingOutputSuppressor():  # the error says it once
            try:
                image = nibabel.Nifti1Image.from_filename(path)
            except nibabel.filebasedimages.ImageFileError:
                image = nibabel.Nifti2Image.from_filename(path)
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        check_array(shape, image.get_data_dtype())
        orientation = nibabel.io_orientation(image.affine)
        if np.isnan(orientation).any():
            raise InputError("its affine matrix does not give the orientation of the patient")
        order, reverse = view(orientation, axis or "axial")

    def read() -> Iterator[np.ndarray]:
        with telling(path, "NIfTI"):
            # As stored: scaled, all of it would be float64.
            stored: Any = image.dataobj
            volume = np.asarray(stored.get_unscaled()).reshape(shape)
            for part in turned(volume, order, reverse):
                yield (part.astype(np.float64) * stored.slope + stored.inter).astype(np.float32)

    slices, rows, columns = (shape[i] for i in order)
    memory = int(np.prod(shape)) * image.get_data_dtype().itemsize
    return Stack("NIfTI", "", slices, (rows, columns), memory, read)
