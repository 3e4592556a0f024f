"""The U-Net against one written out with pooling and upsampling by hand."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d

from loupe_lib import InputError, UNet
from tests.common import on_each_device, random


def test_the_paper_s_network_has_31_million_parameters():
    with torch.device("meta"):
        network = UNet(width=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_390_145


def by_hand(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network in eval mode, from its weights alone."""

    def block(name: str, x: Tensor) -> Tensor:
        for i in (0, 3):
            x = conv2d(x, weights[f"{name}.{i}.weight"], weights[f"{name}.{i}.bias"], padding=1)
            x = torch.where(x > 0, x, 0.3 * x)
            norm = (
                weights[f"{name}.{i + 2}.{key}"]
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            x = batch_norm(x, *norm)
        return x

    skips = []
    for level in range(4):
        x = block(f"down.{level}", x)
        skips.append(x)
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    x = block("down.4", x)
    for level in range(4):
        x = x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        x = block(f"up.{level}", torch.cat([skips.pop(), x], dim=1))
    return conv2d(x, weights["head.weight"], weights["head.bias"])


@on_each_device
@pytest.mark.parametrize("size", [32, 48])
def test_the_network_pools_averages_upsamples_nearest_and_skips(size, device):
    network = UNet(2, 1, width=2).double().to(device)
    x = random(4, 2, size, size).double().to(device)
    network.train()(x)  # so that the running statistics are not those of the start
    with torch.no_grad():
        y = network.eval()(x)
        torch.testing.assert_close(y, by_hand(network.state_dict(), x))
    assert y.shape == (4, 1, size, size)


@pytest.mark.parametrize("width", [0, 1.5, "8"])
def test_a_width_that_is_no_number_of_channels_is_refused(width):
    with pytest.raises(InputError, match=f"width must be a whole number of .* 1; got {width!r}"):
        UNet(width=width)
