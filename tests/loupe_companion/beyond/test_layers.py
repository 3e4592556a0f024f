"""Two binary layers beyond MRI: what they compute, and that they stand alone."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from loupe_companion.beyond import LocalBinaryConv2d, PixelMask
from loupe_lib import InputError
from tests.common import random, sigmoid


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("k", [1, 10, 32, 63, 64])
def test_the_binary_mask_keeps_exactly_k_pixels_the_most_probable(k):
    mask = PixelMask(64, k)
    p, kept = mask.probabilities().detach(), mask.binary().bool()
    assert p.mean().item() == pytest.approx(k / 64, abs=1e-6)
    assert kept.sum() == k
    assert k == 64 or p[kept].min() >= p[~kept].max()


def test_equal_probabilities_still_keep_exactly_k():
    mask = PixelMask(64, 10)
    torch.nn.init.zeros_(mask.gamma)
    assert mask.binary().sum() == 10


@pytest.mark.parametrize("slope", [1.0, 20.0, 1e5])
def test_in_training_each_image_has_a_relaxed_mask_of_its_own(slope):
    mask, x = PixelMask(64, 10, slope), random(5, 64) + 0.5
    torch.manual_seed(3)
    seen = mask.train()(x) / x
    torch.manual_seed(3)
    u = torch.rand(5, 64).double().numpy()
    p = mask.probabilities().detach().double().numpy()
    np.testing.assert_allclose(seen.detach(), sigmoid(slope * (p - u)), atol=1e-2)
    assert not torch.equal(seen[0], seen[1])


def test_in_eval_all_images_have_the_binary_mask():
    mask, x = PixelMask(64, 10).eval(), random(5, 64) + 0.5
    assert torch.equal(mask(x), x * mask.binary())
    assert ((mask(x) != 0).sum(dim=1) == 10).all()


def test_a_local_binary_filter_has_weights_minus_one_zero_and_one():
    layer = LocalBinaryConv2d(2, 50, side=5)
    theta, weights = layer.theta.detach(), layer.binary()
    assert weights.shape == (50, 2, 5, 5)
    assert torch.equal(weights, torch.where(theta.abs() > 0.5, theta.sign(), 0.0))
    assert (weights == 0).float().mean() == pytest.approx(0.5, abs=0.05)


def test_it_convolves_with_the_binary_weights_in_eval_and_the_relaxed_in_training():
    layer, x = LocalBinaryConv2d(1, 3, slope=4.0), random(2, 1, 8, 9)
    for weights, y in ((layer.binary(), layer.eval()(x)), (layer.relaxed(), layer.train()(x))):
        assert y.shape == (2, 3, 6, 7)
        for image in range(2):
            for f in range(3):
                expected = correlate2d(x[image, 0], weights[f, 0].detach(), mode="valid")
                np.testing.assert_allclose(y[image, f].detach(), expected, atol=1e-5)


def test_relaxed_weights_are_two_sigmoids_and_become_binary_at_large_slopes():
    layer = LocalBinaryConv2d(1, 30, slope=3.0)
    theta = layer.theta.detach().double().numpy()
    expected = sigmoid(3 * (theta - 0.5)) - sigmoid(3 * (-theta - 0.5))
    np.testing.assert_allclose(layer.relaxed().detach(), expected, atol=1e-6)
    layer.slope.fill_(1e7)
    torch.testing.assert_close(layer.relaxed(), layer.binary(), atol=1e-3, rtol=0)


def test_at_a_large_slope_filters_have_no_gradient_and_stay_as_they_were_drawn():
    layer, x = LocalBinaryConv2d(1, 4), random(2, 1, 8, 8)
    with torch.no_grad():  # none of them beside a threshold
        layer.theta[(layer.theta.abs() - 0.5).abs() < 0.01] = 0.0
    for slope, vanishes in ((1.0, False), (1e5, True)):
        layer.slope.fill_(slope)
        layer.theta.grad = None
        layer(x).square().sum().backward()
        assert bool((layer.theta.grad == 0).all()) == vanishes


@pytest.mark.parametrize("slope", [1.0, 200.0, 1e5])
@pytest.mark.parametrize(
    ("layer", "shape"), [(PixelMask(64, 10), (4, 64)), (LocalBinaryConv2d(1, 4), (4, 1, 8, 8))]
)
def test_gradients_are_finite(layer, shape, slope):
    layer.slope.fill_(slope)
    layer.train()(random(*shape)).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *((lambda k=k: PixelMask(64, k), f"k must be 1 to 64.*{k}") for k in (0, 65, -1)),
        *(
            (lambda s=s, kind=kind: kind(s), f"slope must be finite and above 0; got {s}")
            for s in (0, -1, float("nan"), float("inf"))
            for kind in (lambda s: PixelMask(64, 10, s), lambda s: LocalBinaryConv2d(1, 4, s))
        ),
        (lambda: LocalBinaryConv2d(0, 4), r"positive; got \(4, 0, 3, 3\)"),
        (lambda: LocalBinaryConv2d(1, 0), r"positive; got \(0, 1, 3, 3\)"),
        (lambda: LocalBinaryConv2d(1, 4, side=0), r"positive; got \(4, 1, 0, 0\)"),
    ],
)
def test_settings_out_of_range_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
