"""One file of fastMRI (Zbontar et al. 2018, arXiv 1811.08839), as it is published.

Datasets ``kspace`` (slices, [coils,] rows, columns) complex64, ``reconstruction_esc`` and
``reconstruction_rss`` (slices, rows, columns) float32, ``ismrmrd_header`` (XML); attributes
``acquisition``, ``max``, ``norm`` and ``patient_id``. Files of the test sets are undersampled: they
have a dataset ``mask`` and no reconstruction.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
from scipy import fft

from loupe_lib.data.images import centre_crop
from loupe_lib.data.storage import HDF5_ERRORS, check_written, member
from loupe_lib.errors import InputError

KSPACE, STORED = "kspace", "reconstruction_esc"


@dataclass(frozen=True)
class Scan:
    """The header of a file.

    Attributes:
        acquisition: such as ``CORPD_FBK``, knee, proton density without fat suppression.
        patient: the anonymous name of the patient, or empty.
        slices: how many.
        coils: of k-space; 1 also where it has no such axis.
        shape: rows and columns of an image, oversampling removed.
        dataset: the source of the images, k-space or a stored reconstruction.
        slice_bytes: of a slice of that dataset.
    """

    acquisition: str
    patient: str
    slices: int
    coils: int
    shape: tuple[int, int]
    dataset: str
    slice_bytes: int


def read_scan(path: Path, is_complex: bool = False) -> Scan:
    """Read the header of a file, and none of its images.

    Raises:
        InputError: if the file has no real, or complex, images; the message gives the reason.
    """
    with _open(path) as volume:
        return _scan(volume, is_complex)


def read_slices(path: Path, is_complex: bool = False) -> Iterator[np.ndarray]:
    """Read the images of a file, one at a time.

    A real image is a slice of ``reconstruction_esc``. Without that dataset, it is the magnitude of
    the inverse FFT of ``kspace`` (the root sum of squares over coils), cropped at the centre to the
    size in the header, which removes the oversampling of the readout. A complex image is that
    inverse FFT. Worker processes call this function, because libhdf5 may crash on a corrupt file.

    Yields:
        (rows, columns) float32 or complex64, in the unit of the file.

    Raises:
        InputError: if the file is damaged, or not as published.
    """
    with _open(path) as volume:
        scan = _scan(volume, is_complex)
        source = member(volume, scan.dataset, h5py.Dataset)
        for number in range(scan.slices):
            image = source[number]
            if scan.dataset == KSPACE:
                image = _image(image, scan.shape, is_complex)
            yield image.astype(np.complex64 if is_complex else np.float32, copy=False)


def _image(kspace: np.ndarray, shape: tuple[int, int], is_complex: bool) -> np.ndarray:
    """([coils,] rows, columns) k-space, DC in the middle -> (rows, columns) image."""
    axes = (-2, -1)
    power = np.zeros(shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks pixels
        for coil in kspace.reshape(-1, *kspace.shape[-2:]):  # one at a time: a third of the memory
            image = fft.ifft2(fft.ifftshift(coil, axes), axes=axes, norm="ortho")
            image = centre_crop(fft.fftshift(image, axes), shape)
            if is_complex:  # there is only one coil
                return image
            power += np.square(np.abs(image))
    return np.sqrt(power)


def _scan(volume: h5py.File, is_complex: bool) -> Scan:
    if "mask" in volume:
        raise InputError("undersampled: a file of a test set")
    acquisition, patient = (_text(volume, name) for name in ("acquisition", "patient_id"))
    name = KSPACE if is_complex or STORED not in volume else STORED
    source = member(volume, name, h5py.Dataset)
    if name == STORED:
        _check_stack(source, "f", (3,))
        slices, *shape = source.shape
        coils = 1
    else:
        _check_stack(source, "c", (3, 4))
        slices, *coil_axis, rows, columns = source.shape
        coils = math.prod(coil_axis)
        if is_complex and coils > 1:
            raise InputError("several coils, and complex images are those of one")
        shape = [min(a, b) for a, b in zip(_recon_size(volume), (rows, columns), strict=True)]
    slice_bytes = source.nbytes // slices
    return Scan(acquisition, patient, slices, coils, (shape[0], shape[1]), name, slice_bytes)


def _check_stack(dataset: h5py.Dataset, kind: str, dimensions: tuple[int, ...]) -> None:
    """Raise InputError if a dataset is not a stack of slices."""
    name, shape = dataset.name.lstrip("/"), dataset.shape or ()
    if dataset.dtype.kind != kind or len(shape) not in dimensions or not all(shape):
        raise InputError(f"{name} must be a stack of slices; got {shape} of {dataset.dtype}")
    check_written(dataset)


def _recon_size(volume: h5py.File) -> tuple[int, int]:
    """Rows (the readout, x) and columns of the image that the header asks for."""
    header = member(volume, "ismrmrd_header", h5py.Dataset)
    try:
        root = ElementTree.fromstring(header[()])
        path = "{*}encoding/{*}reconSpace/{*}matrixSize/{*}"
        rows, columns = (int(root.findtext(path + axis, "")) for axis in "xy")
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise InputError(f"ismrmrd_header gives no reconSpace: {error}") from error
    return rows, columns


def _text(volume: h5py.File, name: str) -> str:
    value = volume.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as volume:
            yield volume
    except InputError:
        raise
    except HDF5_ERRORS as error:
        raise InputError(f"not a valid HDF5 file (truncated or corrupt): {error}") from error
