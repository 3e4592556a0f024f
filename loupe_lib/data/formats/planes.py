"""Planes of the body: slices as on a radiologist's screen, by an affine matrix."""

import numpy as np

from loupe_lib.errors import InputError

# The directions in which slices, rows and columns are counted: towards (L)eft or (R)ight,
# (A)nterior or (P)osterior, (S)uperior or (I)nferior.
PLANES = {"axial": "SPL", "coronal": "AIL", "sagittal": "LIP"}
AS_STORED = np.array([[0, 1], [1, 1], [2, 1]])  # an orientation that turns nothing


def orientation_of(affine: np.ndarray, plane: str) -> np.ndarray:
    """How to turn a volume so that slices of a plane (see `PLANES`) lie along the first axis.

    Args:
        affine: (4, 4), from indices of the volume to mm towards right, anterior and superior. An
            oblique volume is taken for the nearest that is not.
        plane: one of axial, coronal and sagittal.

    Returns:
        (3, 2), which axis each one becomes, and -1 if it is reversed: see
        ``nibabel.apply_orientation``.

    Raises:
        InputError: for another plane, or a matrix that is not of three dimensions.
    """
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    if plane not in PLANES:
        raise InputError(f"axis must be one of {', '.join(PLANES)} here; got {plane!r}")
    found = io_orientation(affine)
    if np.isnan(found).any():
        raise InputError("its affine matrix does not give the orientation of the patient")
    return np.asarray(ornt_transform(found, axcodes2ornt(PLANES[plane])))


def per_axis(values: np.ndarray | tuple, orientation: np.ndarray) -> tuple:
    """One value for each axis of a volume, in the order of the axes of the turned volume."""
    return tuple(np.asarray(values)[np.argsort(orientation[:, 0])].tolist())
