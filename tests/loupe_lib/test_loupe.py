"""The autoencoder as a whole."""

import numpy as np
import pytest
import torch
from torch.nn.functional import l1_loss

from loupe_lib import InputError, Loupe
from tests.common import assert_one_line, dft2, idft2, on_each_device, random, uncentre

N = 32


def test_inference_is_the_encoder_then_the_decoder():
    model, x = Loupe(N, 2, width=2).eval(), random(2, N, N)
    with torch.no_grad():
        x_hat = model(x)
        p = model.mask.probabilities().numpy()
        z = idft2(uncentre(np.where(p > 0.5, 1.0, 0.0)) * dft2(x.double().numpy()))
        channels = np.stack([z.real, z.imag], axis=1).astype(np.float32)
        correction = model.decoder.unet(torch.from_numpy(channels)).squeeze(1).numpy()
    np.testing.assert_allclose(x_hat.numpy(), np.abs(z) + correction, atol=1e-4)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ({"size": 16}, "size must be a multiple of 16, at least 32; got 16"),
        ({"acceleration": 0.5}, "acceleration must be a finite number of at least 1; got 0.5"),
        ({"slope": -1.0}, "slope must be a finite number above 0; got -1.0"),
        ({"width": 0}, "width must be at least 1; got 0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        Loupe(**{"size": N, "width": 2, **arguments})
    assert str(caught.value) == message
    assert_one_line(message)
