"""The page of robustness is made from the record of a test run."""

import json
import re

import pytest

from tests.conftest import ROOT

pytest.importorskip("nbformat", reason="the book's tools are not installed")

from loupe_companion.book.pages import robustness


def test_every_count_of_the_kept_record_is_on_the_page():
    file = ROOT / "results" / "robustness.json"
    page = robustness(file)
    runs = json.loads(file.read_text("utf-8"))
    assert sum(len(run["tests"]) for run in runs) > 12
    for run in runs:
        assert run["provenance"]["code"] in page
        for test in run["tests"]:
            assert test["counts"]
            counted = ", ".join(f"{kind} {count:,}" for kind, count in test["counts"].items())
            end = rf" {re.escape(counted)} +\| +{test['seconds']} \|$"
            assert re.search(end, page, re.MULTILINE)


def test_failures_and_outcomes_are_told_apart():
    page = robustness(ROOT / "results" / "robustness.json")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    told = {row[0]: row[1:3] for row in rows if len(row) == 4}
    assert told["One bit flipped in `results.h5`"][0] == "refused or read right"
    assert told["`checkpoint.safetensors` cut short"][0] == "refused"
    outcome, counted = told["`kill -9` of a sweep"]
    assert outcome == "the next call equals an undisturbed one bit for bit"
    assert counted.startswith("killed during: ") and "training 8" in counted
    assert told["A disk that is full, or read-only"][0] == "a clear error, and what was there stays"
