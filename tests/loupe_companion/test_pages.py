"""Generated pages of the book."""

import json

import pytest

from tests.common import ROOT

pages = pytest.importorskip("loupe_companion.book.pages", reason="the book's tools are missing")


def test_costs_are_those_of_the_results_and_of_the_measured_steps(trained):
    text = pages.costs({"own smoke": trained.results}, ROOT / "results")
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    rows = {row[0]: row[1:] for row in ([cell.strip() for cell in line] for line in lines)}
    seconds = sum(result.provenance["training_seconds"] for result in trained.results)
    cores = 2 if rows["`own smoke`"][1].startswith("CPU") else 1
    assert rows["`own smoke`"][0] == "12"
    assert rows["`own smoke`"][2] == f"{seconds / 3600 / cores:.2g}"
    gpu = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))["steps"][0]
    assert (gpu["size"], gpu["width"]) == (320, 64)
    hours = 4000 * (1895 // 16) * gpu["project"]["ms"] / 3_600_000
    assert rows["`paper`"][2] == f"at most {14 * hours:.0f}" and f"take {hours:.1f} hours" in text
    cpu = json.loads((ROOT / "results" / "bench-cpu.json").read_text("utf-8"))["steps"][0]
    assert (cpu["size"], cpu["width"]) == (128, 16)
    hours = 54 * 260 * (640 // 16) * cpu["project"]["ms"] / 3_600_000 / 2
    assert rows["`reference`"][2] == f"at most {hours:.0f}"
