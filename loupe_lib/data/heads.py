"""A cohort of virtual subjects, drawn from the three real heads that come with the library.

Each subject is one head under a random pose, a smooth deformation, contrast and noise of its own:
one volume of axial slices. Training and validation subjects come from Colin27 and MNI152, test
subjects only from S1, a person never seen in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from loupe_lib.data.images import SPLITS, Images, Split
from loupe_lib.errors import InputError, check_whole
from loupe_lib.mask import check_size

HEADS = ("colin27", "mni152", "s1")
TEST_HEAD = "s1"  # one person, scanned once: the nearest to a patient
# Slices of a subject. The slabs hold 50 to 70 mm of usable height, so that 16 slices lie 3 to 5 mm
# apart, as in a clinical scan: closer slices would be nearly equal.
SLICES = 16
FIELD_OF_VIEW = 240.0  # mm; the longest head, 208 mm, fits at any scale and offset drawn here
BOTTOM, TOP = 10.0, 22.0  # mm of a slab left free, for tilt and above the brain
# Pose and deformation: large enough that two subjects of one head share no pixel grid and no
# fold, small enough that anatomy stays plausible (by eye).
TURN = (10.0, 4.0, 4.0)  # degrees, at most, about the axes z, y, x
SCALE = (0.90, 1.05)  # of each axis
SHIFT = 5.0  # mm, at most, within the slice
CONTROLS = (5, 7, 7)  # control points of the B-spline along z, y, x: 60 mm apart in the slice
BEND = 4.5  # mm, standard deviation of a control point
GAMMA = (0.8, 1.25)  # exponent of the grey levels
# Noise, standard deviation as a fraction of the maximum: that of a clean scan, log-uniform. It
# bounds the PSNR that any reconstruction can reach to 40 dB (0.01) or more, far above the 32 dB
# that the paper reports, so that the mask and not the noise decides. S1 adds its own: 0.014 to
# 0.02 of its maximum a voxel in grey matter (Immerkaer's estimator), while its white matter was
# set to one grey level when it was processed.
NOISE = (0.002, 0.01)


@dataclass(frozen=True)
class Head:
    """One real head above its eyes."""

    # (slices, rows, columns) uint8; slices from bottom to top, row 0 anterior, column 0 the right
    # of the patient.
    volume: np.ndarray
    voxel_mm: float  # side of a voxel
    title: str  # its description and publisher


@cache
def load_heads() -> dict[str, Head]:
    """The three heads that come with the library, by name: colin27, mni152 and s1."""
    asset = resources.files("loupe_lib.data") / "assets" / "heads.h5"
    with asset.open("rb") as stored, h5py.File(stored, "r") as file:
        found = {
            name: Head(data[:], float(data.attrs["voxel_mm"]), str(data.attrs["title"]))
            for name, data in file.items()
        }
    for head in found.values():
        head.volume.flags.writeable = False  # shared by every caller
    return found


def draw_cohort(
    size: int,
    train: int,
    validation: int,
    test: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    test_head: str = TEST_HEAD,
) -> Images:
    """Draw virtual subjects until there are enough slices.

    A subject depends only on the seed, its split, its number within the split and its number of
    slices, so that a larger cohort begins with the whole subjects of a smaller one. All random
    numbers are drawn on the CPU; other devices give the same images to 1e-3.

    Args:
        size: N, the side of the images: a multiple of 16, at least 32.
        train: number of slices for training. Subjects have 16 slices; the last one may have fewer.
        validation: number of slices for validation.
        test: number of slices for the test.
        seed: 0 or more.
        device: where to deform the heads. The images come back to the CPU.
        test_head: the head of the test subjects. Training and validation have the other two.

    Returns:
        Images of (n, N, N) slices in [0, 1], each volume divided by its maximum.

    Raises:
        InputError: for a size, a count or a seed out of range, or another head.
    """
    check_size(size)
    check_whole("seed", seed, at_least=0)
    check_head(test_head)
    counts = dict(zip(SPLITS, (train, validation, test), strict=True))
    for name, count in counts.items():
        check_whole(name, count, at_least=1)
    others = tuple(head for head in HEADS if head != test_head)
    heads = {"train": others, "validation": others, "test": (test_head,)}
    splits = [_split(n, heads[n], size, count, seed, device) for n, count in counts.items()]
    tested = f", tested on {test_head}" * (test_head != TEST_HEAD)
    return Images(splits[0], splits[1], splits[2], f"heads cohort, seed {seed}{tested}")


def check_head(name: str) -> None:
    """Raise InputError unless a head of that name comes with the library."""
    if name not in HEADS:
        raise InputError(f"test_head must be one of {', '.join(HEADS)}; got {name!r}")


def _split(
    name: str, heads: Sequence[str], size: int, count: int, seed: int, device: torch.device | str
) -> Split:
    slices = [min(SLICES, count - first) for first in range(0, count, SLICES)]
    names, volumes = [], []
    for index, n in enumerate(slices):
        head = heads[index % len(heads)]
        rng = np.random.default_rng((seed, SPLITS.index(name), index))
        names.append(f"{head}-{name}-{index:03d}")
        volumes.append(_subject(load_heads()[head], size, n, rng, device))
    return Split(
        images=torch.cat(volumes),
        volume=torch.repeat_interleave(torch.arange(len(slices)), torch.tensor(slices)),
        names=tuple(names),
    )


def _subject(
    head: Head, size: int, slices: int, rng: np.random.Generator, device: torch.device | str
) -> Tensor:
    """Draw one subject: (slices, N, N) float32 in [0, 1] with maximum 1, on the CPU."""
    x = anatomy(head, size, slices, rng, device)
    gamma = rng.uniform(*GAMMA)
    noise = float(np.exp(rng.uniform(*np.log(NOISE))))
    noises = torch.from_numpy(rng.standard_normal((2, slices, size, size), np.float32))
    real, imaginary = noise * noises.to(device)
    x = torch.hypot(x**gamma + real, imaginary)  # Rician: the magnitude of a noisy complex image
    return (x / x.max()).cpu()


def anatomy(
    head: Head, size: int, slices: int, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Draw the pose and the shape of one subject, as a head without noise.

    Returns:
        (slices, size, size) float32 in [0, 1] with maximum 1, on the device. An image shows 240 mm;
        the slices cover the usable height of the slab.
    """
    # Sampled no coarser than the voxels and then averaged over each pixel: no aliasing.
    finer = int(np.ceil(FIELD_OF_VIEW / size / head.voxel_mm))
    grid = _grid(head, size * finer, slices, rng)
    volume = torch.from_numpy(head.volume.astype(np.float32))[None, None].to(device)
    # A slab ends in background, or below at the cut, where the border is repeated.
    x = F.grid_sample(volume, grid[None].to(device), padding_mode="border", align_corners=True)
    x = F.avg_pool2d(x[0, 0] / x.max(), finer)  # (slices, N finer, N finer) -> (slices, N, N)
    return x / x.max()


