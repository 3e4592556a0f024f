"""The simulated scanner."""

import numpy as np
import pytest
import torch

from loupe_companion.simulation import fft2c, rss, scan
from loupe_lib.data.formats.fastmri import ifft2c
from loupe_lib.data.images import centre_crop


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    y, x = np.meshgrid(*[np.linspace(-1, 1, 64)] * 2, indexing="ij")
    disc = np.clip(5 - 10 * np.hypot(y, 0.8 * x), 0, 1) * (0.8 + 0.2 * np.cos(9 * x))
    return np.stack([disc, disc[::-1] * 0.9, disc.T]).astype(np.float32)


def measure(x, coils=4, shape=(128, 72), measured=(4, 64), noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    both = list(scan(x, coils, shape, measured, noise, rng))
    return tuple(np.stack(part) for part in zip(*both, strict=True))


@pytest.mark.parametrize("shape", [(6, 8), (7, 5)])
def test_the_transforms_are_those_of_fastmri(shape):
    fastmri = pytest.importorskip("fastmri")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, *shape)) + 1j * rng.standard_normal((3, *shape))
    as_real = torch.view_as_real(torch.from_numpy(x))
    np.testing.assert_allclose(fft2c(x), torch.view_as_complex(fastmri.fft2c(as_real)))
    np.testing.assert_allclose(ifft2c(x), torch.view_as_complex(fastmri.ifft2c(as_real)))


def test_the_root_sum_of_squares_is_the_volume(volume):
    coils, _ = measure(volume, shape=(128, 64), measured=(0, 64))
    assert coils.shape == (3, 4, 128, 64) and coils.dtype == np.complex64
    images = np.stack([rss(y, (64, 64)) for y in coils])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, volume, atol=1e-5)


def test_the_emulated_coil_is_a_combination_that_comes_near(volume):
    coils, combined = measure(volume, shape=(128, 64), measured=(0, 64))
    flat = coils.swapaxes(0, 1).reshape(4, -1).T
    weights, *_ = np.linalg.lstsq(flat, combined.ravel(), rcond=None)
    np.testing.assert_allclose(flat @ weights, combined.ravel(), atol=1e-4)
    image = np.stack([rss(y[None], (64, 64)) for y in combined])
    assert np.linalg.norm(image - volume) < 0.2 * np.linalg.norm(volume)


def test_coils_see_different_sides_and_phases_are_smooth(volume):
    coils, combined = measure(volume, shape=(128, 64), measured=(0, 64))
    images = np.abs(centre_crop(ifft2c(coils[0]), (64, 64)))
    halves = images[:, :, :32].sum((1, 2)) / images.sum((1, 2))
    assert np.ptp(halves) > 0.1
    image = centre_crop(ifft2c(combined), (64, 64))
    inside = (volume > 0.5) & (np.roll(volume, 1, axis=-1) > 0.5)
    turn = np.angle(image * np.conj(np.roll(image, 1, axis=-1)))[inside]
    assert np.abs(turn).max() < 0.5
    assert np.ptp(np.unwrap(np.angle(image[0, 32, 20:44]))) > 0.2


def test_noise_is_white_and_as_strong_as_asked(volume):
    quiet, _ = measure(volume)
    loud, _ = measure(volume, noise=0.02)
    noise = (loud - quiet)[..., 4:68]
    for part in (noise.real, noise.imag):
        assert part.std() == pytest.approx(0.02, rel=0.02)
        assert abs(np.corrcoef(part[0, 0].ravel(), part[0, 1].ravel())[0, 1]) < 0.05
