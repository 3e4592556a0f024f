"""The slope that rises with the epoch."""

import pytest
import torch

from loupe_lib.baselines.exponential_slope import ExponentialSlope
from tests.common import Binary


def test_the_slope_goes_geometrically_from_the_first_epoch_to_the_last():
    module = torch.nn.ModuleList([Binary(0.1), Binary(0.1)])
    of = ExponentialSlope(module, initial=0.1, final=10, epochs=5)
    slopes = []
    for _ in range(7):
        slopes.append([m.slope.item() for m in module])
        of.step(float("nan"))  # whatever the loss
    expected = [0.1, 0.1**0.5, 1, 10**0.5, 10, 10, 10]
    assert [a for a, _ in slopes] == pytest.approx(expected)
    assert [b for _, b in slopes] == [a for a, _ in slopes]


def test_one_epoch_leaves_the_slope_as_it_is():
    module = Binary(3)
    assert not ExponentialSlope(module, 3, 30, epochs=1).step(1.0)
    assert module.slope == 3
