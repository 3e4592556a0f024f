"""Images for training, validation and test, and the file that holds them.

The file is HDF5, format ``loupe-images`` version 1: a group for each split, with the datasets
``images`` (n, N, N) uint16 (a code of 65535 means 1.0), ``volume`` (n,) int64 and ``names``.
"""

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from loupe_lib.errors import InputError
from loupe_lib.files import digest, member, open_hdf5, write_file
from loupe_lib.mask import check_size

FORMAT = "loupe-images"
VERSION = 1
SPLITS = ("train", "validation", "test")
# 16 bits keep every value in [0, 1] to 8e-6, below the noise of any scan, in half the bytes of
# float32; float16 would keep 2e-4. And no code stands for a value outside [0, 1].
FULL_SCALE = 65535


def check_images(array: np.ndarray | Tensor | Sequence[np.ndarray]) -> Tensor:
    """Check that an array holds images that the model can take.

    Args:
        array: (n, N, N) numbers in [0, 1]; N a multiple of 16, at least 32.

    Returns:
        (n, N, N) float32 on the CPU.

    Raises:
        InputError: for anything else, naming the first value that is wrong.
    """
    if isinstance(array, Tensor):
        array = array.numpy(force=True)
    elif not isinstance(array, np.ndarray):
        shapes = sorted({np.shape(image) for image in array})
        if len(shapes) > 1:
            raise InputError(f"images must all be of one size; got {_size(shapes)}")
        array = np.asarray(array)
    if not len(array):
        raise InputError("images must be at least one; got none")
    if array.dtype.kind not in "fiu":
        raise InputError(f"images must be real numbers; got {array.dtype}")
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise InputError(f"images must be an array (n, N, N); got {_size([array.shape])}")
    check_size(array.shape[1])
    # NaN fails every comparison, so this one finds it too.
    wrong = ~((array >= 0) & (array <= 1))
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0])
        raise InputError(
            f"images must lie in [0, 1]; image {first[0]} has a pixel of {array[first]:g}"
        )
    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def _size(shapes: Sequence[Sequence[int]]) -> str:
    return " and ".join(" x ".join(map(str, shape)) or "a number" for shape in shapes)


@dataclass(frozen=True)
class Split:
    """One of train, validation and test.

    Attributes:
        images: (n, N, N) float32 in [0, 1], on the CPU.
        volume: (n,) int64, which volume (subject) each slice belongs to. The slices of a volume
            are neighbours, and volumes count up from 0.
        names: name of each volume.

    Raises:
        InputError: at construction, for images that `check_images` refuses, or volumes that do
            not fit them.
    """

    images: Tensor
    volume: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", check_images(self.images))
        counts = list(range(len(self.names)))
        if self.volume.dtype != torch.int64 or self.volume.shape != self.images.shape[:1]:
            raise InputError(
                f"volume must be {len(self.images)} int64 numbers, one an image; "
                f"got {_size([self.volume.shape])} of {self.volume.dtype}"
            )
        if torch.unique_consecutive(self.volume).tolist() != counts:
            raise InputError(
                f"volume must count the {len(counts)} names up from 0, the slices of each together"
            )
        if len(set(self.names)) != len(self.names):
            raise InputError("the names of the volumes must differ")


@dataclass(frozen=True)
class Images:
    """Images of three groups of people.

    Attributes:
        train: trains the model.
        validation: chooses the weights and steers the slope.
        test: measured once, at the end.
        source: what they are, for the record.

    Raises:
        InputError: at construction, if the sizes differ or a volume is in two splits.
    """

    train: Split
    validation: Split
    test: Split
    source: str

    def __post_init__(self) -> None:
        splits = [getattr(self, name) for name in SPLITS]
        sizes = sorted({split.images.shape[1:] for split in splits})
        if len(sizes) > 1:
            raise InputError(f"the splits must be of one size; got {_size(sizes)}")
        names = [name for split in splits for name in split.names]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"a volume must be in one split; {min(twice)!r} is in two")

    @property
    def size(self) -> int:
        """N, the side of the images."""
        return self.train.images.shape[-1]


def write_images(images: Images, path: str | os.PathLike[str]) -> None:
    """Write images to a file, whole or not at all.

    Args:
        images: what to write; values are rounded to the nearest of 65536 levels.
        path: the file; replaced if it is there. Missing folders are made.

    Raises:
        InputError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(format=FORMAT, version=VERSION, source=images.source)
        for name in SPLITS:
            split: Split = getattr(images, name)
            group = file.create_group(name)
            group.create_dataset(
                "images",
                data=(split.images * FULL_SCALE).round().numpy().astype(np.uint16),
                chunks=(1, images.size, images.size),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
                fletcher32=True,
            )
            group["volume"] = split.volume.numpy()
            group.create_dataset("names", data=split.names, dtype=h5py.string_dtype())
    write_file(path, buffer.getbuffer())


def read_images(path: str | os.PathLike[str]) -> Images:
    """Read a file that `write_images` wrote, or one of the same layout.

    Args:
        path: the file.

    Raises:
        InputError: if it is no such file, of another version, cut short, reaches into other
            files, or holds images that `Images` refuses.
    """
    with open_hdf5(path, FORMAT, VERSION) as file:
        splits = {name: _read_split(file, name) for name in SPLITS}
        # The text alone could stand in many files, and results are kept by their source.
        source = f"{file.attrs['source']} (file SHA-256 {digest(path)})"
        return Images(**splits, source=source)


def _read_split(file: h5py.File, name: str) -> Split:
    group = member(file, name, h5py.Group)
    images = member(group, "images", h5py.Dataset)
    if images.dtype != np.uint16 or images.ndim != 3:
        found = f"{_size([images.shape])} {images.dtype}"
        raise InputError(f"{name}/images must be (n, N, N) uint16; got {found}")
    if images.chunks:  # HDF5 fills what was never written with zeros, however much it claims
        chunks = math.prod(-(-n // m) for n, m in zip(images.shape, images.chunks, strict=True))
        lacking = chunks - images.id.get_num_chunks()
        if lacking:
            raise InputError(f"{name}/images lacks {lacking} of its {chunks} chunks")
    volume = member(group, "volume", h5py.Dataset)
    names = member(group, "names", h5py.Dataset).asstr()
    return Split(
        images=torch.from_numpy(images[:].astype(np.float32) / np.float32(FULL_SCALE)),
        volume=torch.from_numpy(volume[:]),
        names=tuple(names[:]),
    )
