"""Masks as files."""

import numpy as np
import pytest
from matplotlib import image

from loupe_companion.export import KINDS, ORDERS, export_mask
from loupe_lib import InputError, ProbabilityMask
from tests.common import uncentre

N = 48


@pytest.fixture
def mask() -> ProbabilityMask:
    mask = ProbabilityMask(N, 3)
    mask.gamma.data *= 3  # so that some probabilities are above 1/2
    return mask


def expected(mask: ProbabilityMask, kind: str, order: str) -> np.ndarray:
    p = mask.probabilities().detach().numpy()
    if kind == "threshold":
        p = np.where(p > 0.5, 1, 0)
    elif kind == "topk":
        p = np.where(p >= np.sort(p, axis=None)[-round(N * N / 3)], 1, 0)
    return (uncentre(p) if order == "fft" else p).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
def test_npy_holds_the_mask_as_it_is_and_png_the_same_pixels(mask, kind, order, tmp_path):
    achieved = export_mask(mask, tmp_path / "mask.npy", kind, order)
    found = np.load(tmp_path / "mask.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, expected(mask, kind, order))
    assert achieved == pytest.approx(N * N / found.sum(dtype=float), rel=1e-6)
    export_mask(mask, tmp_path / "mask.png", kind, order)
    pixels = image.imread(tmp_path / "mask.png")
    assert pixels.shape == (N, N, 4) and np.all(pixels[..., 3] == 1)
    assert np.all(pixels[..., :1] == pixels[..., :3])  # grey
    difference = np.abs(pixels[..., 0] - found)
    assert difference.max() <= (0.501 / 255 if kind == "probabilities" else 0)


def test_an_empty_mask_achieves_no_finite_acceleration(mask, tmp_path):
    mask.gamma.data.zero_()
    assert export_mask(mask, tmp_path / "mask.png") == float("inf")
    assert image.imread(tmp_path / "mask.png")[..., :3].max() == 0


@pytest.mark.parametrize(
    ("name", "kind", "order", "message"),
    [
        ("m.npy", "bernoulli", "fft", "kind must be one of .*topk.*; got 'bernoulli'"),
        ("m.npy", "topk", "shifted", "order must be one of centred, fft; got 'shifted'"),
        ("m.jpg", "topk", "fft", r"must end in \.npy or \.png; got 'm\.jpg'"),
        ("m", "topk", "fft", r"must end in \.npy or \.png; got 'm'"),
    ],
)
def test_other_kinds_orders_and_file_types_are_refused(mask, name, kind, order, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export_mask(mask, tmp_path / name, kind, order)
    assert list(tmp_path.iterdir()) == []
