"""Fixed sampling masks: exact budgets, seeds, and their patterns."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from loupe_lib import InputError
from loupe_lib.baselines.fixed_masks import (
    CALIBRATION,
    DiscMask,
    GaussianMask,
    PoissonMask,
    SpectrumMask,
    UniformMask,
)
from tests.common import dft2, random

N = 64
ALL = [DiscMask, UniformMask, GaussianMask, PoissonMask, SpectrumMask]
WITH_LINES = [kind for kind in ALL if kind is not PoissonMask]
CASES = [(kind, False) for kind in ALL] + [(kind, True) for kind in WITH_LINES]


def radius() -> np.ndarray:
    x = np.arange(N) - N // 2
    return np.hypot(x[:, None], x[None])


@pytest.mark.parametrize(("kind", "lines"), CASES)
@pytest.mark.parametrize("acceleration", [1, 1.3, 4, 7.3, 8])
def test_the_budget_is_exact(kind, lines, acceleration):
    mask = kind(N, acceleration, lines=lines)
    kept = mask.binarize()
    assert kept.shape == (N, N) and set(kept.unique().tolist()) <= {0.0, 1.0}
    if lines:
        assert (kept == kept[:1]).all() and kept[0].sum() == round(N / acceleration)
    else:
        assert kept.sum() == round(N * N / acceleration)


@pytest.mark.parametrize(("kind", "lines"), CASES)
def test_the_centre_is_kept_and_part_of_the_budget(kind, lines):
    mask = kind(N, 8, lines=lines, center=7)
    mask.prepare(random(2, N, N))
    kept = mask.binarize()
    columns = slice(N // 2 - 3, N // 2 + 4)
    assert kept[slice(None) if lines else columns, columns].all()
    assert kept.sum() == N * N / 8


@pytest.mark.parametrize(("kind", "lines"), CASES)
def test_a_fixed_mask_never_changes_and_has_no_parameters(kind, lines):
    mask = kind(N, 4, lines=lines)
    kept = mask.probabilities()
    for method in ("threshold", "topk"):
        assert torch.equal(mask.binarize(method), kept)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(mask.sample(3, generator), kept.expand(3, N, N))
    assert torch.equal(generator.get_state(), before)  # nothing was drawn
    assert not list(mask.parameters())
    other = kind(N, 4, lines=lines, seed=9)
    other.load_state_dict(mask.state_dict())
    assert torch.equal(other.probabilities(), kept)


@pytest.mark.parametrize(("kind", "lines"), CASES)
def test_random_masks_depend_on_the_seed(kind, lines):
    first, same, other = (kind(N, 4, lines=lines, seed=seed).probabilities() for seed in (1, 1, 2))
    assert torch.equal(first, same)
    drawn = kind in (UniformMask, GaussianMask, PoissonMask)
    assert torch.equal(first, other) is not drawn


def test_the_disc_is_the_lowest_frequencies():
    kept = DiscMask(N, 4).binarize().numpy() > 0
    assert radius()[kept].max() <= radius()[~kept].min()
    assert abs(radius()[kept].max() - N / np.sqrt(4 * np.pi)) < 1
    columns = DiscMask(N, 4, lines=True).binarize()[0].nonzero().flatten()
    assert columns.tolist() == list(range(N // 2 - 8, N // 2 + 8))


def test_uniform_points_have_one_density():
    fraction = np.mean([UniformMask(N, 4, seed=k).binarize().numpy() for k in range(60)], axis=0)
    centre = fraction[radius() < N / 4].mean()
    assert centre == pytest.approx(0.25, abs=0.01)


def test_gaussian_points_get_rarer_with_the_weight_of_their_radius():
    # One column is drawn at R = N: by the weights themselves.
    drawn = [GaussianMask(N, N, lines=True, seed=k).binarize()[0].argmax() for k in range(2000)]
    x = np.arange(N) - N // 2
    weight = np.exp(-0.5 * (x / (N / 6)) ** 2)
    expected = 2000 * weight / weight.sum()
    found = np.bincount(drawn, minlength=N)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected) + 3).all()


@pytest.mark.parametrize("acceleration", [4, 8])
def test_poisson_points_keep_their_distance_around_a_full_centre(acceleration):
    budget = round(N * N / acceleration)
    kept = PoissonMask(N, acceleration, seed=1).binarize().numpy() > 0
    inner = np.sort(radius(), axis=None)[round(CALIBRATION * budget) - 1]
    assert kept[radius() < inner].all()
    points = np.argwhere(kept & (radius() > inner))
    nearest = KDTree(points).query(points, k=2)[0][:, 1]
    chance = np.random.default_rng(0).permutation(np.argwhere(radius() > inner))[: len(points)]
    by_chance = KDTree(chance).query(chance, k=2)[0][:, 1]
    # Snapping to the grid moves a point by up to half a pixel: neighbours are rare, not absent.
    assert (nearest == 1).mean() < 0.25 * (by_chance == 1).mean()
    assert nearest.mean() > 1.15 * by_chance.mean()


@pytest.mark.parametrize("lines", [False, True], ids=["points", "lines"])
def test_the_spectrum_mask_keeps_the_largest_mean_magnitudes(lines):
    images = random(5, N, N)
    mask = SpectrumMask(N, 4, lines=lines)
    mask.prepare(images)
    spectrum = np.fft.fftshift(np.abs(dft2(images.double().numpy())).mean(axis=0))
    if lines:
        spectrum = np.broadcast_to(spectrum.mean(axis=0), (N, N))
    kept = mask.binarize().numpy() > 0
    assert kept.sum() == N * N / 4
    assert spectrum[kept].min() >= spectrum[~kept].max() * (1 - 1e-6)
    assert not torch.equal(mask.binarize(), DiscMask(N, 4, lines=lines).binarize())


def test_poisson_has_no_lines():
    with pytest.raises(InputError, match="PoissonMask has no lines"):
        PoissonMask(N, 4, lines=True)
