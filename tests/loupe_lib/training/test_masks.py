"""Which mask a run gets, and that all methods of a comparison start from the same model."""

import numpy as np
import pytest
import torch
from loupe_lib.training.masks import FIXED, LEARNED, mask_kind

from loupe_lib import Loupe
from loupe_lib.training.config import FIXED_MASKS, LEARNED_MASKS
from loupe_lib.training.model import build_model
from tests.common import fixed, smoke


def test_every_mask_of_a_configuration_exists():
    assert tuple(LEARNED) == LEARNED_MASKS and tuple(FIXED) == FIXED_MASKS


def test_the_paper_s_model_is_what_its_seed_alone_makes():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = Loupe(32, 4, 200, 4).state_dict()
    found = build_model(smoke(seed=5)).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("mask", LEARNED_MASKS + FIXED_MASKS)
def test_every_mask_meets_the_same_decoder_and_the_same_start(mask, lines):
    if mask == "poisson" and lines:
        pytest.skip("no such mask")
    paper = build_model(smoke(seed=1))
    other = build_model(fixed(mask=mask, lines=lines, seed=1, acceleration=4, slope=50))
    assert type(other.mask) is (LEARNED | FIXED)[mask]
    assert other.mask.lines is lines and other.mask.slope == 50
    for name, value in paper.decoder.state_dict().items():
        assert torch.equal(other.decoder.state_dict()[name], value)
    if mask in LEARNED and not lines:
        assert torch.equal(other.mask.gamma, paper.mask.gamma)
    x = torch.rand(2, 32, 32)
    assert other(x).shape == other.eval()(x).shape == (2, 32, 32)


def test_masks_of_one_kind_have_parameters_of_one_shape():
    shapes: dict[str, set] = {}
    for mask in LEARNED_MASKS + FIXED_MASKS:
        for lines in (False, True):
            if (mask, lines) == ("poisson", True):
                continue
            config = fixed(mask=mask, lines=lines)
            named = build_model(config).mask.named_parameters()
            shape = tuple((name, tuple(p.shape)) for name, p in named)
            shapes.setdefault(mask_kind(config), set()).add(shape)
    assert all(len(found) == 1 for found in shapes.values())
    assert mask_kind(smoke()) == "sigmoid" != mask_kind(fixed(mask="tanh"))
    assert np.all([mask_kind(fixed(mask=mask)) == "fixed" for mask in FIXED_MASKS])
