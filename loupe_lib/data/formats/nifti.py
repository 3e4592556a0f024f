"""NIfTI files, read by nibabel."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.formats.checks import check_array, reading
from loupe_lib.data.formats.planes import orientation_of, per_axis
from loupe_lib.data.volumes import Volume

SUFFIXES = (".nii", ".nii.gz")


def open_nifti(path: Path, axis: str | None = None) -> Volume:
    """Open a volume, NIfTI-1 or NIfTI-2.

    Slices lie along the axis axial (the default), coronal or sagittal, by the affine matrix of the
    file; an oblique volume is taken for the nearest.

    Raises:
        InputError: if it cannot be read, or is not a volume of real numbers.
    """
    with reading(path, "NIfTI"):
        import nibabel

        image: Any = nibabel.load(path)
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        kind = image.get_data_dtype()
        check_array(shape, kind)
        orientation = orientation_of(image.affine, axis or "axial")
        slices, *size = per_axis(shape, orientation)
        spacing = per_axis(nibabel.affines.voxel_sizes(image.affine), orientation)
        notes: tuple[str, ...] = ()
        if image.header["sform_code"] == 0 and image.header["qform_code"] == 0:
            notes = (
                "no orientation in the header (sform_code and qform_code are 0): "
                "left and right, up and down are a guess",
            )
    memory = math.prod(shape) * kind.itemsize
    read = functools.partial(_read, path, shape, orientation)
    return Volume(path, "NIfTI", slices, tuple(size), memory, read, "", spacing, notes)


def _read(path: Path, shape: tuple[int, ...], orientation: np.ndarray) -> Iterator[np.ndarray]:
    with reading(path, "NIfTI"):
        import nibabel
        from nibabel.volumeutils import apply_read_scaling

        image: Any = nibabel.load(path)
        stored = image.dataobj
        # As stored: scaled, all of it would be float64.
        volume = stored.get_unscaled().reshape(shape)
        for part in nibabel.apply_orientation(volume, orientation):
            yield apply_read_scaling(part, stored.slope, stored.inter).astype(np.float32)