def _grid(head: Head, side: int, slices: int, rng: np.random.Generator) -> Tensor:
    """(slices, side, side, 3) positions (x, y, z) in the head, -1 to 1, for `grid_sample`."""
    extent = (np.array(head.volume.shape) - 1) * head.voxel_mm  # z, y, x in mm
    # Positions in mm about the middle of the slab.
    heights = np.linspace(BOTTOM, extent[0] - TOP, slices, endpoint=False) - extent[0] / 2
    heights += rng.uniform() * (extent[0] - TOP - BOTTOM) / slices
    across = ((np.arange(side) + 0.5) / side - 0.5) * FIELD_OF_VIEW
    flip = rng.choice((-1, 1))  # left and right

    z, y, x = np.meshgrid(heights, across, across * flip, indexing="ij", sparse=True)
    # Rows, the axes of the head, are scaled: scaled columns would shear a turned head.
    matrix = _rotation(np.radians(rng.uniform(-1, 1, 3) * TURN)) / rng.uniform(*SCALE, (3, 1))
    shift = rng.uniform(-SHIFT, SHIFT, 3) * (0, 1, 1)
    # Free-form deformation by cubic B-splines (Rueckert et al. 1999).
    bend = np.einsum(
        "cijk,zi,yj,xk->czyx",
        rng.normal(0, BEND, (3, *CONTROLS)),
        splines(2 * heights / extent[0], CONTROLS[0]),
        splines(2 * across / FIELD_OF_VIEW, CONTROLS[1]),
        splines(2 * across / FIELD_OF_VIEW, CONTROLS[2]),
        optimize=True,
    )
    position = [
        (row[0] * z + row[1] * y + row[2] * x + move + bent) * 2 / length
        for row, move, bent, length in zip(matrix, shift, bend, extent, strict=True)
    ]
    return torch.from_numpy(np.stack(position[::-1], -1).astype(np.float32))


def _rotation(angles: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of (z, y, x) by angles about z, y and x, in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (a for a in range(3) if a != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def splines(position: np.ndarray, count: int) -> np.ndarray:
    """(positions, count) weights of cubic B-splines whose control points span [-1, 1]."""
    nodes = np.arange(count) - (count - 1) / 2
    distance = np.abs(position[:, None] * (count - 3) / 2 - nodes)
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, inner, outer)
