"""The page of what was survived is made from the record of a test run."""

import json

import pytest

from tests.conftest import ROOT

pytest.importorskip("nbformat", reason="the book's tools are not installed")

from loupe_companion.book.pages import survival as survival_page


def test_every_count_of_the_kept_record_is_on_the_page():
    record = ROOT / "results" / "survival.json"
    page = survival_page(record)
    runs = json.loads(record.read_text("utf-8"))
    assert sum(len(run["tests"]) for run in runs) > 20
    for run in runs:
        assert run["provenance"]["code"] in page
        for test in run["tests"]:
            assert test["name"] in page and test["counts"]
            for kind, count in test["counts"].items():
                assert f"{kind}: {count:,}" in page


def test_without_a_record_the_page_says_so(tmp_path):
    assert "No kept record" in survival_page(tmp_path / "survival.json")
