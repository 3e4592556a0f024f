"""A simulated scanner: from magnitude images to the k-space that coils would measure."""

from collections.abc import Iterator

import numpy as np
from scipy import fft

from loupe_lib.data.formats.fastmri import ifft2c
from loupe_lib.data.heads import splines
from loupe_lib.data.images import centre_crop

PHASE = 4.0  # rad, standard deviation of a control point; about a third of it in the image
COIL_PHASE = 2.0  # rad, likewise
CONTROLS = (3, 5, 5)  # control points of the phase along slices, rows and columns: smooth
REACH, RADIUS = 0.6, 0.7  # of a coil, and its distance from the middle, in fields of view


def fft2c(x: np.ndarray) -> np.ndarray:
    """The inverse of :func:`~loupe_lib.data.formats.fastmri.ifft2c`."""
    axes = (-2, -1)
    return fft.fftshift(fft.fft2(fft.ifftshift(x, axes), norm="ortho"), axes)


def rss(y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Root sum of squares: (coils, rows, columns) centred k-space -> an image of that shape."""
    return np.linalg.norm(centre_crop(ifft2c(y), shape), axis=0)


def scan(
    x: np.ndarray,
    coils: int,
    shape: tuple[int, int],
    measured: tuple[int, int],
    noise: float,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Measure a volume slice by slice.

    Args:
        x: (slices, rows, columns) magnitudes in [0, 1].
        coils: how many, on a circle about the volume; their sensitivities are smooth, and the
            squares add up to 1 everywhere.
        shape: rows and columns of k-space, at least those of x; a larger field of view is empty at
            its border.
        measured: the first column of k-space that is measured and how many are; others are 0.
        noise: standard deviation of the real and of the imaginary part, in every coil.
        rng: source of phases, coils and noise.

    Yields:
        For each slice its k-space, centred: (coils, rows, columns) complex64 of the coils, and
        (rows, columns) of a single coil emulated from them, the linear combination that comes
        nearest to the image (Tygert and Zbontar 2018, arXiv 1811.08026).
    """
    image = x * np.exp(1j * _smooth(rng, PHASE, x.shape)).astype(np.complex64)
    sensitivity = _sensitivities(rng, (coils, *x.shape[1:]))
    middle = len(x) // 2
    responses = (sensitivity * image[middle]).reshape(coils, -1).T
    weights = np.linalg.lstsq(responses, image[middle].ravel(), rcond=None)[0]
    first, count = measured
    for seen in image:
        y = np.zeros((coils, *shape), np.complex64)
        centre_crop(y, seen.shape)[:] = sensitivity * seen
        y = fft2c(y)
        y += noise * rng.standard_normal((*y.shape, 2), np.float32).view(np.complex64)[..., 0]
        y[..., :first] = 0
        y[..., first + count :] = 0
        yield y, np.einsum("c,cij->ij", weights, y)


def _smooth(rng: np.random.Generator, spread: float, shape: tuple[int, ...]) -> np.ndarray:
    """(slices, rows, columns) random numbers that change slowly."""
    weights = (
        splines(np.linspace(-1, 1, n), count) for n, count in zip(shape, CONTROLS, strict=True)
    )
    controls = rng.normal(0, spread, CONTROLS)
    return np.einsum("ijk,zi,yj,xk->zyx", controls, *weights, optimize=True)


def _sensitivities(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """(coils, rows, columns) complex64, the same in all slices."""
    angle = 2 * np.pi * (np.arange(shape[0]) + rng.uniform()) / shape[0]
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, n) for n in shape[1:]), indexing="ij")
    square = (y - RADIUS * np.sin(angle[:, None, None])) ** 2
    square += (x - RADIUS * np.cos(angle[:, None, None])) ** 2
    found = np.exp(-square / (2 * REACH**2) + 1j * _smooth(rng, COIL_PHASE, shape))
    return (found / np.linalg.norm(found, axis=0)).astype(np.complex64)
