"""Evaluation against NumPy from the mask's parameters on, and masks against their expectation."""

import numpy as np
import pytest
import torch

from loupe_companion import evaluation
from loupe_companion.evaluation import (
    average_mask,
    evaluate,
    mask_statistics,
    reconstruct_all,
    volume_metrics,
)
from loupe_companion.results import read_results
from loupe_companion.sources import load_images
from loupe_lib import Loupe
from loupe_lib.baselines.fixed_masks import DiscMask
from loupe_lib.decoder import zero_filled
from loupe_lib.training.checkpoint import read_weights
from loupe_lib.training.model import build_model
from tests.common import (
    ROOT,
    dft2,
    idft2,
    measured,
    on_each_device,
    random,
    sigmoid,
    smoke,
    uncentre,
)

N = 32


@pytest.fixture
def model() -> Loupe:
    model = build_model(smoke(width=2))
    with torch.no_grad():
        model.mask.gamma.mul_(3)  # so that some probabilities are above 1/2
    model.train()(random(4, N, N))  # and batch norm has seen something
    return model


def hard_mask(model: Loupe, kind: str) -> np.ndarray:
    p = model.mask.probabilities().detach().numpy()
    if kind == "threshold":
        return (p > 0.5).astype(float)
    return (p >= np.sort(p, axis=None)[-round(N * N / 4)]).astype(float)


@on_each_device
@pytest.mark.parametrize("kind", ["threshold", "topk"])
def test_slices_are_measured_one_by_one(kind, model, images, device):
    mask = hard_mask(model, kind)
    found = evaluate(model.to(device), images.test, kind)
    model.cpu()
    x = images.test.images.double().numpy()
    z = idft2(uncentre(mask) * dft2(x))
    assert found["achieved_acceleration"] == pytest.approx(N * N / mask.sum())
    error = np.abs(z) - x
    expected = -10 * np.log10((error**2).mean((1, 2)))
    np.testing.assert_allclose(found["zero_filled_psnr"], expected, rtol=1e-4)
    channels = torch.from_numpy(np.stack([z.real, z.imag], axis=1).astype(np.float32))
    with torch.no_grad():
        error += model.decoder.unet(channels).squeeze(1).numpy()
    expected = -10 * np.log10((error**2).mean((1, 2)))
    np.testing.assert_allclose(found["psnr"], expected, rtol=1e-4 if device == "cpu" else 1e-2)


def test_volumes_are_measured_as_a_whole(model, images):
    found = evaluate(model, images.test, "threshold")
    x = images.test.images.double().numpy()
    volume = images.test.volume.numpy()
    x_hat = np.abs(idft2(uncentre(hard_mask(model, "threshold")) * dft2(x)))
    for v in range(len(images.test.names)):
        pair = (torch.from_numpy(stack[volume == v]) for stack in (x_hat, x))
        for name, value in volume_metrics(*pair).items():
            assert found[f"zero_filled_{name}"][v] == pytest.approx(value, rel=1e-4)
    for prefix in ("", "zero_filled_"):
        assert found[f"{prefix}psnr"].shape == (len(x),)
        for name in ("volume_psnr", "volume_ssim", "volume_nmse"):
            assert found[prefix + name].shape == (len(images.test.names),)


def ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    """Wang et al. 2004 with a 7 x 7 uniform window and sample covariances."""
    a, b = (np.lib.stride_tricks.sliding_window_view(v, (7, 7)) for v in (a, b))
    axes = (-2, -1)
    mean_a, mean_b = a.mean(axes), b.mean(axes)
    var_a, var_b = a.var(axes, ddof=1), b.var(axes, ddof=1)
    covariance = ((a * b).mean(axes) - mean_a * mean_b) * 49 / 48
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def test_volume_metrics_are_those_of_the_fastmri_challenge():
    x = 0.6 * random(3, N, N)
    x_hat = x + 0.05 * (random(3, N, N, seed=1) - 0.5) * torch.tensor([1, 2, 4])[:, None, None]
    found = volume_metrics(x_hat, x)
    estimate, truth = x_hat.double().numpy(), x.double().numpy()
    error, peak = (estimate - truth) ** 2, truth.max()
    assert found["volume_psnr"] == pytest.approx(10 * np.log10(peak**2 / error.mean()))
    assert found["volume_nmse"] == pytest.approx(error.sum() / (truth**2).sum())
    similar = np.mean([ssim(a, b, peak) for a, b in zip(truth, estimate, strict=True)])
    assert found["volume_ssim"] == pytest.approx(similar, abs=1e-6)


