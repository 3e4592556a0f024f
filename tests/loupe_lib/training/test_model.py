"""The untrained model of a run: what its seed decides, and that all methods start alike."""

import pytest
import torch
from torch import nn

from loupe_lib import Loupe
from loupe_lib.baselines import MASKS
from loupe_lib.baselines.fixed_masks import FixedMask
from loupe_lib.training.model import adam_eps, build_model, mask_kind
from tests.common import fixed, on_each_device, random, same, smoke

KINDS = [(mask, lines) for mask in MASKS for lines in (False, True)]
KINDS.remove(("poisson", True))


@on_each_device
def test_a_model_depends_on_its_seed_alone(device):
    first, other = build_model(smoke(), device), build_model(smoke(seed=1), device)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        second = build_model(smoke(), device)
    assert same(first.state_dict(), second.state_dict())
    assert not torch.equal(first.mask.gamma, other.mask.gamma)
    x = random(2, 32, 32).to(device)
    drawn = [model.encoder(x) for model in (first, second, other)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_no_global_generator_is_changed(monkeypatch):
    def reseeded(seed: int) -> None:
        raise AssertionError("the generators of all GPUs were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded)
    before = torch.get_rng_state()
    build_model(smoke())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_paper_s_model_is_what_its_seed_alone_makes():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = Loupe(32, 4, 200, 4).state_dict()
    assert same(build_model(smoke(seed=5)).state_dict(), expected)


def test_the_first_u_is_independent_of_the_initial_gamma():
    model = build_model(smoke())
    p = model.mask.probabilities().detach().flatten()
    u = torch.rand(p.shape, generator=model.encoder.generator)
    assert abs(torch.corrcoef(torch.stack([p, u]))[0, 1].item()) < 5 / 32  # 5 standard deviations


@pytest.mark.parametrize(("mask", "lines"), KINDS)
def test_every_mask_meets_the_same_decoder_and_the_same_start(mask, lines):
    paper = build_model(smoke(seed=1))
    other = build_model(fixed(mask=mask, lines=lines, seed=1, acceleration=4, slope=50))
    assert type(other.mask) is MASKS[mask]
    assert other.mask.lines is lines and other.mask.slope == 50
    assert same(other.decoder.state_dict(), paper.decoder.state_dict())
    if not lines and not issubclass(MASKS[mask], FixedMask):
        assert torch.equal(other.mask.gamma, paper.mask.gamma)
    x = random(2, 32, 32)
    assert other(x).shape == other.eval()(x).shape == (2, 32, 32)


@pytest.mark.parametrize("lines", [False, True], ids=["points", "lines"])
def test_raising_dc_changes_one_gamma_alone(lines):
    usual, raised = (build_model(smoke(lines=lines, dc_raised=dc)) for dc in (False, True))
    s = torch.sigmoid(raised.mask.t * raised.mask.gamma)
    dc = (16,) * s.dim()
    assert s[dc].item() == pytest.approx(0.99)
    assert (raised.mask.gamma != usual.mask.gamma).nonzero().tolist() == [list(dc)]
    assert same(raised.decoder.state_dict(), usual.decoder.state_dict())


def test_keras_s_defaults():
    model = build_model(smoke(width=16, keras=True))
    assert torch.equal(model.mask.gamma, build_model(smoke(width=16)).mask.gamma)
    for layer in model.decoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.eps, layer.momentum) == (1e-3, 0.01)  # Keras counts it as 0.99
        if isinstance(layer, nn.Conv2d):
            area = layer.kernel_size[0] * layer.kernel_size[1]
            limit = (6 / (area * (layer.in_channels + layer.out_channels))) ** 0.5
            assert not layer.bias.any()
            assert 0.8 * limit < layer.weight.abs().max().item() <= limit
    assert adam_eps(smoke(keras=True)) == 1e-7 and adam_eps(smoke()) == 1e-8


def test_masks_of_one_kind_have_parameters_of_one_shape():
    shapes: dict[str, set] = {}
    for mask, lines in KINDS:
        config = fixed(mask=mask, lines=lines)
        named = build_model(config).mask.named_parameters()
        shape = tuple((name, tuple(p.shape)) for name, p in named)
        shapes.setdefault(mask_kind(config), set()).add(shape)
    assert all(len(found) == 1 for found in shapes.values())
    learned = {f"{kind}{end}" for kind in ("sigmoid", "trained_slope", "other") for end in ENDS}
    assert shapes.keys() == {"fixed"} | learned


ENDS = ("", " lines")
