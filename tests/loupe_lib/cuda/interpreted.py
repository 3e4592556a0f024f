"""The CUDA kernels against PyTorch in float32; test_interpreted.py runs this file.

Sizes are chosen so that kernels have several programs, loops several iterations, and the last tile
is not full.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loupe_lib.cuda import kernels
from loupe_lib.cuda.convolutions import PackedConvolutions
from loupe_lib.cuda.trainer import CudaTrainer
from loupe_lib.cuda.upsampling import spread
from loupe_lib.mask import relax
from loupe_lib.training.trainer import PlainTrainer
from loupe_lib.unet import LEAK
from tests.common import random, random_complex
from tests.loupe_lib.cuda.test_cuda import distances, gradients, models

pytestmark = [
    # The interpreter computes a sigmoid as 1 / (1 + exp(-x)), where exp(-x) may become infinite.
    pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning"),
    # In Triton before 3.7 it takes a loop's bounds from arrays of one element.
    pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning"),
]

K, B = 2, 3


def centred(*shape: int, seed: int = 0) -> Tensor:
    """Uniform numbers in [-1, 1]."""
    return 2 * random(*shape, seed=seed) - 1


def inner(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def close(found: Tensor, expected: Tensor) -> None:
    """Assert equality up to float32 rounding of sums, which cancel in part."""
    torch.testing.assert_close(found, expected, rtol=5e-4, atol=5e-4 * float(expected.abs().max()))


def test_encode_and_its_gradient() -> None:
    n = 36  # more than one block of pixels
    p = random(K, n, n).requires_grad_()
    u, slopes = random(K, B, n, n, seed=1), torch.tensor([3.0, 200.0])
    kspace, dy = random_complex(5, n, n), random_complex(K, B, n, n, seed=2)
    indices = torch.tensor([[0, 4, 2], [3, 3, 1]])
    draw = (p.detach(), u, slopes, kspace, indices)
    m = relax(p[:, None], u, slopes[:, None, None, None])
    expected = torch.fft.ifftshift(m, dim=(-2, -1)) * kspace[indices]
    close(kernels.encode(*draw), expected.detach())
    (expected * dy.conj()).real.sum().backward()
    close(kernels.encode_gradient(*draw, dy), p.grad)


def test_adam() -> None:
    size, rates = 1100, [0.01, 0.003]  # more than one block of parameters
    found, gradient = random(K, size), torch.empty(K, size)
    average, square, steps = torch.zeros(K, size), torch.zeros(K, size), torch.zeros(K)
    expected = [p.clone().requires_grad_() for p in found]
    optimizer = torch.optim.Adam(
        [{"params": [p], "lr": rate} for p, rate in zip(expected, rates, strict=True)], eps=1e-3
    )
    for step in range(3):
        gradient.copy_(centred(K, size, seed=step))
        steps += 1
        kernels.adam(found, gradient, average, square, torch.tensor(rates), steps, 1e-3)
        for p, g in zip(expected, gradient, strict=True):
            p.grad = g.clone()
        optimizer.step()
    torch.testing.assert_close(found, torch.stack(expected).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("add", [False, True])
def test_statistics(add: bool) -> None:
    z, bias = centred(K * B, 28, 28, 48), centred(K, 48, seed=1)
    extra = centred(*z.shape, seed=2) if add else None
    summed = z + extra if add else z.clone()
    found = kernels.statistics(z, bias, extra)
    assert found.shape[1] > 1  # partial sums
    assert torch.equal(z, summed)
    a = F.leaky_relu(z.view(K, -1, 48) + bias[:, None], LEAK)
    expected = torch.stack([a, a * a, (a > 0).float(), a.clamp(min=0)], dim=1).sum(2)
    close(found.sum(1), expected)


# A block of the matrix product covers several neighbours if channels are few, else some channels of
# one. Also: numbers of channels that are no power of two, and images wider than a tile.
@pytest.mark.parametrize(("c_in", "c_out", "side"), [(2, 6, 20), (64, 48, 6), (33, 70, 5)])
def test_convolution_and_its_gradients(c_in: int, c_out: int, side: int) -> None:
    x, w = centred(K * B, side, side, c_in), centred(K, c_out, 3, 3, c_in, seed=1)
    bias, dz = centred(K, c_out, seed=2), centred(K * B, side, side, c_out, seed=3)
    convolutions, dw = PackedConvolutions(K), torch.empty_like(w)
    z, sums = convolutions.forward(x, w, bias)
    dx = convolutions.backward(x, dz, w, dw)
    plain, _ = convolutions.forward(x, w)
    assert torch.equal(z, plain)
    for k in range(K):
        of_model = slice(k * B, k * B + B)
        x_k, w_k = inner(x[of_model]).requires_grad_(), inner(w[k]).requires_grad_()
        expected = F.conv2d(x_k, w_k, padding=1)
        expected.backward(inner(dz[of_model]))
        close(inner(z[of_model]), expected.detach())
        close(inner(dx[of_model]), x_k.grad)
        close(inner(dw[k]), w_k.grad)
    close(sums.sum(1), kernels.statistics(z, bias).sum(1))


@pytest.mark.parametrize(("c_skip", "c_low", "c_out"), [(2, 4, 2), (20, 64, 33)])
def test_convolution_after_upsampling_and_its_gradients(c_skip, c_low, c_out) -> None:
    side = 6
    skip, low = centred(K * B, side, side, c_skip), centred(K * B, side // 2, side // 2, c_low)
    w, bias = centred(K, c_out, 3, 3, c_skip + c_low, seed=1), centred(K, c_out, seed=2)
    dz = centred(K * B, side, side, c_out, seed=3)
    convolutions, dw, w4 = PackedConvolutions(K), torch.empty_like(w), spread(w[..., c_skip:])
    z, sums = convolutions.up_forward(skip, low, w, w4, bias)
    dskip, dlow = convolutions.up_backward(skip, low, dz, w, dw, w4)
    for k in range(K):
        of_model = slice(k * B, k * B + B)
        a, b, w_k = (inner(t).requires_grad_() for t in (skip[of_model], low[of_model], w[k]))
        whole = torch.cat([a, F.interpolate(b, scale_factor=2.0, mode="nearest")], dim=1)
        expected = F.conv2d(whole, w_k, padding=1)
        expected.backward(inner(dz[of_model]))
        close(inner(z[of_model]), expected.detach())
        close(inner(dskip[of_model]), a.grad)
        close(inner(dlow[of_model]), b.grad)
        close(inner(dw[k]), w_k.grad)
    close(sums.sum(1), kernels.statistics(z, bias).sum(1))


def random_trainer(keras: bool = False) -> CudaTrainer:
    """Two models of width 3, their parameters random numbers in [-1, 1]."""
    given = models(0, 1, width=3, keras=keras)
    trainer = CudaTrainer(given, random(4, 32, 32), [0.01, 0.01], torch.float32)
    trainer.parameter.copy_(centred(*trainer.parameter.shape))
    return trainer


@pytest.mark.parametrize(("pool", "keras"), [(False, True), (True, False)])
def test_batch_norm_and_its_gradients(pool: bool, keras: bool) -> None:
    trainer = random_trainer(keras)
    layer = trainer.network.down[4][1]  # 48 channels
    z, dy = centred(K * B, 28, 28, 48), centred(K * B, 28, 28, 48, seed=1)
    dpool = centred(K * B, 14, 14, 48, seed=2) if pool else None
    layer.z, layer.training = z.clone(), True
    layer.norm = layer._finish_statistics(kernels.statistics(z, layer.bias))
    y, pooled = layer.normalize(pool)
    dz = layer.normalize_backward(dy, dpool)
    for k, model in enumerate(models(0, 1, width=3, keras=keras)):
        of_model = slice(k * B, k * B + B)
        _, leaky, norm = model.decoder.unet.down[4][3:]
        leaf = inner(z[of_model]).requires_grad_()
        bias, weight, shift = (
            v[k].clone().requires_grad_() for v in (layer.bias, layer.gamma, layer.beta)
        )
        expected = F.batch_norm(
            leaky(leaf + bias[:, None, None]),
            norm.running_mean,
            norm.running_var,
            weight,
            shift,
            True,
            norm.momentum,
            norm.eps,
        )
        close(inner(y[of_model]), expected.detach())
        loss = (expected * inner(dy[of_model])).sum()
        if dpool is not None:
            average = F.avg_pool2d(expected, 2)
            close(inner(pooled[of_model]), average.detach())
            loss += (average * inner(dpool[of_model])).sum()
        loss.backward()
        close(inner(dz[of_model]), leaf.grad)
        for found, leaf in ((layer.dbias, bias), (layer.dgamma, weight), (layer.dbeta, shift)):
            close(found[k], leaf.grad)
        close(layer.running_mean[k], norm.running_mean)
        close(layer.running_var[k], norm.running_var)


def test_partial_sums_may_be_any_number() -> None:
    layer = random_trainer().network.down[4][1]
    layer.z = torch.empty(K, 64, 64, 48)
    sums = random(K, 4160, 4, 48)  # so many that they are added up twice
    close(layer._finish_statistics(sums), layer._finish_statistics(sums.sum(1, keepdim=True)))


def test_head_loss_and_their_gradients() -> None:
    trainer = random_trainer()
    network, n = trainer.network, 92
    last = network.up[-1][1]
    z, images = centred(K * B, n, n, 3), random(5, n, n)
    zero_filled = random_complex(K, B, n, n)
    indices = torch.tensor([[0, 4, 2], [3, 3, 1]])
    last.z, last.training = z.clone(), True
    last.norm = last._finish_statistics(kernels.statistics(z, last.bias))
    channels = torch.view_as_real(zero_filled).flatten(0, 1)
    output, _, _ = network._head(last, channels, None, None)
    sign, partial, sums = network._head(last, channels, images, indices)
    assert sums.shape[1] > B  # several programs an image
    head = "decoder.unet.head"
    value, gradient = trainer.values[f"{head}.weight"], trainer.gradients[f"{head}.weight"]
    dz = last.finish_backward(sign, None, partial, value, gradient)
    for k in range(K):
        of_model = slice(k * B, k * B + B)
        leaf = inner(z[of_model]).requires_grad_()
        bias, weight, shift, h = (
            v[k].clone().requires_grad_() for v in (last.bias, last.gamma, last.beta, value)
        )
        y = F.batch_norm(
            F.leaky_relu(leaf + bias[:, None, None], LEAK), None, None, weight, shift, True
        )
        estimate = zero_filled[k].abs() + (inner(h) * y).sum(1) + trainer.values[f"{head}.bias"][k]
        estimate.retain_grad()
        loss = F.l1_loss(estimate, images[indices[k]])
        loss.backward()
        close(output.view(K, B, n, n)[k], estimate.detach())
        close(sums[k].sum() / (B * n * n), loss.detach())
        assert torch.equal(sign.view(K, B, n, n)[k], estimate.grad)
        close(dz.view(K, B, n, n, 3)[k], leaf.grad.permute(0, 2, 3, 1))
        parameters = (last.dbias, bias), (last.dgamma, weight), (last.dbeta, shift), (gradient, h)
        for found, parameter in parameters:
            close(found[k], parameter.grad)


class InterpretedTrainer(CudaTrainer):
    """Runs each step, where on a GPU its recording is replayed."""

    def _record(self) -> "InterpretedTrainer":
        return self

    def replay(self) -> None:
        self._losses = self._run()


@pytest.mark.parametrize(("seeds", "relaxed", "center"), [((0,), False, 0), ((0, 1), True, 3)])
def test_a_step_and_evaluation_are_those_of_plain_pytorch(seeds, relaxed, center) -> None:
    images, rates = random(4, 32, 32), [0.01, 0.003][: len(seeds)]
    indices = torch.tensor([[0, 3], [2, 1]])[: len(seeds)]
    given, same = (models(*seeds, width=2, center=center) for _ in range(2))
    plain = PlainTrainer(given, images, rates)
    fast = InterpretedTrainer(same, images, rates, torch.float32)
    before = fast.parameter.clone()
    expected, found = plain.step(indices), fast.step(indices.T.contiguous().T)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    for k in range(len(seeds)):
        assert distances(gradients(fast, k), gradients(plain, k))[-1] < 2e-3
        state = fast.state(k)
        for name, value in plain.state(k).items():
            if "running" in name or "tracked" in name or name == "generator":
                torch.testing.assert_close(state[name], value)
        # Adam's first step divides the gradient by its own magnitude.
        step = rates[k] * fast.gradient[k] / (fast.gradient[k].abs() + 1e-8)
        torch.testing.assert_close(fast.parameter[k], before[k] - step)
    generators = [model.encoder.generator for model in fast.models]
    before_draw = [generator.get_state() for generator in generators]
    found = fast.evaluate(images[:1], relaxed)
    for generator, state in zip(generators, before_draw, strict=True):
        generator.set_state(state)
    expected = PlainTrainer(fast.models, images, rates).evaluate(images[:1], relaxed)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
