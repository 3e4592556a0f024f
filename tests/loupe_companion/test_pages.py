"""Generated pages of the book."""

import dataclasses
import json
import re

import pytest

from loupe_companion.results import read_results
from tests.common import ROOT

pages = pytest.importorskip("loupe_companion.book.pages", reason="the book's tools are missing")


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_costs_are_those_of_the_results_and_of_the_measured_steps(trained, kept_results):
    sweeps = {"own smoke": trained.results, "kept reference": kept_results}
    text = pages.costs(sweeps, ROOT / "results")
    head, _, *body = (cells(line) for line in text.splitlines() if line.startswith("|"))
    rows = {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in body}
    seconds = sum(result.provenance["training_seconds"] for result in trained.results)
    cpu, gpu = "two CPU cores", "NVIDIA H100 80GB HBM3"
    assert rows["own smoke"]["runs"] == "12" and f"{seconds / 7200:.2g}" in rows["own smoke"][cpu]
    ms = {
        (device, step["size"], step["width"]): step["project"]["ms"]
        for device, file in ((cpu, "bench-cpu.json"), (gpu, "bench.json"))
        for step in json.loads((ROOT / "results" / file).read_text("utf-8"))["steps"]
    }
    hours = 4000 * (1895 // 16) * ms[gpu, 320, 64] / 3_600_000
    assert rows["paper"][gpu] == f"at most {14 * hours:.0f}" and rows["paper"][cpu] == "-"
    assert f"takes at most {hours:.1f} hours" in text.replace("\n", " ")
    hours = len(kept_results) * 260 * (640 // 16) * ms[cpu, 128, 16] / 3_600_000 / 2
    seconds = sum(result.provenance["training_seconds"] for result in kept_results)
    assert rows["kept reference"][cpu] == f"about {hours:.0f}"
    assert rows["kept reference"][gpu] == f"{seconds / 3600:.2g}" and "561,600 for" in text


def test_every_count_of_the_kept_record_of_robustness_is_on_its_page():
    file = ROOT / "results" / "robustness.json"
    page = pages.robustness(file)
    runs = json.loads(file.read_text("utf-8"))
    assert sum(len(run["tests"]) for run in runs) > 12
    for run in runs:
        assert run["provenance"]["code"] in page
        for test in run["tests"]:
            assert test["counts"]
            counted = ", ".join(f"{kind} {count:,}" for kind, count in test["counts"].items())
            end = rf" {re.escape(counted)} +\| +{test['seconds']} \|$"
            assert re.search(end, page, re.MULTILINE)


def test_a_sweep_of_two_devices_has_a_column_of_its_own(trained):
    first, *others = trained.results
    first = dataclasses.replace(first, provenance=first.provenance | {"device": "another GPU"})
    text = pages.costs({"own smoke": [first, *others]}, ROOT / "results")
    head = cells(text.splitlines()[0])
    assert any("another GPU" in name and " and " in name for name in head)


def test_only_the_paper_s_profile_stops_early():
    lines = [line for line in pages.profiles_table().splitlines() if line.startswith("| `")]
    said = {cells(line)[0]: "at most" in line for line in lines}
    assert said == {"`smoke`": False, "`quick`": False, "`reference`": False, "`paper`": True}


def test_versions_tell_which_code_measured_each_results_file():
    folder = ROOT / "results"
    files = [folder / name for name in ("reference.h5", "beyond.json", "robustness.json")]
    text = pages.versions_page({}, [*files, folder / "verdicts.json"])
    beyond, robustness = (json.loads(file.read_text("utf-8")) for file in files[1:])
    lines = text.replace("\N{NON-BREAKING HYPHEN}", "-").splitlines()
    listed = {tuple(cells(line)) for line in lines if line.startswith("| `")}
    wanted = {
        (f"`{file.name}`", one["code"], one["date"][:10], one["device"])
        for file, one in ((files[1], beyond), (files[2], robustness[0]["provenance"]))
    }
    found = [run.provenance for run in read_results(files[0])]
    codes, days = ({one[key] for one in found} for key in ("code", "date"))
    days = {day[:10] for day in days}
    (row,) = (row for row in listed if row[0] == "`reference.h5`")
    assert set(row[1].split(", ")) == codes and set(row[2].split(" to ")) == days
    assert wanted < listed and "verdicts" not in text
