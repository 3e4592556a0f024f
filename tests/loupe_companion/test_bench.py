"""The benchmark: in seconds on any machine, and its numbers agree with each other."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from loupe_companion import cli
from loupe_companion.bench import table
from loupe_lib import Loupe


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "new" / "bench.json"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.bench(smoke=True, out=out)
    result = json.loads(out.read_text())
    assert printed.getvalue().strip() == table(result)
    return result


def test_each_time_is_a_median_between_quartiles(measured):
    (row,), pack = measured["steps"], measured["pack"]
    for cell in (row["plain"], row["project"], pack["project"]):
        low, high = cell["quartiles"]
        assert 0 < low <= cell["ms"] <= high


def test_flops_are_those_of_the_convolutions(measured):
    (row,) = measured["steps"]
    model, flops = Loupe(size=row["size"], width=row["width"]), 0

    def count(layer: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal flops
        products = output.numel() * layer.in_channels * layer.kernel_size[0] ** 2
        flops += 3 * 2 * products  # forward, and by input and weights; multiply and add

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.rand(measured["batch"], row["size"], row["size"]))
    assert row["flops"] == flops


def test_the_table_of_the_kept_measurements():
    kept = Path(__file__).parents[2] / "results" / "bench.json"
    head, ceilings, _, _, *rows, together = table(json.loads(kept.read_text())).splitlines()
    assert head == "NVIDIA H100 80GB HBM3, torch 2.11.0, batch 16"
    assert ceilings == "matrix product 788 TFLOP/s, copy 3.01 TB/s"
    cells = [" ".join(row.split()) for row in rows]
    assert len(cells) == 9
    assert cells[0] == "320 64 1 plain 72.07 (72.00-72.10) 222 116 14.7% 12.20 1.00"
    assert cells[1] == "320 64 1 project 19.66 (19.58-19.81) 814 425 53.9% 4.12 3.67"
    assert cells[8] == "128 16 14 project 10.11 (10.11-10.20) 22152 116 14.7% 2.80 20.51"
    assert together == "together 0.722 ms a model and step"
