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
from typing import IO
from xml.etree import ElementTree

import h5py
import numpy as np
from scipy import fft

from loupe_lib.data.images import centre_crop
from loupe_lib.data.storage import check_written, member
from loupe_lib.errors import InputError

KSPACE, STORED = "kspace", "reconstruction_esc"
MAX_SLICES = 4096
MAX_SLICE_BYTES = 128 << 20  # of k-space, all coils; published slices have 33 MB at most
MAX_HEADER_BYTES = 1 << 20  # published headers have 4 KB
MAX_SIDE = 4096


@dataclass(frozen=True)
class Scan:
    """What a file says about itself.

    Attributes:
        acquisition: such as ``CORPD_FBK``, knee, proton density without fat suppression.
        patient: the anonymous name of the patient; empty if the file does not say.
        slices: how many.
        coils: of k-space; 1 also where it has no such axis.
        shape: rows and columns of an image, oversampling removed.
        dataset: what images are made of, k-space or a stored reconstruction.
        slice_bytes: of a slice of that dataset.
    """

    acquisition: str
    patient: str
    slices: int
    coils: int
    shape: tuple[int, int]
    dataset: str
    slice_bytes: int


def read_scan(file: IO[bytes], is_complex: bool = False) -> Scan:
    """Read what a file says about itself, and none of its images.

    Args:
        file: the open file; anything that can seek.
        is_complex: whether complex images are wanted of it.

    Raises:
        InputError: with the reason why there are no images to be had from it.
    """
    with _open(file) as volume:
        return _scan(volume, is_complex)


def read_slices(file: IO[bytes], is_complex: bool = False) -> Iterator[np.ndarray]:
    """Read the images of a file, one at a time.

    A real image is a slice of ``reconstruction_esc`` where there is one; else the magnitude of the
    inverse FFT of ``kspace``, cropped at the centre to the size that the header gives, which
    removes the oversampling of the readout; root of the sum of squares over coils.

    Args:
        file: the open file; anything that can seek.
        is_complex: whether to yield the complex image that was measured instead.

    Yields:
        (rows, columns) float32 or complex64, in the unit of the file.

    Raises:
        InputError: if the file is damaged, or not as published.
    """
    with _open(file) as volume:
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
    with np.errstate(over="ignore", invalid="ignore"):  # whoever takes the image checks its pixels
        for coil in kspace.reshape(-1, *kspace.shape[-2:]):  # one at a time: a third of the memory
            image = fft.ifft2(fft.ifftshift(coil, axes), axes=axes, norm="ortho")
            image = centre_crop(fft.fftshift(image, axes), shape)
            if is_complex:  # there is but one coil
                return image
            power += np.square(np.abs(image))
    return np.sqrt(power)


def _scan(volume: h5py.File, is_complex: bool) -> Scan:
    if _has(volume, "mask"):
        raise InputError("undersampled: a file of a test set")
    acquisition, patient = (_text(volume, name) for name in ("acquisition", "patient_id"))
    name = KSPACE if is_complex or not _has(volume, STORED) else STORED
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


def _has(volume: h5py.File, name: str) -> bool:
    """Whether there is such a name; `in` would follow a link into another file."""
    return volume.get(name, getlink=True) is not None


def _check_stack(dataset: h5py.Dataset, kind: str, dimensions: tuple[int, ...]) -> None:
    """Refuse what is no stack of slices, or would not fit the memory."""
    name, shape = dataset.name.lstrip("/"), dataset.shape
    if dataset.dtype.kind != kind or len(shape or ()) not in dimensions or not all(shape):
        raise InputError(f"{name} is no stack of slices but {shape} of {dataset.dtype}")
    limits = [("slices", shape[0], MAX_SLICES), ("rows or columns", max(shape[-2:]), MAX_SIDE)]
    # What one slice takes to read: HDF5 reads chunks whole.
    for piece in (shape[1:], dataset.chunks or ()):
        limits.append(("bytes a slice", math.prod(piece) * dataset.dtype.itemsize, MAX_SLICE_BYTES))
    for what, found, most in limits:
        if found > most:
            raise InputError(f"{name} has {found} {what}; at most {most} can be read")
    check_written(dataset)


def _recon_size(volume: h5py.File) -> tuple[int, int]:
    """Rows (the readout, x) and columns of the image that the header asks for."""
    header = member(volume, "ismrmrd_header", h5py.Dataset)
    if header.shape != () or max(header.dtype.itemsize, header.nbytes) > MAX_HEADER_BYTES:
        raise InputError("ismrmrd_header must be one text")
    content = header[()]
    if not isinstance(content, bytes | str) or len(content) > MAX_HEADER_BYTES:
        raise InputError("ismrmrd_header must be one text")
    try:
        text = content.decode() if isinstance(content, bytes) else content
        if "<!DOCTYPE" in text:  # where entities are defined, that expand without end or read files
            raise InputError("ismrmrd_header must not define a document type")
        root = ElementTree.fromstring(text)
        path = "{*}encoding/{*}reconSpace/{*}matrixSize/{*}"
        rows, columns = (int(root.findtext(path + axis, "")) for axis in "xy")
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"ismrmrd_header gives no reconSpace: {error}") from error
    if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE):
        raise InputError(f"ismrmrd_header gives a reconSpace of {rows} x {columns}")
    return rows, columns


def _text(volume: h5py.File, name: str) -> str:
    value = volume.attrs.get(name, "")
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise InputError(f"the attribute {name} must be a short text")
    return value


@contextlib.contextmanager
def _open(file: IO[bytes]) -> Iterator[h5py.File]:
    """Open an HDF5 file that nobody vouches for."""
    try:
        with h5py.File(file, "r") as volume:
            yield volume
    except InputError:
        raise
    # What h5py raises for a file that is no HDF5, was cut short or damaged.
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise InputError(f"no whole HDF5 file: {error}") from error
