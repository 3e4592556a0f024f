"""The answer on the first page of the book."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="the book's tools are not installed")

from loupe_companion.book.first_page import answer
from tests.loupe_companion.claims.conftest import rows

MAIN = {
    "part": "(1) at most 0.3 dB worse: 4S minus best, N = 64",
    "unit": "dB",
    "acceleration": 4.0,
    "n": 5,
    "mean": 0.252,
    "sd": 0.1,
    "interval": [0.1, 0.4],
    "region": [-0.3, None],
    "outcome": "shown",
    "detail": "s = 20, the best of 2 slopes",
}
BETTER = MAIN | {"part": "(2) better: 4S minus best, N = 64", "region": [0, None]}


def claim(number: int, verdict: str, *findings: dict[str, Any]) -> dict[str, Any]:
    return {"number": number, "title": f"Title {number}", "verdict": verdict, "findings": findings}


def write(path: Path, *claims: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"claims": claims}), "utf-8")
    return path


def plain(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_each_claim_has_verdict_number_and_link(tmp_path: Path, trained: Any) -> None:
    open_one = MAIN | {"acceleration": None, "unit": "", "outcome": "undecided", "part": "s"}
    open_one["region"] = [None, None]
    record = write(
        tmp_path / "verdicts.json",
        claim(1, "undecided", open_one),
        claim(3, "holds", MAIN, BETTER),
        claim(9, "not run"),
        claim(10, "holds in part", open_one, MAIN),
    )
    text = answer(record, trained.results, "_fig3.png")
    lines = plain(text)
    assert (
        "**Answer: the claim holds.** The test PSNR of 4S is **0.25 dB above** that of the best "
        "fixed slope (64 x 64 pixels, R = 4; s = 20, the best of 2 slopes; 95% interval 0.1 to 0.4 "
        "dB; 5 seeds). *Shown*: at most 0.3 dB worse (interval above -0.3 dB). *Shown*: better "
        "(interval above 0 dB). Of the 4 claims of the paper, 1 holds, 1 holds in part, 1 is "
        "undecided, 1 was not run." in lines
    )
    assert (
        "32 x 32 pixels, mean and standard deviation over 2 seeds." in lines
        and "{image} _fig3.png" in text
    )
    table = [list(row.values()) for row in rows(text)]
    assert [[plain(cell) for cell in row] for row in table] == [
        ["{ref}`Title 1 <claim-1>`", "**undecided (n = 5)**", "s:<br>0.25 [0.1, 0.4]"],
        [
            "{ref}`Title 3 <claim-3>`",
            "**holds**",
            "4S minus best, N = 64, R = 4:<br>0.25 dB [0.1, 0.4]",
        ],
        ["{ref}`Title 9 <claim-9>`", "**not run**", ""],
        [
            "{ref}`Title 10 <claim-10>`",
            "**holds in part (1 of 2)**",
            "4S minus best, N = 64, R = 4:<br>0.25 dB [0.1, 0.4]",
        ],
    ]


def test_a_main_claim_without_numbers_has_only_its_verdict(tmp_path: Path, trained: Any) -> None:
    record = write(tmp_path / "verdicts.json", claim(3, "not run"))
    assert "**Answer: the claim was not run.** Of the 1 claims" in plain(
        answer(record, trained.results, "_fig3.png")
    )
