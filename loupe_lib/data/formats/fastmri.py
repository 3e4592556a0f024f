"""fastMRI (Zbontar et al. 2018, arXiv 1811.08839), as it is published: a folder, and one file.

A file has the datasets ``kspace`` (slices, [coils,] rows, columns) complex64,
``reconstruction_esc`` and ``reconstruction_rss`` (slices, rows, columns) float32 and
``ismrmrd_header`` (XML), and the attributes ``acquisition``, ``max``, ``norm`` and ``patient_id``.
Files of the test sets are undersampled: they have a dataset ``mask`` and no reconstruction.
"""

import functools
import math
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
from scipy import fft

from loupe_lib.data.formats.checks import reading
from loupe_lib.data.images import FORMAT, centre_crop
from loupe_lib.data.storage import check_written, member
from loupe_lib.data.volumes import Volume, reason_of
from loupe_lib.data.workers import BadFile, read_headers
from loupe_lib.errors import InputError

SUFFIX = ".h5"
ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tgz")
KSPACE, STORED = "kspace", "reconstruction_esc"


def read_folder(
    root: Path, is_complex: bool = False, skip_bad: bool = False
) -> tuple[list[Volume], dict[str, str]]:
    """Read the header of every volume below a folder, or of a single file, in worker processes.

    Args:
        root: the folder; or a single file of it.
        is_complex: whether complex images are wanted.
        skip_bad: whether to go on without files that are damaged, or that end the process that
            reads them.

    Returns:
        The volumes, sorted by name (folder and file), and why other files cannot be used, by name.

    Raises:
        BadFile: if a file is damaged, or ends the process that reads it, without ``skip_bad``.
        InputError: if the folder cannot be read, or holds no such file.
    """
    files = [root] if root.is_file() else _files(root)
    if not files:
        raise InputError(f"{root} holds no {SUFFIX} file")
    headers = read_headers(functools.partial(open_fastmri, is_complex=is_complex), files)
    volumes: dict[str, Volume] = {}
    left_out = {}
    for path, one in headers.items():
        if isinstance(one, BadFile) and not skip_bad:
            raise one
        if isinstance(one, InputError):
            left_out[volume_name(path)] = reason_of(one, path)
        elif one.name in volumes:
            left_out[str(path)] = "the same name as another volume"
        else:
            volumes[one.name] = one
    for name in sorted(volumes):
        if name.startswith("multicoil") and name.replace("multi", "single", 1) in volumes:
            left_out[name] = "its single-coil data are here as well"
            del volumes[name]
    return [volumes[name] for name in sorted(volumes)], left_out


def _files(root: Path) -> list[Path]:
    """The volumes and archives below a folder."""

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    every = [
        Path(folder, name)
        for folder, _, names in os.walk(root, onerror=fail, followlinks=True)
        for name in names
    ]
    return sorted(
        path
        for path in every
        if path.name.endswith((SUFFIX, *ARCHIVES)) and not path.name.startswith(".")
    )


def volume_name(path: Path) -> str:
    """The folder and the file, without suffix: ``singlecoil_train/file1000001``."""
    return "/".join(path.absolute().parts[-2:]).removesuffix(SUFFIX)


def open_fastmri(path: Path, is_complex: bool = False) -> Volume:
    """Open a file as published.

    A real image is a slice of ``reconstruction_esc``. Without that dataset, it is the magnitude of
    the inverse FFT of ``kspace`` (the root sum of squares over coils), cropped at the centre to the
    size in the header, which removes the oversampling of the readout. A complex image is that
    inverse FFT. Slices are float32 or complex64 in the unit of the file. A file that names no
    patient is of a patient of its own.

    Raises:
        BadFile: if it cannot be read; libhdf5 may also crash on a corrupt file.
        InputError: if it has no real, or complex, images.
    """
    if path.name.endswith(ARCHIVES):
        command = f"tar -xf {shlex.quote(str(path))} -C FOLDER"
        raise InputError(f"{path}: an archive: unpack it with {command}")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        source, shape = _source(file, is_complex)
        slices, *coils, _, _ = source.shape
        slice_bytes = source.nbytes // slices
        return Volume(
            path,
            kind=_text(file, "acquisition") or "unknown",
            slices=slices,
            shape=shape,
            memory=slice_bytes + 6 * slice_bytes // math.prod(coils),
            read=functools.partial(_read, path, is_complex),
            patient=_text(file, "patient_id") or volume_name(path),
            name=volume_name(path),
        )


def _read(path: Path, is_complex: bool) -> Iterator[np.ndarray]:
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        source, shape = _source(file, is_complex)
        for stored in source:
            image = _image(stored, shape, is_complex) if stored.dtype.kind == "c" else stored
            yield image.astype(np.complex64 if is_complex else np.float32, copy=False)


def _image(kspace: np.ndarray, shape: tuple[int, int], is_complex: bool) -> np.ndarray:
    """([coils,] rows, columns) k-space, DC in the middle -> (rows, columns) image."""
    coils = kspace.reshape(-1, *kspace.shape[-2:])
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks pixels
        images = (centre_crop(ifft2c(coil), shape) for coil in coils)  # one at a time
        if is_complex:  # there is only one coil
            return next(images)
        return np.sqrt(sum(np.square(np.abs(image)) for image in images))


def ifft2c(y: np.ndarray) -> np.ndarray:
    """k-space to image: (..., rows, columns), orthonormal, centred (both origins in the middle)."""
    axes = (-2, -1)
    return fft.fftshift(fft.ifft2(fft.ifftshift(y, axes), norm="ortho"), axes)


def _source(file: h5py.File, is_complex: bool) -> tuple[h5py.Dataset, tuple[int, int]]:
    """The dataset that gives the images, and their rows and columns, oversampling removed."""
    if file.attrs.get("format") == FORMAT:
        raise InputError("is an image file already")
    if "mask" in file:
        raise InputError("undersampled: a file of a test set")
    if STORED in file and not is_complex:
        stored = member(file, STORED, h5py.Dataset)
        _check_stack(stored, "f", (3,))
        return stored, stored.shape[1:]
    kspace = member(file, KSPACE, h5py.Dataset)
    _check_stack(kspace, "c", (3, 4))
    if is_complex and math.prod(kspace.shape[1:-2]) > 1:
        raise InputError("several coils; complex images are made of single-coil data only")
    rows, columns = _recon_size(file)
    return kspace, (min(rows, kspace.shape[-2]), min(columns, kspace.shape[-1]))


def _check_stack(dataset: h5py.Dataset, kind: str, dimensions: tuple[int, ...]) -> None:
    name, shape = dataset.name.lstrip("/"), dataset.shape or ()
    if dataset.dtype.kind != kind or len(shape) not in dimensions or not all(shape):
        raise InputError(f"{name} must be a stack of slices; got {shape} of {dataset.dtype}")
    check_written(dataset)


def _recon_size(file: h5py.File) -> tuple[int, int]:
    """Rows (the readout, x) and columns of the image that the header asks for."""
    header = member(file, "ismrmrd_header", h5py.Dataset)
    try:
        root = ElementTree.fromstring(header[()])
        path = "{*}encoding/{*}reconSpace/{*}matrixSize/{*}"
        rows, columns = (int(root.findtext(path + axis, "")) for axis in "xy")
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise InputError(f"ismrmrd_header gives no reconSpace: {error}") from error
    return rows, columns


def _text(file: h5py.File, name: str) -> str:
    value = file.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)
