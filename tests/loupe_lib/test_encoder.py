"""The encoder against the DFT by its definition, and its properties as an operator."""

import numpy as np
import pytest
import torch

from loupe_lib import Encoder, InputError, ProbabilityMask
from loupe_lib.encoder import undersample
from tests.common import dft2, idft2, on_each_device, random, random_complex, refusal, uncentre

N = 32


both_kinds = pytest.mark.parametrize("kind", [random, random_complex], ids=["real", "complex"])


@on_each_device
@both_kinds
@pytest.mark.parametrize("shape", [(N, N), (3, N, N)], ids=["one mask", "a mask an image"])
def test_undersample_is_eq_1(shape, kind, device):
    x, mask = kind(3, N, N), random(*shape, seed=1)
    y = undersample(x.to(device), mask.to(device))
    assert y.dtype == torch.complex64
    expected = uncentre(mask.double().numpy()) * dft2(x.numpy().astype(complex))
    np.testing.assert_allclose(y.cpu().numpy(), expected, atol=2e-5)


def test_the_mask_is_centred_and_k_space_in_fft_order():
    x, mask = random(1, N, N), torch.zeros(N, N)
    mask[N // 2, N // 2] = 1
    y = undersample(x, mask)
    assert y[0, 0, 0].real.item() == pytest.approx(x.sum().item() / N, rel=1e-5)
    assert y.count_nonzero() == 1


@on_each_device
@both_kinds
def test_autograd_is_the_adjoint(kind, device):
    x, mask = kind(2, N, N).to(device).requires_grad_(), random(N, N, seed=1).to(device)
    y = torch.complex(random(2, N, N, seed=2), random(2, N, N, seed=3)).to(device)
    (undersample(x, mask) * y.conj()).real.sum().backward()
    adjoint = idft2(uncentre(mask.cpu().double().numpy()) * y.cpu().numpy())
    expected = adjoint if x.is_complex() else adjoint.real
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, atol=2e-5)


def test_training_gives_each_image_a_relaxed_mask_of_its_own():
    encoder = Encoder(ProbabilityMask(N, 4, slope=20)).train()
    encoder.generator = torch.Generator().manual_seed(3)
    x = random(1, N, N).expand(4, -1, -1)
    masks = encoder.mask.sample(4, torch.Generator().manual_seed(3))
    y = encoder(x)
    assert torch.equal(y, undersample(x, masks))
    assert all(not torch.equal(y[i], y[j]) for i in range(4) for j in range(i))
    assert not torch.equal(encoder(x), y)


def test_inference_uses_the_thresholded_mask():
    encoder = Encoder(ProbabilityMask(N, 2)).eval()
    x = random(2, N, N)
    hard = uncentre(np.where(encoder.mask.probabilities().detach().numpy() > 0.5, 1.0, 0.0))
    y = encoder(x)
    np.testing.assert_allclose(y.detach().numpy(), hard * dft2(x.double().numpy()), atol=2e-5)
    assert torch.equal(encoder(x), y)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("x", "got"),
    [
        (random(N, N), "shape (32, 32)"),  # would broadcast to (N, N, N)
        (random(2, 1, N, N), "shape (2, 1, 32, 32)"),
        (random(2, 48, 48), "shape (2, 48, 48)"),
        (np.zeros((2, N, N)), "ndarray"),
    ],
    ids=["no batch", "channels", "size", "NumPy"],
)
def test_images_of_another_shape_are_refused(x, got, mode):
    told = refusal(Encoder(ProbabilityMask(N, 4)).train(mode), x)
    assert told == f"images must be a tensor of shape (B, 32, 32); got {got}"


def test_grey_levels_are_refused():
    with pytest.raises(InputError, match=r"floating-point in \[0, 1\], .*; got torch.uint8"):
        Encoder(ProbabilityMask(N, 4))((255 * random(2, N, N)).byte())


@on_each_device
@both_kinds
def test_autocast_changes_nothing_in_the_encoder(kind, device):
    encoder, x = Encoder(ProbabilityMask(N, 4)).eval().to(device), kind(2, N, N).to(device)
    expected = encoder(x)
    with torch.autocast(device, torch.bfloat16):
        y = encoder(x)
    assert y.dtype == torch.complex64
    assert torch.equal(y, expected)
