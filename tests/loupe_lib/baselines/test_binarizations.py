"""Other ways to train a binary mask: forward and backward against NumPy, and columns."""

import numpy as np
import pytest
import torch

from loupe_lib import Encoder, ProbabilityMask
from loupe_lib.baselines.binarizations import Concrete, StraightThrough, TanhSurrogate, TrainedSlope
from tests.common import random, sigmoid
from tests.loupe_lib.test_mask import LEARNED

N = 32


def mask_of(kind, slope: float = 3.0, acceleration: float = 4, **settings):
    """A mask of its own seed, with probabilities spread out as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mask = kind(N, acceleration, slope, **settings)
    with torch.no_grad():
        mask.gamma.mul_(2)
    return mask


def relaxed(mask, p, u, weight):
    """M from P and U, and the gradient of its weighted sum by P, in float64."""
    p = p.clone().requires_grad_()
    m = mask.relax(p, u)
    (m * weight).sum().backward()
    return m.detach().double().numpy(), p.grad.double().numpy()


P, U, WEIGHT = random(N, N), random(5, N, N, seed=1), random(5, N, N, seed=2) - 0.5


@pytest.mark.parametrize("slope", [0.1, 3.0, 10.0])
def test_each_relaxation_is_its_line_of_mathematics(slope):
    p, u, w = (tensor.double().numpy() for tensor in (P, U, WEIGHT))
    x = p - u
    hard = (x > 0).astype(float)
    m, gradient = relaxed(mask_of(StraightThrough, slope), P, U, WEIGHT)
    np.testing.assert_array_equal(m, hard)
    np.testing.assert_allclose(gradient, w.sum(axis=0), atol=1e-6)

    m, gradient = relaxed(mask_of(Concrete, slope), P, U, WEIGHT)
    expected = sigmoid(slope * (np.log(p / (1 - p)) + np.log(u / (1 - u))))
    np.testing.assert_allclose(m, expected, atol=1e-5)
    derivative = expected * (1 - expected) * slope / (p * (1 - p))
    np.testing.assert_allclose(gradient, (w * derivative).sum(axis=0), rtol=1e-3, atol=1e-3)

    m, gradient = relaxed(mask_of(TanhSurrogate, slope), P, U, WEIGHT)
    np.testing.assert_array_equal(m, hard)
    step = 1e-6
    rise = np.tanh(slope * (x + step)) - np.tanh(slope * (x - step))
    derivative = max(1, 1 / slope) / 2 * rise / (2 * step)
    np.testing.assert_allclose(gradient, (w * derivative).sum(axis=0), atol=1e-5)

    m, gradient = relaxed(mask_of(TrainedSlope, slope), P, U, WEIGHT)
    expected = sigmoid(slope * x)
    np.testing.assert_allclose(m, expected, atol=1e-6)
    derivative = slope * expected * (1 - expected)
    np.testing.assert_allclose(gradient, (w * derivative).sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("slope", [0.5, 200.0])
def test_the_trained_slope_has_the_gradient_of_log_s(slope):
    mask = mask_of(TrainedSlope, slope)
    (mask.relax(P, U) * WEIGHT).sum().backward()
    x, w = (P.double() - U.double()).numpy(), WEIGHT.double().numpy()

    def total(log_slope: float) -> float:
        return (w * sigmoid(np.exp(log_slope) * x)).sum()

    at, step = np.log(slope), 1e-5
    expected = (total(at + step) - total(at - step)) / (2 * step)
    assert mask.log_slope.grad.item() == pytest.approx(expected, rel=1e-3)


def test_the_slope_buffer_follows_the_trained_slope():
    mask = mask_of(TrainedSlope, 200)
    with torch.no_grad():
        mask.log_slope -= 1
    mask.sample(1)
    assert mask.slope.item() == pytest.approx(200 / np.e)
    assert "slope" in dict(mask.named_buffers())


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("lines", [False, True], ids=["points", "lines"])
@pytest.mark.parametrize("slope", [0.1, 200.0, 1e5])
def test_gradients_of_gamma_are_finite_and_not_all_zero(kind, lines, slope):
    mask = mask_of(kind, slope, lines=lines)
    with torch.no_grad():
        mask.gamma.flatten()[:2] = torch.tensor([-30.0, 30.0])  # P of exactly 0, and next to 1
    encoder = Encoder(mask)
    encoder.generator = torch.Generator().manual_seed(0)
    encoder(random(64, N, N)).abs().square().sum().backward()
    assert mask.gamma.grad.isfinite().all()
    if slope < 1e5:  # above, hardly a P of a column comes near enough to U
        assert mask.gamma.grad.count_nonzero() > 0


# Columns


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("acceleration", [4, 7.3])
def test_masks_of_lines_measure_all_of_a_column_or_none(kind, acceleration):
    mask = mask_of(kind, acceleration=acceleration, lines=True)
    assert mask.gamma.shape == (N,)
    p = mask.probabilities().detach()
    assert p.shape == (N, N) and (p == p[:1]).all()
    assert p.mean().item() == pytest.approx(1 / acceleration)
    drawn = mask.sample(3, torch.Generator().manual_seed(0)).detach()
    assert drawn.shape == (3, N, N) and (drawn == drawn[:, :1]).all()
    assert not torch.equal(drawn[0], drawn[1])
    kept = mask.binarize("topk")
    assert kept.shape == (N, N) and (kept == kept[:1]).all()
    assert kept[0].sum() == round(N / acceleration)
    assert (kept[0] * p[0]).sum() == p[0].sort(descending=True).values[: int(kept[0].sum())].sum()
    assert torch.equal(mask.binarize(), (p > 0.5).float())


def test_the_paper_s_mask_of_lines_is_its_formula_on_columns():
    mask = mask_of(ProbabilityMask, slope=5, lines=True)
    u = random(4, N, seed=3)
    found = mask.masks(u).detach().double().numpy()
    p = mask.probabilities()[0].detach().double().numpy()
    expected = sigmoid(5 * (p - u.double().numpy()))
    np.testing.assert_allclose(found, np.repeat(expected[:, None], N, axis=1), atol=1e-6)
