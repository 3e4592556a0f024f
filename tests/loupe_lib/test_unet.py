"""The U-Net against one written out with pooling and upsampling by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from loupe_lib import InputError, UNet
from tests.common import on_each_device, random


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_paper_s_network_has_31_million_parameters():
    with torch.device("meta"):
        found = parameters(UNet(width=64))
    assert found == pytest.approx(31.39e6, rel=0.01)


@pytest.mark.parametrize("width", [1, 4])
def test_the_parameters_are_those_of_five_levels_of_two_convolutions(width):
    w = [width * 2**level for level in range(5)]
    down = list(zip([2, *w], w, strict=False))
    up = [(w[k] + w[k + 1], w[k]) for k in (3, 2, 1, 0)]
    blocks = sum(9 * i * o + 9 * o * o + 2 * o + 4 * o for i, o in down + up)
    assert parameters(UNet(width=width)) == blocks + width + 1


def test_a_level_is_two_times_convolution_leaky_relu_and_batch_norm():
    network = UNet(width=4)
    assert len(network.down) == 5 and len(network.up) == 4
    for block in [*network.down, *network.up]:
        kinds = [nn.Conv2d, nn.LeakyReLU, nn.BatchNorm2d]
        assert [type(layer) for layer in block] == 2 * kinds
        assert all(layer.kernel_size == (3, 3) for layer in block[::3])
        assert all(layer.negative_slope == 0.3 for layer in block[1::3])
    assert network.head.kernel_size == (1, 1)


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
