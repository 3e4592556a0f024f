"""Pairs of k-space samples, against masks whose pairs are known."""

import numpy as np
import pytest
import torch

from loupe_companion.symmetry import opposite, pair_fractions
from tests.common import dft2, random, uncentre

N = 32
ROWS, COLUMNS = np.indices((N, N)) - N // 2


def test_opposite_is_where_a_real_image_has_the_conjugate():
    y = dft2(random(N, N).double().numpy())
    centred = np.roll(y, (N // 2, N // 2), (0, 1))
    assert np.array_equal(uncentre(centred), y)
    np.testing.assert_allclose(opposite(centred), centred.conj(), atol=1e-12)


def test_a_disc_keeps_both_of_each_pair():
    pairs = pair_fractions(np.hypot(ROWS, COLUMNS) < 8.5)
    assert pairs.one == 0
    assert pairs.both == pytest.approx((np.hypot(ROWS, COLUMNS) < 8.5).mean(), abs=2e-3)


def test_half_a_plane_keeps_one_of_each_pair():
    half = (ROWS > 0) | ((ROWS == 0) & (COLUMNS > 0)) | ((ROWS == -N // 2) & (COLUMNS > 0))
    pairs = pair_fractions(half)
    assert (pairs.one, pairs.both) == (1, 0)
    assert pairs.one_by_chance == pytest.approx(0.5, abs=0.01)


def test_independent_choices_are_by_chance():
    # Many where few are kept, few where many are: the fraction depends on the distance from DC.
    p = np.exp(-np.hypot(ROWS, COLUMNS) / 8)
    drawn = [
        pair_fractions(torch.bernoulli(torch.tensor(p), generator=generator).numpy())
        for generator in [torch.Generator().manual_seed(0)]
        for _ in range(200)
    ]
    found = np.mean([pairs.one for pairs in drawn])
    assert found == pytest.approx(np.mean([s.one_by_chance for s in drawn]), rel=0.03)
    assert found == pytest.approx((2 * p * (1 - p)).mean(), rel=0.03)


def test_an_empty_and_a_full_mask_have_no_halves():
    for value in (0, 1):
        pairs = pair_fractions(np.full((N, N), value))
        assert (pairs.one, pairs.both, pairs.one_by_chance) == (0, value, 0)
