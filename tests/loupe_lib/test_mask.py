"""The mask against float64 NumPy, and the conditions under which it has to hold."""

import contextlib
import math

import numpy as np
import pytest
import torch
from scipy import stats

from loupe_lib import Encoder, InputError, ProbabilityMask, binarize, rescale
from loupe_lib.baselines import Concrete, StraightThrough, TanhSurrogate, TrainedSlope
from loupe_lib.mask import relax
from tests.common import on_each_device, random, sigmoid

N = 32

MAPS = {
    "mean above r": random(N, N),
    "mean below r": random(N, N) * 0.2,
    "mean equal to r": torch.tensor([0.0, 0.5]).repeat(N, N // 2),
    "constant, equal to r": torch.full((N, N), 0.25),
    "all zero": torch.zeros(N, N),
    "all one": torch.ones(N, N),
    "binary": (random(N, N) > 0.9).float(),
}
each_map = pytest.mark.parametrize("s", MAPS.values(), ids=MAPS.keys())


def rescaled(s: np.ndarray, acceleration: float) -> np.ndarray:
    """Eq. 5."""
    r, mean = 1 / acceleration, s.mean()
    return s * r / mean if mean >= r else 1 - (1 - r) / (1 - mean) * (1 - s)


@on_each_device
@each_map
@pytest.mark.parametrize("acceleration", [1, 1.5, 4, 8])
def test_rescale_is_eq_5(s, acceleration, device):
    p = rescale(s.to(device), acceleration).cpu().double().numpy()
    np.testing.assert_allclose(p, rescaled(s.double().numpy(), acceleration), atol=1e-6)
    assert abs(p.mean() - 1 / acceleration) < 2e-7
    assert p.min() >= 0 and p.max() <= 1


@on_each_device
@each_map
@pytest.mark.parametrize("acceleration", [1, 4, 8])
def test_the_gradient_of_rescale_is_finite(s, acceleration, device):
    s = s.clone().to(device).requires_grad_()
    (rescale(s, acceleration) * random(N, N, seed=1).to(device)).sum().backward()
    assert s.grad is not None and s.grad.isfinite().all()


@pytest.mark.parametrize("name", ["mean above r", "mean below r"])
def test_the_gradient_of_rescale_is_that_of_eq_5(name):
    s, weight = MAPS[name].clone().requires_grad_(), random(N, N, seed=1)
    (rescale(s, 4) * weight).sum().backward()
    step = 1e-6
    for entry in [(0, 0), (3, 17), (31, 31)]:
        up, down = (s.detach().double().numpy() for _ in range(2))
        up[entry] += step
        down[entry] -= step
        difference = (rescaled(up, 4) - rescaled(down, 4)) * weight.double().numpy()
        assert s.grad[entry].item() == pytest.approx(difference.sum() / (2 * step), abs=1e-4)


def test_s_starts_uniform_between_1_and_99_percent():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mask = ProbabilityMask(320, 4, t=3)
    s = sigmoid(3 * mask.gamma.detach().double().numpy())
    assert s.min() >= 0.01 - 1e-6 and s.max() <= 0.99 + 1e-6
    assert stats.kstest(s.ravel(), "uniform", (0.01, 0.98)).pvalue > 0.01


@pytest.mark.parametrize("acceleration", [1, 1.5, 4, 8])
def test_probabilities_are_the_rescaled_sigmoid_of_gamma(acceleration):
    mask = ProbabilityMask(N, acceleration)
    p = mask.probabilities().detach().double().numpy()
    gamma = mask.gamma.detach().double().numpy()
    np.testing.assert_allclose(p, rescaled(sigmoid(5 * gamma), acceleration), atol=1e-6)
    assert abs(p.mean() - 1 / acceleration) < 2e-7
    assert p.min() >= 0 and p.max() <= 1


@pytest.mark.parametrize("slope", [1, 200, 5e4, 1e6])
def test_relax_is_eq_6(slope):
    p, u = random(N, N), random(3, N, N, seed=1)
    expected = sigmoid(slope * (p.double() - u.double()).numpy())
    # P - U is rounded at 6e-8, and the slope multiplies that.
    np.testing.assert_allclose(relax(p, u, slope).numpy(), expected, atol=1e-6 + 2e-8 * slope)


def test_masks_are_drawn_by_eq_6_with_one_u_an_image():
    mask = ProbabilityMask(N, 4, slope=5)
    drawn = mask.sample(8, torch.Generator().manual_seed(0)).detach().double()
    assert drawn.shape == (8, N, N)
    u = (mask.probabilities().detach() - torch.logit(drawn) / 5).numpy()
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01
    correlation = np.corrcoef(u.reshape(8, -1)) - np.eye(8)
    assert np.abs(correlation).max() < 5 / N  # five standard deviations


@on_each_device
@pytest.mark.parametrize("slope", [10.0**k for k in range(7)])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_gradients_of_gamma_are_finite_and_not_all_zero(slope, autocast, device):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mask = ProbabilityMask(128, 4, slope)
    encoder = Encoder(mask).to(device)
    encoder.generator = torch.Generator(device).manual_seed(0)
    x = random(8, 128, 128).to(device)
    context = torch.autocast(device, torch.bfloat16) if autocast else contextlib.nullcontext()
    with context:
        encoder(x).abs().square().sum().backward()
    gradient = mask.gamma.grad
    assert gradient.dtype == torch.float32
    assert gradient.isfinite().all()
    assert gradient.count_nonzero() > 0


def test_u_is_float32_whatever_the_default_type():
    mask = ProbabilityMask(N, 4, slope=1e5)
    drawn = mask.sample(2, torch.Generator().manual_seed(0))
    torch.set_default_dtype(torch.bfloat16)  # as Lightning does for precision="bf16-true"
    try:
        assert torch.equal(mask.sample(2, torch.Generator().manual_seed(0)), drawn)
    finally:
        torch.set_default_dtype(torch.float32)


@on_each_device
def test_autocast_changes_nothing_in_the_mask(device):
    mask = ProbabilityMask(N, 4, slope=1e5).to(device)
    drawn = mask.sample(2, torch.Generator(device).manual_seed(0))
    with torch.autocast(device, torch.bfloat16):
        under = mask.sample(2, torch.Generator(device).manual_seed(0))
        probabilities = mask.probabilities()
    assert under.dtype == probabilities.dtype == torch.float32
    assert torch.equal(under, drawn)
    assert torch.equal(probabilities, mask.probabilities())


def test_the_slope_is_a_buffer_that_changes_in_place():
    mask = ProbabilityMask(N, 4, slope=20)
    assert mask.slope.shape == () and mask.slope.dtype == torch.float32
    assert [name for name, _ in mask.named_parameters()] == ["gamma"]
    assert mask.state_dict()["slope"] == 20
    mask.slope.mul_(2)
    drawn = mask.sample(1, torch.Generator().manual_seed(0))
    u = torch.rand(1, N, N, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, relax(mask.probabilities(), u, 40.0))
    other = ProbabilityMask(N, 4)
    other.load_state_dict(mask.state_dict())
    assert other.slope == 40


def central(center: int, lines: bool) -> np.ndarray:
    """Where the centre is, (N, N): from N//2 - center//2 on."""
    first = N // 2 - center // 2
    inside = np.zeros((N, N), bool)
    inside[slice(None) if lines else slice(first, first + center), first : first + center] = True
    return inside


LEARNED = [ProbabilityMask, StraightThrough, Concrete, TanhSurrogate, TrainedSlope]


@on_each_device
@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize(
    ("center", "lines"), [(1, False), (4, False), (5, False), (16, False), (3, True), (8, True)]
)
def test_the_centre_is_always_measured_and_part_of_the_budget(kind, center, lines, device):
    mask = kind(N, 4, slope=5.0, lines=lines, center=center).to(device)
    inside = central(center, lines)
    p = mask.probabilities().detach().cpu().double().numpy()
    s = sigmoid(5 * mask.gamma.detach().cpu().double().numpy())
    s = np.broadcast_to(s, (N, N))
    assert (p[inside] == 1).all()
    assert p.mean() == pytest.approx(1 / 4, abs=2e-7)
    rest = (N * N / 4 - inside.sum()) / (~inside).sum()
    if rest:
        np.testing.assert_allclose(p[~inside], rescaled(s[~inside], 1 / rest), atol=1e-6)
    drawn = mask.sample(3)
    assert (drawn.detach().cpu().numpy()[:, inside] == 1).all()
    hard = mask.binarize("topk").cpu().numpy()
    assert hard.sum() == N * N / 4 and hard[inside].all()
    assert mask.binarize().cpu().numpy()[inside].all()
    (drawn * random(N, N).to(device)).sum().backward()
    gradient = np.broadcast_to(mask.gamma.grad.cpu().numpy(), (N, N))
    assert not gradient[inside].any() and gradient[~inside].any() == (rest > 0)
    assert np.isfinite(gradient).all()


def test_topk_keeps_the_centre_when_other_probabilities_are_1_too():
    mask = ProbabilityMask(N, 8, center=2)
    with torch.no_grad():
        mask.gamma.fill_(-20)
        mask.gamma[:4] = 20  # N * N / 8 samples, all of which come before the centre
    assert mask.probabilities().gt(0.96).sum() == 4 * N + 4
    hard = mask.binarize("topk").numpy()
    assert hard.sum() == 4 * N and hard[central(2, False)].all()


@on_each_device
def test_threshold_keeps_what_is_above_one_half(device):
    p = random(N, N)
    p[0, :3] = torch.tensor([0.5, 0.5 + 1e-6, 0.5 - 1e-6])
    hard = binarize(p.to(device))
    assert hard.dtype == torch.float32 and hard.device.type == device
    assert np.array_equal(hard.cpu().numpy(), np.where(p.numpy() > 0.5, 1, 0))


TIES = {
    "none": random(N, N),
    "all": torch.full((N, N), 0.25),
    "some": (random(N, N) * 5).round() / 5,
    "zeros and ones": (random(N, N) > 0.7).float(),
}


@on_each_device
@pytest.mark.parametrize("p", TIES.values(), ids=TIES.keys())
@pytest.mark.parametrize("acceleration", [1, 3, 4, 7.3, 8, 1024, 5000])
def test_topk_keeps_exactly_the_budget_and_the_largest(p, acceleration, device):
    hard = binarize(p.to(device), acceleration, "topk").cpu()
    assert hard.sum().item() == round(N * N / acceleration)
    assert set(hard.unique().tolist()) <= {0.0, 1.0} and hard.shape == p.shape
    kept, left = p[hard == 1], p[hard == 0]
    if len(kept) and len(left):
        assert kept.min() >= left.max()
        equal = hard[p == kept.min()]  # of equal ones, the first in memory
        assert torch.equal(equal, equal.sort(descending=True).values)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        *(((size, 4), f"size.*{size}") for size in (0, -32, 16, 40, 32.5, True, math.nan)),
        *(((size, 4), "size.*got") for size in ((N, N), str(N))),
        *(((N, r), f"acceleration.*{r}") for r in (0.5, -4, math.nan, math.inf, "4")),
        ((N, N * N + 1), f"acceleration must be at most {N * N}, .*; got {N * N + 1}"),
        ((N, N + 0.5, 200, 5, True), f"acceleration must be at most {N}, .*; got {N}.5"),
        *(((N, 4, s), f"slope.*{s}") for s in (0, -1, math.nan, math.inf, None)),
        *(((N, 4, 200, t), f"t must.*{t}") for t in (0, math.nan)),
        ((N, 4, 1e39), "slope must be a finite number"),  # infinite in float32
        ((N, 4, 200, 5, "yes"), "lines must be true or false; got .yes."),
        *(((N, 4, 200, 5, False, c), f"center must be a whole number .*{c}") for c in (-1, 1.5)),
        ((N, 4, 200, 5, False, 17), "center must be at most 16, .* budget of 1/4 .*; got 17"),
        ((N, 4, 200, 5, True, 9), "center must be at most 8, .*; got 9"),
        ((N, 1, 200, 5, False, N), f"center must be at most {N - 1}"),
    ],
)
def test_values_out_of_range_are_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        ProbabilityMask(*arguments)


@pytest.mark.parametrize(("lines", "r"), [(False, N * N), (True, N)])
def test_the_highest_acceleration_keeps_one_sample_or_column(lines, r):
    assert ProbabilityMask(N, r, lines=lines).binarize("topk").sum() == N * N / r


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rescale(torch.rand(N, N), 0.9), "acceleration must be .* at least 1; got 0.9"),
        (lambda: binarize(torch.rand(N, N), 0, "topk"), "acceleration must be .*; got 0"),
        (lambda: binarize(torch.rand(N, N), 4, "round"), "one of threshold, topk; got 'round'"),
        (lambda: binarize(torch.rand(N, N), method="topk"), "'topk' needs an acceleration"),
    ],
)
def test_functions_refuse_values_out_of_range(call, message):
    with pytest.raises(InputError, match=message):
        call()
