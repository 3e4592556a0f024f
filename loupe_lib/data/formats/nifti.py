"""NIfTI files, read by nibabel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loupe_lib.data.formats.planes import orientation_of, per_axis
from loupe_lib.data.formats.stacks import Stack, check_array, telling

SUFFIXES = (".nii", ".nii.gz")


def open_nifti(path: Path, axis: str | None = None) -> Stack:
    """Open a volume, NIfTI-1 or NIfTI-2.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        axis: axial (the default), coronal or sagittal, by the affine matrix of the file; an
            oblique volume is taken for the nearest.

    Raises:
        InputError: if it cannot be read, or is not a volume of real numbers.
    """
    with telling(path, "NIfTI"):
        import nibabel
        from nibabel.volumeutils import apply_read_scaling

        image: Any = nibabel.load(path)
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        check_array(shape, image.get_data_dtype())
        orientation = orientation_of(image.affine, axis or "axial")
        slices, *size = per_axis(shape, orientation)
        spacing = per_axis(nibabel.affines.voxel_sizes(image.affine), orientation)
        notes = []
        if image.header["sform_code"] == 0 and image.header["qform_code"] == 0:
            notes.append(
                "no orientation in the header (sform_code and qform_code are 0): "
                "left and right, up and down are a guess"
            )

    def read() -> Iterator[np.ndarray]:
        with telling(path, "NIfTI"):
            # As stored: scaled, all of it would be float64.
            stored = image.dataobj
            volume = stored.get_unscaled().reshape(shape)
            for part in nibabel.apply_orientation(volume, orientation):
                yield apply_read_scaling(part, stored.slope, stored.inter).astype(np.float32)

    memory = int(np.prod(shape)) * image.get_data_dtype().itemsize
    return Stack("NIfTI", "", slices, tuple(size), spacing, tuple(notes), memory, read)
