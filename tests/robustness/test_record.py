"""The page of robustness is made from the record of a test run."""

import json
import re

import pytest

from tests.common import ROOT

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
