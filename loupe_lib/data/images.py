"""Images for training, validation and test, and the file that holds them.

The file is HDF5, format ``loupe-images`` version 1: a group for each split, with the datasets
``images``, ``volume`` (n,) int64 and ``names``. Magnitude images are (n, N, N) uint16, where a code
of 65535 means 1.0; complex images are (n, 2, N, N) int16, real and imaginary part, where 32767
means 1.0. A complex image is what a scanner measured: its orthonormal FFT is the k-space. The
image is kept and not the k-space, because 16 bits suit the range of its values.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from loupe_lib.data.storage import (
    HDF5_ERRORS,
    check_written,
    digest,
    member,
    open_hdf5,
    read_array,
    writing_hdf5,
)
from loupe_lib.errors import InputError
from loupe_lib.mask import check_size

FORMAT = "loupe-images"
VERSION = 1
SPLITS = ("train", "validation", "test")
# 16 bits keep every value in [0, 1] to 8e-6, below the noise of any scan, in half the bytes of
# float32; float16 would keep 2e-4. Also, no code represents a value outside [0, 1].
FULL_SCALE = 65535
COMPLEX_SCALE = 32767  # 15 bits and a sign for either part: to 2e-5
PIXELS = 1 << 24  # transformed at a time by `mean_power`: 0.3 GB
# A magnitude of 1 may exceed 1 by rounding when it is computed again from its two parts.
ROUNDING = 1e-6


def check_images(array: np.ndarray | Tensor) -> Tensor:
    """Check that an array holds images that the model can take.

    Args:
        array: (n, N, N) numbers in [0, 1], or complex numbers of magnitude at most 1; N a
            multiple of 16, at least 32.

    Returns:
        (n, N, N) float32, or complex64, on the CPU.

    Raises:
        InputError: for anything else, naming the first value that is wrong.
    """
    if isinstance(array, Tensor):
        array = array.numpy(force=True)
    is_stack = array.ndim == 3 and array.shape[1] == array.shape[2] and len(array) > 0
    if array.dtype.kind not in "fiuc" or not is_stack:
        raise InputError(f"images must be numbers (n, N, N); got {array.shape} of {array.dtype}")
    check_size(array.shape[1])
    is_complex = array.dtype.kind == "c"
    allowed = "have magnitudes of at most 1" if is_complex else "lie in [0, 1]"
    for number, image in enumerate(array):  # one at a time: no second array of that size
        values = np.abs(image) if is_complex else image
        right = (values >= 0) & (values <= 1 + ROUNDING * is_complex)  # false for NaN
        if not right.all():
            wrong = values[~right][0]
            raise InputError(f"images must {allowed}; image {number} has a pixel of {wrong:g}")
    kind = np.complex64 if is_complex else np.float32
    return torch.from_numpy(np.require(array, kind, ["C", "W"]))


def centre_crop(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The middle of (..., rows, columns), a view, as fastMRI's ``center_crop``.

    A side that is shorter than in ``shape`` stays as it is.
    """
    rows, columns = (min(n, m) for n, m in zip(x.shape[-2:], shape, strict=True))
    top, left = (x.shape[-2] - rows) // 2, (x.shape[-1] - columns) // 2
    return x[..., top : top + rows, left : left + columns]


