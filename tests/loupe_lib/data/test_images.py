"""The checks of images, and the file that holds them."""

import h5py
import numpy as np
import pytest
import torch

from loupe_lib import InputError
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import (
    SPLITS,
    Images,
    Split,
    centre_crop,
    check_images,
    encode,
    mean_power,
    read_images,
    write_images,
    write_volumes,
)
from loupe_lib.data.storage import digest
from tests.common import edited, random, random_complex, refusal


@pytest.fixture(scope="module")
def images() -> Images:
    return draw_cohort(32, train=20, validation=4, test=3)


@pytest.fixture
def path(images, tmp_path):
    path = tmp_path / "images.h5"
    write_images(images, path)
    return path


def one_pixel(value: float) -> np.ndarray:
    array = np.zeros((3, 32, 32), np.float32)
    array[2, 5, 7] = value
    return array


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.uint8, np.uint16, np.int64, np.complex64, np.complex128]
)
def test_numbers_of_any_kind_become_float32_or_complex64(kind):
    array = np.eye(32, dtype=kind)[None] * (1j if kind().dtype.kind == "c" else 1)
    found = check_images(array)
    assert found.dtype == (torch.complex64 if np.iscomplexobj(array) else torch.float32)
    assert found.shape == (1, 32, 32) and np.array_equal(found.numpy(), array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (one_pixel(1.5), "images must lie in [0, 1]; image 2 has a pixel of 1.5"),
        (one_pixel(-0.25), "images must lie in [0, 1]; image 2 has a pixel of -0.25"),
        (one_pixel(np.nan), "images must lie in [0, 1]; image 2 has a pixel of nan"),
        (one_pixel(np.inf), "images must lie in [0, 1]; image 2 has a pixel of inf"),
        (
            np.full((2, 32, 32), 255, np.uint8),
            "images must lie in [0, 1]; image 0 has a pixel of 255",
        ),
        (np.zeros((2, 32, 48)), "images must be numbers (n, N, N); got (2, 32, 48) of float64"),
        (np.zeros((32, 32)), "images must be numbers (n, N, N); got (32, 32) of float64"),
        (np.zeros((0, 32, 32)), "images must be numbers (n, N, N); got (0, 32, 32) of float64"),
        (np.zeros((2, 16, 16)), "size must be a multiple of 16, at least 32; got 16"),
        (np.zeros((2, 40, 40)), "size must be a multiple of 16, at least 32; got 40"),
        (
            one_pixel(1) * (0.8 + 0.8j),
            "images must have magnitudes of at most 1; image 2 has a pixel of 1.13137",
        ),
        (
            torch.from_numpy(one_pixel(np.nan)) * 1j,
            "images must have magnitudes of at most 1; image 2 has a pixel of nan",
        ),
        (np.full((2, 32, 32), "a"), "images must be numbers (n, N, N); got (2, 32, 32) of <U1"),
    ],
)
def test_other_images_are_refused(array, message):
    assert refusal(check_images, array) == message


@pytest.mark.parametrize("shape", [(6, 4), (5, 3), (10, 12)])
def test_a_crop_is_that_of_fastmri(shape):
    pytest.importorskip("fastmri")
    from fastmri.data.transforms import center_crop

    x = np.arange(240).reshape(2, 10, 12)
    assert np.array_equal(centre_crop(x, shape), center_crop(torch.from_numpy(x), shape))


def test_the_mean_power_spectrum_is_that_of_numpy(monkeypatch):
    x = random_complex(5, 32, 32)
    wanted = np.fft.fftshift((np.abs(np.fft.fft2(x.numpy(), norm="ortho")) ** 2).mean(0))
    np.testing.assert_allclose(mean_power(x), wanted, rtol=1e-4)
    monkeypatch.setattr("loupe_lib.data.images.PIXELS", 2 * 32 * 32)  # in parts of two images
    np.testing.assert_allclose(mean_power(x), wanted, rtol=1e-4)
    assert mean_power(torch.ones(3, 32, 32)).argmax() == 16 * 32 + 16  # DC in the middle


