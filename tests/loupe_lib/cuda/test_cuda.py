"""The CUDA training step against the plain one, which is the reference."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loupe_companion.sources import load_images
from loupe_lib import Loupe, SelfShrinkingSlope
from loupe_lib.cuda import trainer_for
from loupe_lib.cuda.encoders import TorchEncoder, draw_shape
from loupe_lib.cuda.memory import PackedModels
from loupe_lib.cuda.upsampling import gather, spread
from loupe_lib.training.loop import train
from loupe_lib.training.model import MASK_SEED, build_model
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import fixed, random, smoke


def models(*seeds: int, device: str = "cpu", **settings: object) -> list[Loupe]:
    """One model per seed; their accelerations and, unless given, their slopes differ."""
    return [
        build_model(
            fixed(
                **{"slope": 200.0 * 5 ** (k % 3), **settings},
                seed=k,
                acceleration=4.0 + 4 * (k % 2),
            ),
            device,
        )
        for k in seeds
    ]


# Without a GPU: shared memory, convolution after upsampling, the encoders of other masks.


def test_the_trainer_is_plain_without_a_gpu_bfloat16_or_triton(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert trainer_for(torch.device("cpu")) is PlainTrainer
    assert trainer_for(torch.device("cuda")) is PlainTrainer
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setitem(sys.modules, "triton", None)  # as if it were not installed
    assert trainer_for(torch.device("cuda")) is PlainTrainer


def test_spread_weights_convolve_the_small_map_as_the_upsampled_one():
    x, w = random(2, 6, 5, 7).double(), random(1, 3, 3, 3, 6, seed=1).double() - 0.5
    up = F.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = F.conv2d(up, w[0].permute(0, 3, 1, 2), padding=1)
    w4 = spread(w.float()).double()[0].permute(3, 0, 1, 2)  # (in, out, 4, 4)
    found = F.conv_transpose2d(x, w4, stride=2, padding=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_gather_is_the_adjoint_of_spread():
    w, g = random(2, 3, 3, 3, 4), random(2, 3, 4, 4, 4, seed=1)
    left, right = (spread(w) * g).sum(), (w * gather(g)).sum()
    torch.testing.assert_close(left, right)


def test_models_in_shared_memory_compute_what_they_did():
    x = random(3, 32, 32)
    given = models(0, 1)
    before = [
        ({n: v.clone() for n, v in m.state_dict().items()}, m.eval()(x).detach()) for m in given
    ]
    PackedModels(given, [0.01, 0.01])
    for model, (state, output) in zip(given, before, strict=True):
        after = model.state_dict()
        assert after.keys() == state.keys()
        assert all(torch.equal(after[name], state[name]) for name in state)
        torch.testing.assert_close(model(x).detach(), output)


def test_changes_in_place_are_seen_on_both_sides():
    given = models(0, 1)
    callback = SelfShrinkingSlope(given[1], patience=1, factor=2)
    packed = PackedModels(given, [0.01, 0.01])
    callback.step(1.0)
    assert callback.step(2.0)
    assert packed.slopes.tolist() == [200.0, 2000.0]
    packed.parameter.fill_(0.5)
    packed.buffers["decoder.unet.up.3.5.running_var"][1] = 7
    assert all((p == 0.5).all() for model in given for p in model.parameters())
    assert (given[1].decoder.unet.up[3][5].running_var == 7).all()
    assert (given[0].decoder.unet.up[3][5].running_var == 1).all()


def test_probabilities_are_each_model_s_own():
    given = models(0, 1, 2) + models(3, center=3)
    with torch.no_grad():
        given[0].mask.gamma += 1  # mean(S) well above 1/R, and well below
        given[1].mask.gamma -= 1
    packed = PackedModels(given, [0.01] * 4)
    found = packed.probabilities(packed.values["encoder.mask.gamma"])
    for p, model in zip(found, given, strict=True):
        torch.testing.assert_close(p, model.mask.probabilities().detach(), rtol=1e-5, atol=1e-6)


OTHER = ["straight_through", "concrete", "tanh", "trained_slope", "sigmoid", "uniform"]


@pytest.mark.parametrize("mask", ["sigmoid", "trained_slope", "uniform"])
def test_a_state_travels_between_plain_and_packed(mask):
    images, batch = random(8, 32, 32), torch.arange(4)[None]
    first = PlainTrainer(models(0, mask=mask), images, [0.01])
    for _ in range(3):
        first.step(batch)
    state = first.state(0)
    packed = PackedModels(models(4, 5, mask=mask), [0.01, 0.01])
    packed.load(1, state)
    travelled = packed.state(1)
    assert travelled.keys() == state.keys()
    assert all(torch.equal(travelled[name], state[name]) for name in state)

    second = PlainTrainer(models(6, mask=mask), images, [0.01])
    second.load(0, travelled)
    first.step(batch), second.step(batch)
    after, other = first.state(0), second.state(0)
    assert all(torch.equal(after[name], other[name]) for name in after)

    packed.load(1, {name: v for name, v in state.items() if name.startswith("model.")})
    assert packed.steps.tolist() == [0, 0]
    assert not any(name.startswith("adam.") for name in packed.state(1))
    assert not packed.average.any() and not packed.square.any()


@pytest.mark.parametrize("lines", [False, True], ids=["points", "lines"])
@pytest.mark.parametrize("mask", OTHER)
def test_other_masks_are_encoded_as_each_model_does_and_get_autograd_s_gradient(mask, lines):
    images, indices = random(6, 32, 32), torch.tensor([[0, 5, 2], [4, 1, 1]])
    kspace = torch.fft.fft2(images, norm="ortho")
    plain, packed = (models(0, 1, mask=mask, lines=lines, slope=5.0) for _ in range(2))
    memory, encoder = PackedModels(packed, [0.01, 0.01]), TorchEncoder(kspace)
    u = torch.empty(2, 3, *draw_shape(plain[0].mask))
    for model, draws in zip(plain, u, strict=True):
        torch.rand(draws.shape, generator=model.encoder.generator, out=draws)
    z = encoder.forward(memory, u, indices)
    weight = torch.complex(random(*z.shape, seed=1) - 0.5, random(*z.shape, seed=2) - 0.5)
    encoder.backward(memory, weight)  # as of the loss Re <weight, z>
    for k, model in enumerate(plain):
        model.encoder.generator.manual_seed(MASK_SEED + k)  # draws again what u holds
        expected = torch.fft.ifft2(model.encoder(images[indices[k]]), norm="ortho")
        torch.testing.assert_close(z[k], expected, atol=1e-5, rtol=1e-4)
        if mask == "uniform":
            assert not list(model.mask.parameters())
            continue
        (expected * weight[k].conj()).real.sum().backward()
        for name, p in model.mask.named_parameters():
            found = memory.gradients[f"encoder.mask.{name}"][k]
            torch.testing.assert_close(found, p.grad, atol=1e-5, rtol=1e-3)
            assert p.grad.count_nonzero() > 0
    hard = torch.stack([model.mask.binarize() for model in plain])
    assert torch.equal(encoder.binarize(memory), hard)


# With a GPU.

cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
gpu = pytest.mark.parametrize("device", [pytest.param("cuda", marks=cuda)])


class AutocastTrainer(PlainTrainer):
    """PyTorch's own bfloat16, for the errors that come from this precision."""

    def step(self, indices: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return super().step(indices)


def fast(given: list[Loupe], images: Tensor, rates: list[float]):
    pytest.importorskip("triton")
    from loupe_lib.cuda.trainer import CudaTrainer

    return CudaTrainer(given, images, rates)


def pack(x: Tensor, *rates: float) -> PackedModels:
    """One model per rate, of size 64 and width 16."""
    return fast(models(*range(len(rates)), device="cuda", size=64, width=16), x, list(rates))


def heads() -> Tensor:
    return load_images(smoke(size=64, train=48)).train.images.to("cuda")


@pytest.fixture
def strict(monkeypatch):
    """Plain PyTorch without TensorFloat-32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def batches(count: int, models: int, seed: int = 0) -> Tensor:
    """(count, models, 16) of 48 images."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(48, generator=generator)[:16] for _ in range(count * models)]
    return torch.stack(drawn).view(count, models, 16).cuda()


def gradients(trainer, k: int) -> dict[str, Tensor]:
    if isinstance(trainer, PlainTrainer):
        return {name: p.grad for name, p in trainer.models[k].named_parameters()}
    return {
        name: g[k].permute(0, 3, 1, 2) if g[k].dim() == 4 else g[k]
        for name, g in trainer.gradients.items()
    }


def stepped(trainer, drawn: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The mean loss of each model over some batches, and its gradients, those of all batches."""
    losses, kept = [], [[] for _ in trainer.models]
    for indices in drawn:
        losses.append(trainer.step(indices))
        for k, of_model in enumerate(kept):
            of_model.append({name: g.clone() for name, g in gradients(trainer, k).items()})
    return torch.stack(losses).mean(dim=0), [
        {name: torch.stack([g[name] for g in of_model]) for name in of_model[0]}
        for of_model in kept
    ]


def distances(found: dict[str, Tensor], expected: dict[str, Tensor]) -> Tensor:
    """Relative distance of each tensor, in order of size."""
    ratios = [(found[n] - expected[n]).norm() / expected[n].norm() for n in expected]
    return torch.stack(ratios).sort().values


def with_phase(x: Tensor) -> Tensor:
    """The images with a phase that turns once from side to side."""
    across = torch.linspace(-torch.pi, torch.pi, x.shape[-1], device=x.device)
    return torch.polar(x, across.expand(x.shape))


@gpu
@pytest.mark.parametrize("kind", [Tensor.contiguous, with_phase], ids=["real", "complex"])
@pytest.mark.parametrize(
    ("width", "seeds", "center"), [(16, (0,), 0), (16, (0, 1), 4), (6, (0, 1), 0)]
)
def test_a_step_is_as_near_the_plain_one_as_bfloat16_gets(
    device, width, seeds, center, kind, strict
):
    x, (indices,), rates = kind(heads()), batches(1, len(seeds)), [0.01] * len(seeds)
    plain, auto, quick = (
        make(models(*seeds, device=device, size=64, width=width, center=center), x, rates)
        for make in (PlainTrainer, AutocastTrainer, fast)
    )
    expected, _, found = plain.step(indices), auto.step(indices), quick.step(indices)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=0)
    for k in range(len(seeds)):
        truth = gradients(plain, k)
        ours, theirs = distances(gradients(quick, k), truth), distances(gradients(auto, k), truth)
        assert ours.median() < 1.5 * theirs.median()
        assert ours[-1] < 1.5 * theirs[-1]
        after = quick.models[k].state_dict()
        for name, value in plain.models[k].state_dict().items():
            if "running" in name:
                assert (after[name] - value).norm() < 0.02 * value.norm()
        assert torch.equal(
            quick.models[k].encoder.generator.get_state(),
            plain.models[k].encoder.generator.get_state(),
        )


@gpu
@pytest.mark.parametrize("lines", [False, True], ids=["points", "lines"])
@pytest.mark.parametrize("mask", OTHER)
def test_steps_with_another_mask_are_as_near_the_plain_ones(device, mask, lines, strict):
    # At the same weights for several batches: a trained slope has one gradient, a sum that nearly
    # cancels, and in one batch the rounding of bfloat16 may be more than what is left of it.
    x, drawn, at_rest = heads(), batches(8, 2), [0.0, 0.0]
    made = {
        make: make(
            models(0, 1, device=device, mask=mask, lines=lines, size=64, width=16, slope=20.0),
            x,
            at_rest,
        )
        for make in (PlainTrainer, AutocastTrainer, fast)
    }
    losses, found = {}, {}
    for make, trainer in made.items():
        losses[make], found[make] = stepped(trainer, drawn)
    torch.testing.assert_close(losses[fast], losses[PlainTrainer], rtol=2e-3, atol=0)
    for k in (0, 1):
        truth, ours, theirs = (found[make][k] for make in (PlainTrainer, fast, AutocastTrainer))
        assert distances(ours, truth).median() < 1.5 * distances(theirs, truth).median()
        assert distances(ours, truth)[-1] < 1.5 * distances(theirs, truth)[-1] + 0.01
        for name, value in made[PlainTrainer].models[k].mask.named_buffers():
            torch.testing.assert_close(made[fast].models[k].mask.get_buffer(name), value)


@gpu
def test_fifty_steps_stay_as_near_the_plain_ones_as_bfloat16_gets(device, strict):
    x, drawn, rates = heads(), batches(50, 2), [0.001, 0.001]
    losses = {}
    for make in (PlainTrainer, AutocastTrainer, fast):
        trainer = make(models(0, 1, device=device, size=64, width=16), x, rates)
        losses[make] = torch.stack([trainer.step(indices) for indices in drawn])
    truth = losses.pop(PlainTrainer)
    theirs, ours = (((found - truth).abs() / truth).mean() for found in losses.values())
    assert ours < 2 * theirs + 0.01
    assert losses[fast][-1].mean() < 0.7 * losses[fast][0].mean()  # it learns


@gpu
def test_the_same_pack_gives_the_same_bits_also_when_resumed(device):
    x, drawn = heads(), batches(6, 2)
    first, second, resumed = (pack(x, 0.01, 0.003) for _ in range(3))
    for indices in drawn:
        first.step(indices)
    for indices in drawn[:3]:
        second.step(indices)
    for k in (0, 1):
        resumed.load(k, {name: value.cpu() for name, value in second.state(k).items()})
    for indices in drawn[3:]:
        second.step(indices), resumed.step(indices)
    for k in (0, 1):
        for name, value in first.state(k).items():
            assert torch.equal(second.state(k)[name], value)
            assert torch.equal(resumed.state(k)[name], value)


@gpu
def test_rates_and_slopes_count_from_the_next_step_on(device):
    x, drawn = heads(), batches(3, 2)
    trainer, other = pack(x, 0.01, 0.01), pack(x, 0.01, 0.01)
    trainer.step(drawn[0])
    trainer.set_learning_rate(1, 0.0)
    before = trainer.parameter.clone()
    trainer.step(drawn[1])
    assert torch.equal(trainer.parameter[1], before[1])
    assert not torch.equal(trainer.parameter[0], before[0])
    for k in (0, 1):
        other.load(k, trainer.state(k))
    other.models[0].mask.slope.mul_(10)
    one, two = trainer.step(drawn[2]), other.step(drawn[2])
    assert one[0] != two[0] and one[1] == two[1]


@gpu
@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("rates", [(0.003,), (0.003, 0.003)])
def test_evaluation_is_that_of_the_plain_models(device, rates, relaxed, strict):
    x = heads()
    trainer = pack(x, *rates)
    for indices in batches(60, len(rates)):
        trainer.step(indices)
    # 20 images are not a whole number of batches; 16 are one, for which both draw the same masks.
    images = x[:16] if relaxed else x[:20]
    before = [model.encoder.generator.get_state() for model in trainer.models]
    found = trainer.evaluate(images, relaxed)
    for model, state in zip(trainer.models, before, strict=True):
        model.encoder.generator.set_state(state)
    expected = PlainTrainer(trainer.models, x, rates).evaluate(images, relaxed)
    torch.testing.assert_close(found[0], expected[0], rtol=0.02, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=0.04, atol=0)


@gpu
def test_memory_is_no_more_than_plain_needs_at_the_paper_s_size(device):
    x = random(16, 320, 320).to(device)
    peaks = []
    for make in (fast, PlainTrainer):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        trainer = make(models(0, device=device, size=320, width=64), x, [0.01])
        trainer.step(torch.arange(16, device=device)[None])
        peaks.append(torch.cuda.max_memory_allocated())
        del trainer
    assert peaks[0] <= peaks[1]


@gpu
def test_a_smoke_run_ends_within_the_spread_of_its_seeds(device, tmp_path):
    pytest.importorskip("triton")
    psnr: dict[type, list[float]] = {}
    for trainer in (PlainTrainer, trainer_for(torch.device(device))):
        runs = [Run(fixed(seed=seed), device) for seed in range(4)]
        files = [Path(tmp_path / f"{trainer.__name__}{k}") for k in range(4)]
        train(runs, load_images(runs[0].config), files, trainer, progress=False)
        psnr[trainer] = [run.history[-1]["psnr"] for run in runs]
    plain, quick = psnr.values()
    spread_of_seeds = max(plain) - min(plain)
    assert abs(math.fsum(quick) - math.fsum(plain)) / 4 < spread_of_seeds