def test_complex_images_are_compared_with_their_magnitudes(model, images):
    test = measured(images).test
    found = evaluate(model, test, "threshold")
    x = test.images.numpy().astype(complex)
    error = np.abs(idft2(uncentre(hard_mask(model, "threshold")) * dft2(x))) - np.abs(x)
    expected = -10 * np.log10((error**2).mean((1, 2)))
    np.testing.assert_allclose(found["zero_filled_psnr"], expected, rtol=1e-4)
    assert np.isfinite(found["volume_ssim"]).all()


def test_relaxed_masks_keep_the_budget_on_average_and_are_the_same_each_time(model, images):
    first, second = (evaluate(model, images.test, "relaxed") for _ in range(2))
    assert first["achieved_acceleration"] == pytest.approx(4, rel=0.05)
    assert np.array_equal(first["psnr"], second["psnr"])


def test_an_empty_mask_is_measured_too(model, images):
    with torch.no_grad():
        model.mask.gamma.zero_()  # every probability is 1/4
    found = evaluate(model, images.test, "threshold")
    assert found["achieved_acceleration"] == np.inf
    black = -10 * np.log10((images.test.images.double().numpy() ** 2).mean((1, 2)))
    np.testing.assert_allclose(found["zero_filled_psnr"], black, rtol=1e-5)
    np.testing.assert_allclose(found["zero_filled_volume_nmse"], 1)


def test_evaluation_leaves_the_weights_alone(model, images):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model.train(), images.test, "threshold")
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_are_put_together_in_order():
    images, masks = random(70, N, N), random(70, N, N, seed=1)
    together = reconstruct_all(zero_filled, images, masks)
    k = uncentre(masks.double().numpy()) * dft2(images.double().numpy())
    np.testing.assert_allclose(together.numpy(), np.abs(idft2(k)), atol=1e-5)


@on_each_device
@pytest.mark.parametrize("slope", [5.0, 200.0, 1e4])
def test_the_histogram_is_that_of_eq_6(slope, device):
    mask = build_model(smoke(slope=slope)).mask.to(device)
    found = mask_statistics(mask)
    p = mask.probabilities().detach().cpu().double().numpy()

    def fraction_below(m: np.ndarray) -> np.ndarray:
        """Of U ~ U[0, 1]: M < m if U > P - logit(m) / s; a mean over the entries of P."""
        u = p[..., None] - np.log(m / (1 - m)) / slope
        return 1 - np.clip(u, 0, 1).mean((0, 1))

    edges = np.linspace(0, 1, 51)[1:-1]
    expected = np.diff(np.concatenate([[0], fraction_below(edges), [1]]))
    assert found["histogram"].sum() == pytest.approx(1)
    np.testing.assert_allclose(found["histogram"], expected, atol=2e-3, rtol=0.05)
    soft = np.diff(fraction_below(np.array([0.05, 0.95]))).item()
    assert found["soft_share"] == pytest.approx(soft, rel=0.05)
    assert found["undecided_share"] == pytest.approx(((p > 0.1) & (p < 0.9)).mean())


def test_a_bin_counts_beyond_what_float32_can(monkeypatch):
    monkeypatch.setattr(evaluation, "DRAWS", 50)  # of 640 x 640: 2^24 zeros and more
    found = mask_statistics(DiscMask(640, 8))
    assert found["histogram"].sum() == 1 and found["histogram"][0] == pytest.approx(7 / 8)


def test_statistics_do_not_depend_on_other_draws():
    mask = build_model(smoke()).mask
    first = mask_statistics(mask)
    torch.rand(3)
    assert np.array_equal(first["histogram"], mask_statistics(mask)["histogram"])


def test_a_mask_that_is_no_number_is_counted_without_a_warning():
    mask = build_model(smoke()).mask
    with torch.no_grad():
        mask.gamma.fill_(torch.nan)
    found = mask_statistics(mask)
    assert found["histogram"].sum() == found["soft_share"] == found["undecided_share"] == 0


@pytest.mark.parametrize("slope", [0.5, 20.0, 1e5])
def test_the_average_of_masks_is_their_integral_over_u(slope):
    p = np.array([[0.0, 0.2], [0.5, 1.0]], np.float32)
    u = (np.arange(200_000) + 0.5) / 200_000
    expected = sigmoid(slope * (p[..., None].astype(float) - u)).mean(-1)
    np.testing.assert_allclose(average_mask(p, slope), expected, atol=1e-5)


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "weights").iterdir()), ids=str)
def test_a_kept_model_is_that_of_its_kept_result(path):
    model, config = read_weights(path)
    (kept,) = (r for r in read_results(ROOT / "results" / "center-small.h5") if r.config == config)
    assert path.stat().st_size < 4.2e6 and float(model.mask.slope) == kept.slope
    found = evaluate(model, load_images(config).test, "threshold")
    np.testing.assert_allclose(found["psnr"], kept.metrics["threshold"]["psnr"], atol=1e-2)