@pytest.mark.parametrize(
    ("volume", "names", "message"),
    [
        ([0, 1, 0], ("a", "b"), "volume must count the names up from 0"),
        ([0, 0, 1], ("a",), "volume must count the names up from 0"),
        ([0, 0], ("a",), "volume must be 3 int64 numbers, one an image; got .2,. of"),
        ([0, 0, 1], ("a", "a"), "no name may be there twice"),
    ],
)
def test_volumes_must_fit_their_images(volume, names, message):
    with pytest.raises(InputError, match=message):
        Split(torch.zeros(3, 32, 32), torch.tensor(volume), names)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"names": ("s1-test-000",)}, "'s1-test-000' is in two"),
        ({"images": torch.zeros(1, 48, 48)}, "the splits must be of one size; got 32 and 48"),
        (
            {"images": torch.zeros(1, 32, 32, dtype=torch.complex64)},
            "the splits must be all real or all complex",
        ),
    ],
)
def test_splits_have_other_volumes_of_one_size_and_type(images, other, message):
    given = {"images": torch.zeros(1, 32, 32), "names": ("other",), **other}
    with pytest.raises(InputError, match=message):
        Images(images.train, Split(volume=torch.tensor([0]), **given), images.test, "mixed")


def measured(images: Images, name: str) -> Split:
    """Its images with a phase, as a scanner measures them."""
    split: Split = getattr(images, name)
    phase = 2 * torch.pi * random(*split.images.shape, seed=len(name))
    return Split(torch.polar(split.images, phase), split.volume, split.names)


@pytest.fixture(scope="module")
def complex_images(images) -> Images:
    return Images(*(measured(images, name) for name in SPLITS), source="measured")


def test_images_come_back_rounded_once(images, complex_images, tmp_path):
    path, again = tmp_path / "images.h5", tmp_path / "again.h5"
    for written, rounding in ((images, 1e-5), (complex_images, 5e-5)):
        write_images(written, path)
        back = read_images(path)
        assert (back.size, back.is_complex) == (32, written is complex_images)
        assert back.source == f"{written.source} (file SHA-256 {digest(path)})"
        for name in SPLITS:
            before, after = getattr(written, name), getattr(back, name)
            assert (after.images - before.images).abs().max() < rounding
            assert torch.equal(after.volume, before.volume) and after.names == before.names
            assert after.images.abs().max() <= 1 + 1e-6  # rounding took no pixel out of the disc
        write_images(back, again)  # what was rounded once stays as it is
        assert torch.equal(read_images(again).train.images, back.train.images)


def codes(images: torch.Tensor) -> np.ndarray:
    return np.stack([encode(image) for image in images])


def test_an_incomplete_image_file_is_not_written(images, tmp_path):
    volume = codes(images.test.images)
    volumes = ((split, split, volume) for split in ("train", "test"))
    told = refusal(write_volumes, tmp_path / "part.h5", "part", 32, False, volumes)
    assert told == "validation must have at least one volume; got none"
    assert not list(tmp_path.iterdir())


def refused(path) -> str:
    told = refusal(read_images, path)
    assert str(path) in told
    return told


def test_pixels_never_written_are_refused(path):
    with edited(path) as file:
        del file["test/images"]
        file["test"].create_dataset("images", (3, 32, 32), np.uint16, chunks=(1, 32, 32))
    assert refused(path) == f"{path}: test/images lacks 3 of its 3 chunks"
    with h5py.File(path, "a") as file:
        del file["test/images"]
        file["test"].create_dataset("images", (10**6, 3200, 3200), np.uint16)  # 20 TB of nothing
    assert refused(path) == f"{path}: test/images was never written"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((n, None, f"/{n} is missing") for n in ("validation", "train/images", "test/volume")),
        ("train/volume", np.zeros(20, np.int32), "must be int64, and train/names texts; got int32"),
        ("train/volume", ["a"] * 20, "must be int64, and train/names texts; got object"),
        ("train/names", np.arange(2), "and train/names texts; got int64 and int64"),
        (
            "train/images",
            np.zeros((20, 32, 32), np.float32),
            "(n, N, N) uint16 or (n, 2, N, N) int16; got (20, 32, 32) float32",
        ),
    ],
)
def test_other_members_are_refused(path, name, value, message):
    with edited(path) as file:
        del file[name]
        if value is not None:
            file[name] = value
    assert message in refused(path)


def test_a_file_without_a_source_is_refused(path):
    with edited(path) as file:
        del file.attrs["source"]
    assert refused(path) == f"{path}: the attribute source, a text about the images, is missing"