@torch.no_grad()
def mean_power(images: Tensor) -> Tensor:
    """Mean power spectrum ``|F x|^2`` of (n, N, N) images: (N, N) float32, centred."""
    total = images.new_zeros(images.shape[1:], dtype=torch.float32)
    for part in images.split(max(1, PIXELS // total.numel())):
        total += torch.fft.fft2(part, norm="ortho").abs().square().sum(0)
    return torch.fft.fftshift(total / len(images))


@dataclass(frozen=True)
class Split:
    """One of train, validation and test. Its tensors are on the CPU.

    Attributes:
        images: (n, N, N) float32 in [0, 1], or complex64 of magnitude at most 1.
        volume: (n,) int64, the number of each slice's volume: from 0 up, slices of one together.
        names: of the volumes (subjects), which differ.

    Raises:
        InputError: at construction, for other images or volumes.
    """

    images: Tensor
    volume: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", check_images(self.images))
        if self.volume.dtype != torch.int64 or self.volume.shape != self.images.shape[:1]:
            raise InputError(
                f"volume must be {len(self.images)} int64 numbers, one an image; "
                f"got {tuple(self.volume.shape)} of {self.volume.dtype}"
            )
        count = len(set(self.names))
        if count < len(self.names) or self.volume.unique_consecutive().tolist() != [*range(count)]:
            raise InputError(
                "volume must count the names up from 0, the slices of each together, and no name "
                "may be there twice"
            )


@dataclass(frozen=True)
class Images:
    """The images of the three splits.

    Attributes:
        train: trains the model.
        validation: chooses the weights and steers the slope.
        test: evaluated once, at the end.
        source: a description, for the record.
        sha256: of the file that they were read from, in hexadecimal; None if they were not.

    Raises:
        InputError: at construction, if sizes or kinds of images differ, or splits share a volume.
    """

    train: Split
    validation: Split
    test: Split
    source: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        splits = self.train, self.validation, self.test
        sizes = sorted({split.images.shape[-1] for split in splits})
        if len(sizes) > 1:
            raise InputError(f"the splits must be of one size; got {' and '.join(map(str, sizes))}")
        if len({split.images.dtype for split in splits}) > 1:
            raise InputError("the splits must be all real or all complex")
        names = [name for split in splits for name in split.names]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"a volume must be in one split; {min(twice)!r} is in two")

    @property
    def size(self) -> int:
        """N, the side of the images."""
        return self.train.images.shape[-1]

    @property
    def is_complex(self) -> bool:
        """Whether these are measured, complex images, not magnitudes."""
        return self.train.images.is_complex()


def is_image_file(path: Path) -> bool:
    """Whether a file is of this format, complete or not: it may be replaced by another."""
    with contextlib.suppress(*HDF5_ERRORS), h5py.File(path, "r") as file:
        return bool(file.attrs.get("format") == FORMAT)
    return False


def write_images(images: Images, path: str | os.PathLike[str]) -> None:
    """Write images to a file, atomically; an old file is replaced, missing folders are made.

    Values are rounded to the nearest of 65536 levels.

    Raises:
        InputError: if the file cannot be written.
    """
    volumes = (
        (name, volume, np.stack([*map(encode, split.images[split.volume == number])]))
        for name, split in zip(SPLITS, (images.train, images.validation, images.test), strict=True)
        for number, volume in enumerate(split.names)
    )
    write_volumes(path, images.source, images.size, images.is_complex, volumes, in_memory=True)


def write_volumes(
    path: str | os.PathLike[str],
    source: str,
    size: int,
    is_complex: bool,
    volumes: Iterable[tuple[str, str, np.ndarray]],
    in_memory: bool = False,
) -> None:
    """Write an image file as :func:`write_images`, with one volume in memory at a time.

    Of each volume, the split, the name (no other has it) and the encoded images are given.

    Raises:
        InputError: if the file cannot be written, or a split has no volume.
    """
    shape = (2, size, size) if is_complex else (size, size)
    slices: dict[str, dict[str, int]] = {name: {} for name in SPLITS}  # of each volume
    with writing_hdf5(path, FORMAT, VERSION, in_memory) as file:
        file.attrs["source"] = source
        for split in SPLITS:
            file.create_dataset(
                f"{split}/images",
                shape=(0, *shape),
                maxshape=(None, *shape),
                dtype=np.int16 if is_complex else np.uint16,
                chunks=(1, *shape),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
                fletcher32=True,
            )
        for split, name, codes in volumes:
            dataset = file[split]["images"]
            dataset.resize(len(dataset) + len(codes), axis=0)
            dataset[-len(codes) :] = codes
            slices[split][name] = len(codes)
        for split, counts in slices.items():
            if not counts:
                raise InputError(f"{split} must have at least one volume; got none")
            file[split]["volume"] = np.repeat(np.arange(len(counts)), list(counts.values()))
            file[split].create_dataset("names", data=list(counts), dtype=h5py.string_dtype())


def encode(image: Tensor) -> np.ndarray:
    """An image (N, N) as the file holds it: (N, N) uint16, or (2, N, N) int16."""
    if not image.is_complex():
        return (image * FULL_SCALE).round().numpy().astype(np.uint16)
    parts = torch.stack([image.real, image.imag]) * COMPLEX_SCALE
    # Rounding to the nearest may raise a magnitude above 1; towards zero it never does.
    codes = parts.round()
    above = codes.square().sum(0) > COMPLEX_SCALE**2
    return torch.where(above, parts.trunc(), codes).numpy().astype(np.int16)


def _decode(codes: np.ndarray) -> Tensor:
    """The inverse of `encode`."""
    if codes.dtype == np.uint16:
        return torch.from_numpy(codes.astype(np.float32) / np.float32(FULL_SCALE))
    parts = torch.from_numpy(codes.astype(np.float32) / np.float32(COMPLEX_SCALE))
    return torch.complex(parts[0], parts[1])


def read_images(path: str | os.PathLike[str]) -> Images:
    """Read a file that `write_images` wrote, or one of the same layout.

    Raises:
        InputError: if the file has another format or version, is truncated, refers to other files,
            or holds images that `Images` refuses.
    """
    hint = "; the commands `data import` and `data fastmri` make image files"
    with open_hdf5(path, FORMAT, VERSION, hint) as file:
        train, validation, test = (_read_split(file, name) for name in SPLITS)
        if "source" not in file.attrs:
            raise InputError("the attribute source, a text about the images, is missing")
        sha256 = digest(path)
        # Many files may have the same text, and results are kept by the source of their images.
        source = f"{file.attrs['source']} (file SHA-256 {sha256})"
        return Images(train, validation, test, source, sha256)


def _read_split(file: h5py.File, name: str) -> Split:
    group = member(file, name, h5py.Group)
    codes, volume, names = (
        member(group, part, h5py.Dataset) for part in ("images", "volume", "names")
    )
    is_real = codes.dtype == np.uint16 and codes.ndim == 3
    is_complex = codes.dtype == np.int16 and codes.ndim == 4 and codes.shape[1] == 2
    if not (is_real or is_complex):
        raise InputError(
            f"{name}/images must be (n, N, N) uint16 or (n, 2, N, N) int16; "
            f"got {codes.shape} {codes.dtype}"
        )
    if volume.dtype != np.int64 or not h5py.check_string_dtype(names.dtype):
        raise InputError(
            f"{name}/volume must be int64, and {name}/names texts; "
            f"got {volume.dtype} and {names.dtype}"
        )
    check_written(codes)
    n, *_, rows, columns = codes.shape
    images = torch.empty(n, rows, columns, dtype=torch.float32 if is_real else torch.complex64)
    for number in range(n):  # one at a time: the paper's images are 1 GB, complex 2 GB
        images[number] = _decode(read_array(codes, number))
    return Split(images, torch.from_numpy(read_array(volume)), tuple(read_array(names.asstr())))
