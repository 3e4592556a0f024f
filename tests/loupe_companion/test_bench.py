"""The benchmark: in seconds on any machine, and its numbers agree with each other."""

import json

import pytest
import torch
from torch import nn

from loupe_companion.bench import run_bench, table
from loupe_lib import Loupe
from loupe_lib.errors import InputError


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "new" / "bench.json"
    return run_bench(smoke=True, out=out), out


def test_what_is_written_is_what_is_returned(measured):
    result, out = measured
    assert json.loads(out.read_text()) == result
    assert result["device"] and result["packages"]["torch"] == torch.__version__


def test_rates_follow_from_times(measured):
    result, _ = measured
    (row,), pack, batch = result["steps"], result["pack"], result["batch"]
    assert row["ratio"] == pytest.approx(row["plain"]["ms"] / row["project"]["ms"])
    assert pack["ms_per_model"] * pack["models"] == pytest.approx(pack["project"]["ms"])
    for cell, models in ((row["plain"], 1), (row["project"], 1), (pack["project"], 2)):
        low, high = cell["quartiles"]
        assert 0 < low <= cell["ms"] <= high
        assert cell["images_per_s"] == pytest.approx(1000 * models * batch / cell["ms"])
        assert cell["tflops"] == pytest.approx(models * row["flops"] / cell["ms"] / 1e9)
        assert cell["share"] == pytest.approx(cell["tflops"] / result["ceilings"]["tflops"])


def test_flops_are_those_of_the_convolutions(measured):
    result, _ = measured
    (row,) = result["steps"]
    model, flops = Loupe(size=row["size"], width=row["width"]), 0

    def count(layer: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal flops
        products = output.numel() * layer.in_channels * layer.kernel_size[0] ** 2
        flops += 3 * 2 * products  # forward, and by input and weights; multiply and add

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.rand(result["batch"], row["size"], row["size"]))
    assert row["flops"] == flops


def test_the_table_has_a_line_a_measurement(measured):
    result, _ = measured
    lines = table(result).splitlines()
    numbers = [line.split() for line in lines if line.strip()[:1].isdigit()]
    shapes = [(r["size"], r["width"]) for r in result["steps"] for _ in range(2)]
    shapes.append((result["pack"]["size"], result["pack"]["width"]))
    assert [(int(n), int(w)) for n, w, *_ in numbers] == shapes
    assert result["device"] in lines[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_full_sizes_need_a_gpu(tmp_path):
    with pytest.raises(InputError, match="bench needs a GPU; without one use --smoke"):
        run_bench(out=tmp_path / "bench.json")
    assert not list(tmp_path.iterdir())
