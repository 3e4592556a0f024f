"""Generated pages of the book."""

import json

import pytest

from tests.common import ROOT

pages = pytest.importorskip("loupe_companion.book.pages", reason="the book's tools are missing")


def test_costs_are_those_of_the_results_and_of_the_measured_step(trained):
    text = pages.costs({"own smoke": trained.results}, ROOT / "results" / "bench.json")
    seconds = sum(result.provenance["training_seconds"] for result in trained.results)
    row = next(line for line in text.splitlines() if "own smoke" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")][1::2] == ["12", f"{seconds:,.0f}"]
    step = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))["steps"][0]
    assert (step["size"], step["width"]) == (320, 64)
    hours = 14 * 4000 * (1895 // 16) * step["project"]["ms"] / 3_600_000
    assert f"the 14 runs of `paper` take at most {hours:.0f} hours" in " ".join(text.split())
