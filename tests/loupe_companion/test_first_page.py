"""The answer on the first page of the book."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="the book's tools are not installed")

from loupe_companion.book.build import BuildError
from loupe_companion.book.first_page import answer
from tests.loupe_companion.claims.conftest import rows

MAIN = {
    "part": "(a) not worse: 4S minus best (dB)",
    "unit": "dB",
    "acceleration": 4.0,
    "n": 5,
    "mean": 0.252,
    "sd": 0.1,
    "interval": [0.1, 0.4],
    "region": [-0.3, None],
    "outcome": "shown",
}


def claim(number: int, verdict: str, *findings: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": number,
        "title": f"Title {number}",
        "verdict": verdict,
        "test": "",
        "sources": [],
        "findings": findings,
    }


def write(path: Path, *claims: dict[str, Any], version: int = 1) -> Path:
    record = {"format": "loupe-verdicts", "version": version, "claims": claims}
    path.write_text(json.dumps(record), "utf-8")
    return path


def plain(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_each_claim_has_verdict_number_and_link(tmp_path: Path, trained: Any) -> None:
    one_value = MAIN | {"acceleration": None, "unit": "", "interval": [None, None], "part": "s"}
    record = write(
        tmp_path / "verdicts.json",
        claim(1, "undecided", one_value),
        claim(3, "holds", MAIN, one_value),
        claim(9, "not run"),
        claim(10, "holds", MAIN),
    )
    text = answer(record, trained.results, "_fig3.png")
    lines = plain(text)
    assert (
        "**Answer: holds.** Test PSNR, 4S minus best, R = 4: **0.25 dB [0.1, 0.4], n = 5.** "
        "Of the 4 claims of the paper, 2 hold, 1 is undecided, 1 was not run." in lines
    )
    assert (
        "32 x 32 pixels, mean and standard deviation over 2 seeds." in lines
        and "{image} _fig3.png" in text
    )
    table = [list(row.values()) for row in rows(text)]
    assert [[plain(cell) for cell in row] for row in table] == [
        ["{ref}`Title 1 <claim-1>`", "**undecided**", "s:<br>0.25, n = 5"],
        [
            "{ref}`Title 3 <claim-3>`",
            "**holds**",
            "not worse: 4S minus best, R = 4:<br>0.25 dB [0.1, 0.4], n = 5",
        ],
        ["{ref}`Title 9 <claim-9>`", "**not run**", ""],
        [
            "{ref}`Title 10 <claim-10>`",
            "**holds**",
            "not worse: 4S minus best, R = 4:<br>0.25 dB [0.1, 0.4], n = 5",
        ],
    ]


def test_a_main_claim_without_numbers_has_only_its_verdict(tmp_path: Path, trained: Any) -> None:
    record = write(tmp_path / "verdicts.json", claim(3, "not run"))
    assert "**Answer: not run.** Of the 1 claims" in plain(
        answer(record, trained.results, "_fig3.png")
    )


@pytest.mark.parametrize("version", [None, 2])
def test_a_record_that_is_missing_or_of_another_version_is_refused(
    tmp_path: Path, trained: Any, version: int | None
) -> None:
    record = tmp_path / "verdicts.json"
    if version is not None:
        write(record, claim(3, "holds"), version=version)
    with pytest.raises(BuildError, match=r"verdicts\.json"):
        answer(record, trained.results, "_fig3.png")
