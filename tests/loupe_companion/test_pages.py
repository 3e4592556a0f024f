"""Generated pages of the book."""

import dataclasses
import json
import re

import pytest

from loupe_companion.results import read_results
from tests.common import ROOT

pages = pytest.importorskip("loupe_companion.book.pages", reason="the book's tools are missing")

from tests.loupe_companion.claims.conftest import rows  # noqa: E402


def test_costs_are_those_of_the_results_and_of_the_measured_steps(trained, kept_results):
    sweeps = {"own smoke": trained.results, "kept reference": kept_results}
    text = pages.costs(sweeps, ROOT / "results")
    costs = {row["training time in hours"].strip("`"): row for row in rows(text)}
    seconds = sum(result.provenance["training_seconds"] for result in trained.results)
    cpu, gpu = "two CPU cores", "NVIDIA H100 80GB HBM3"
    assert costs["own smoke"]["runs"] == "12" and f"{seconds / 7200:.2g}" in costs["own smoke"][cpu]
    ms = {
        (device, step["size"], step["width"]): step["project"]["ms"]
        for device, file in ((cpu, "bench-cpu.json"), (gpu, "bench.json"))
        for step in json.loads((ROOT / "results" / file).read_text("utf-8"))["steps"]
    }
    hours = 4000 * (1895 // 16) * ms[gpu, 320, 64] / 3_600_000
    assert costs["paper"][gpu] == f"at most {14 * hours:.0f}" and costs["paper"][cpu] == "-"
    assert f"takes at most {hours:.1f} hours" in text.replace("\n", " ")
    hours = len(kept_results) * 260 * (640 // 16) * ms[cpu, 128, 16] / 3_600_000 / 2
    seconds = sum(result.provenance["training_seconds"] for result in kept_results)
    assert costs["kept reference"][cpu] == f"about {hours:.0f}"
    assert costs["kept reference"][gpu] == f"{seconds / 3600:.2g}" and "561,600 for" in text


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
    assert any("another GPU" in name and " and " in name for name in rows(text)[0])


def test_a_sweep_that_each_of_two_devices_trained_has_the_time_of_both(trained):
    again = [
        dataclasses.replace(run, provenance={"device": "another GPU", "training_seconds": 3600.0})
        for run in trained.results
    ]
    text = pages.costs({"own smoke": [*trained.results, *again]}, ROOT / "results")
    row = rows(text)[0]
    assert row["runs"] == str(len(again)) and row["another GPU"] == f"{len(again)}"
    assert float(row["two CPU cores"]) < 1


def test_only_the_paper_s_profile_stops_early():
    table = rows(pages.profiles_table())
    said = {row["profile"]: "at most" in row["epochs of 4S"] for row in table}
    assert said == {"`smoke`": False, "`quick`": False, "`reference`": False, "`paper`": True}


def test_versions_tell_which_code_measured_each_results_file():
    folder = ROOT / "results"
    files = [folder / name for name in ("reference.h5", "beyond.json", "robustness.json")]
    text = pages.versions_page({}, [*files, folder / "verdicts.json"])
    beyond, robustness = (json.loads(file.read_text("utf-8")) for file in files[1:])
    table = text.replace("\N{NON-BREAKING HYPHEN}", "-").partition("## Results")[2]
    listed = {tuple(row.values()) for row in rows(table.partition("##")[0])}
    first = robustness[0]["provenance"]  # all sessions have one day and one device
    sessions = ", ".join(sorted({session["provenance"]["code"] for session in robustness}))
    wanted = {
        (f"`{file.name}`", code, one["date"][:10], one["device"])
        for file, one, code in ((files[1], beyond, beyond["code"]), (files[2], first, sessions))
    }
    found = [run.provenance for run in read_results(files[0])]
    codes, days = ({one[key] for one in found} for key in ("code", "date"))
    days = {day[:10] for day in days}
    (row,) = (row for row in listed if row[0] == "`reference.h5`")
    assert set(row[1].split(", ")) == codes and set(row[2].split(" to ")) == days
    assert wanted < listed and "verdicts" not in text
