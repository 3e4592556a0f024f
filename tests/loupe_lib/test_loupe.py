"""The autoencoder as a whole."""

import numpy as np
import pytest
import torch
from torch.nn.functional import l1_loss

from loupe_lib import InputError, Loupe, ProbabilityMask
from tests.common import on_each_device, random, refusal

N = 32


def test_the_model_is_the_encoder_then_the_decoder():
    model, x = Loupe(N, 2, width=2).eval(), random(2, N, N)
    assert torch.equal(model(x), model.decoder(model.encoder(x)))


@on_each_device
def test_every_parameter_learns_and_the_slope_does_not(device):
    model, x = Loupe(N, 4, width=2).to(device), random(2, N, N).to(device)
    l1_loss(model(x), x).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert "slope" not in name
    assert model.mask.gamma.grad.count_nonzero() > 0
    assert model.state_dict()["encoder.mask.slope"] == 200


@on_each_device
@pytest.mark.parametrize("slope", [20.0, 2e4])
def test_training_lowers_the_loss(slope, device):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Loupe(N, 4, slope, width=4).to(device)
    x = random(8, N, N).cumsum(1).cumsum(2).to(device) / (N * N)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        loss = l1_loss(model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_a_model_takes_its_values_from_the_mask_it_is_given():
    mask = ProbabilityMask(N, 8, slope=0.1, lines=True)
    for given in ({}, {"size": N, "acceleration": 8.0, "slope": 0.1}):
        model = Loupe(width=1, mask=mask, **given)
        assert model.mask is mask and model(random(2, N, N)).shape == (2, N, N)
    with torch.device("meta"):
        paper = Loupe(width=1).mask
    assert (paper.size, paper.acceleration, paper.t) == (320, 4, 5)


def test_another_mask_takes_the_place_of_the_first():
    model, mask = Loupe(N, 4, width=1), ProbabilityMask(N, 8, lines=True)
    names = list(model.state_dict())
    model.mask = mask
    assert model.mask is mask is model.encoder.mask
    assert list(model.state_dict()) == names
    assert torch.equal(model.state_dict()["encoder.mask.gamma"], mask.gamma)
    for other in (ProbabilityMask(48, 4), torch.ones(N, N)):
        with pytest.raises(InputError, match="mask must be a mask of size 32; got"):
            model.mask = other
    assert model.mask is mask


GIVEN = {"mask": ProbabilityMask(N, 4, 20.0)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ({"acceleration": 0.5}, "acceleration must be a finite number of at least 1; got 0.5"),
        ({"width": 0}, "width must be a whole number of at least 1; got 0"),
        ({**GIVEN, "size": 48}, "size must be that of the mask, 32; got 48"),
        ({**GIVEN, "acceleration": 8}, "acceleration must be that of the mask, 4; got 8"),
        ({**GIVEN, "slope": 200}, "slope must be that of the mask, 20; got 200"),
        ({**GIVEN, "slope": "20"}, "slope must be a finite number above 0; got '20'"),
        ({"mask": 3}, "mask must be a ProbabilityMask or another Mask; got 3"),
    ],
)
def test_values_that_cannot_be_used_are_refused(arguments, message):
    assert refusal(Loupe, **{"size": N, "width": 1, **arguments}) == message
