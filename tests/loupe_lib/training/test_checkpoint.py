"""Files of weights and checkpoints: what they hold, and that damage is noticed."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from loupe_lib.training.checkpoint import WEIGHTS_FORMAT, pack, read_weights, write_weights
from loupe_lib.training.model import build_model
from tests.common import random, refusal, same, smoke


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = build_model(smoke(seed=3))
    model.mask.slope.fill_(450)
    write_weights(path, model, smoke(seed=3))
    return model, path


def test_weights_make_the_model_again(weights):
    model, path = weights
    read, config = read_weights(str(path))
    assert config == smoke(seed=3) and not read.training
    assert same(read.state_dict(), model.state_dict()) and read.mask.slope == 450
    x = random(2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(read(x), model.eval()(x))
        masks = [torch.manual_seed(seed) and read.train()(x) for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_a_file_depends_on_its_content_alone_and_other_programs_read_its_tensors(weights):
    model, path = weights
    for _ in range(10):
        assert pack(WEIGHTS_FORMAT, smoke(seed=3), model.state_dict()) == path.read_bytes()
    assert same(load_file(path), model.state_dict())


def refused(path) -> str:
    told = refusal(read_weights, path)
    assert str(path) in told
    return told


def test_other_files_are_refused(weights, tmp_path):
    _, path = weights
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["loupe"])
    for metadata, said in (
        ({"loupe": json.dumps(header | {"format": "loupe-weights 9"})}, "'loupe-weights 9'"),
        ({"loupe": json.dumps(header | {"format": "loupe-checkpoint 3"})}, "'loupe-checkpoint 3'"),
        ({"format": "pt"}, "'unknown'"),
        ({}, "'unknown'"),
    ):
        save_file(load_file(path), path, metadata)
        told = f"not a valid loupe-weights 3 file: its format is {said}; .* delete {tmp_path}"
        assert re.search(told, refused(path))
    path.write_text("something else entirely\n" * 100)
    assert "(truncated or corrupt)" in refused(path)
    assert refused(tmp_path).endswith(f"give a file of weights, such as {path} (found in it: 1)")
    path.unlink()
    assert refused(tmp_path).endswith(
        "is a folder; give a file of weights, such as the weights.safetensors of a run"
    )
    assert "no such file" in refused(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("change", [{"width": 2}, {"size": 48}, {"lines": True}])
def test_weights_that_do_not_fit_their_configuration_are_refused(weights, change):
    model, path = weights
    write_weights(path, model, smoke(**change))
    assert refused(path) == f"the weights in {path} do not fit its configuration"
