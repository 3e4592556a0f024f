"""The plain training step against one written out with Adam's equations."""

import copy

import numpy as np
import pytest
import torch

from loupe_lib import Loupe
from loupe_lib.encoder import undersample
from loupe_lib.training.model import build_model
from loupe_lib.training.trainer import PlainTrainer
from tests.common import on_each_device, random, random_complex, same, smoke

IMAGES = random(12, 32, 32)
BATCHES = torch.tensor([[0, 3, 5, 7], [1, 2, 3, 4], [11, 10, 9, 8], [6, 0, 1, 2]])


def models(*seeds: int, device: str = "cpu") -> list[Loupe]:
    return [build_model(smoke(width=2, batch=4, seed=seed), device) for seed in seeds]


def trainer(*seeds: int, lr: float = 0.01, device: str = "cpu") -> PlainTrainer:
    return PlainTrainer(models(*seeds, device=device), IMAGES.to(device), [lr] * len(seeds))


def test_a_step_is_adam_on_the_l1_loss():
    trained = trainer(0)
    (stepped,), (model,) = trained.models, models(0)
    moments = {name: [0.0, 0.0] for name, _ in model.named_parameters()}
    for t, batch in enumerate(BATCHES, start=1):
        model.load_state_dict(stepped.state_dict())
        x = IMAGES[batch]
        loss = (model.train()(x) - x).abs().mean()
        model.zero_grad()
        loss.backward()
        (found,) = trained.step(batch[None])
        assert found.item() == pytest.approx(loss.item(), rel=1e-5)
        expected, after = dict(model.named_parameters()), dict(stepped.named_parameters())
        for name, (m, v) in moments.items():
            gradient = after[name].grad
            torch.testing.assert_close(gradient, expected[name].grad, atol=1e-6, rtol=1e-3)
            gradient = gradient.double().numpy()
            m, v = moments[name] = [0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2]
            step = 0.01 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            before = expected[name].detach().double().numpy()
            np.testing.assert_allclose(after[name].detach().numpy(), before - step, atol=1e-6)


@on_each_device
def test_evaluation_is_that_of_the_inference_model(device):
    trained = trainer(0, 1, device=device)
    before = trained.state(0)
    absolute, square = trained.evaluate(IMAGES.to(device))
    assert same(before, trained.state(0))
    assert absolute.shape == square.shape == (2, len(IMAGES))
    for k, model in enumerate(trained.models):
        with torch.no_grad():
            error = (model.eval()(IMAGES.to(device)).cpu() - IMAGES).double().numpy()
        expected = np.abs(error).mean((1, 2)), (error**2).mean((1, 2))
        np.testing.assert_allclose(absolute[k].cpu().numpy(), expected[0], rtol=1e-4)
        np.testing.assert_allclose(square[k].cpu().numpy(), expected[1], rtol=1e-4)


def test_the_target_of_complex_images_is_their_magnitude():
    images = random_complex(12, 32, 32)
    trained = PlainTrainer(models(0), images, [0.01])
    (model,) = models(0)
    x = images[BATCHES[0]]
    loss = (model.train()(x) - x.abs()).abs().mean()
    (found,) = trained.step(BATCHES[:1])
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    absolute, _ = trained.evaluate(images)
    with torch.no_grad():
        error = trained.models[0].eval()(images) - images.abs()
    torch.testing.assert_close(absolute[0], error.abs().mean((1, 2)))


def test_relaxed_evaluation_is_that_of_random_masks_from_the_encoder_s_generator():
    trained = trainer(0, 1)
    before = [model.encoder.generator.get_state() for model in trained.models]
    absolute, square = trained.evaluate(IMAGES, relaxed=True)
    for k, model in enumerate(trained.models):
        generator = torch.Generator()
        generator.set_state(before[k])
        masks = model.mask.sample(len(IMAGES), generator)
        with torch.no_grad():
            error = model.decoder.eval()(undersample(IMAGES, masks)) - IMAGES
        torch.testing.assert_close(absolute[k], error.abs().mean(dim=(1, 2)))
        torch.testing.assert_close(square[k], error.square().mean(dim=(1, 2)))
        assert torch.equal(model.encoder.generator.get_state(), generator.get_state())
        assert not model.decoder.training
    hard = trained.evaluate(IMAGES)[0]
    assert not torch.allclose(hard, absolute)


def test_a_learning_rate_counts_from_the_next_step_on():
    trained = trainer(0)
    trained.step(BATCHES[:1])
    before = trained.weights(0)
    trained.set_learning_rate(0, 0.0)
    trained.step(BATCHES[1:2])
    after = trained.weights(0)
    parameters = dict(trained.models[0].named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in parameters)
    trained.set_learning_rate(0, 0.01)
    trained.step(BATCHES[1:2])
    assert not torch.equal(after["encoder.mask.gamma"], trained.weights(0)["encoder.mask.gamma"])


def test_weights_and_states_are_copies_and_the_slope_counts_in_each_step():
    trained, other = trainer(0), trainer(0)
    weights, state = trained.weights(0), trained.state(0)
    kept = copy.deepcopy(weights), copy.deepcopy(state)
    other.models[0].mask.slope.mul_(10)
    assert trained.step(BATCHES[:1]) != other.step(BATCHES[:1])
    assert same(weights, kept[0]) and same(state, kept[1])
    assert weights["encoder.mask.slope"] == 200


@on_each_device
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_state_goes_on_the_same_in_another_trainer(steps, device):
    first, second = trainer(0, device=device), trainer(5, 6, device=device)
    for batch in BATCHES[:steps].to(device):
        first.step(batch[None])
    second.load(1, {name: value.cpu() for name, value in first.state(0).items()})
    for batch in BATCHES[steps:].to(device):
        loss, other = first.step(batch[None])[0], second.step(torch.stack([batch, batch]))[1]
        # Convolutions on a GPU may round differently from call to call.
        torch.testing.assert_close(loss, other, rtol=0 if device == "cpu" else 1e-3, atol=0)
    if device == "cpu":
        assert same(first.state(0), second.state(1))
