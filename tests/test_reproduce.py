"""The Python on the page 'How to reproduce the figures' runs as it stands, on a smaller scale."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from loupe_companion.results import read_results
from tests.common import ROOT, random

PAGE = (ROOT / "book" / "reproduce.md").read_text("utf-8")


def code(section: str) -> str:
    """The Python of a section."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(found)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_other_epochs_and_width() -> None:
    smaller = {"quick": "smoke", "=76": "=1", "=24": "=1", "=16": "=5"}
    text = code("Runs of your own choice")
    for old, new in smaller.items():
        assert old in text
        text = text.replace(old, new)
    exec(text, {"__name__": "__main__"})
    runs = read_results(Path("results/longer.h5"))
    assert [run.config.width for run in runs] == [5, 5]
    assert all(len(run.history["loss"]) == 2 for run in runs)


def test_a_trained_model(trained: Any) -> None:
    Path("runs/NAME").mkdir(parents=True)
    shutil.copy(trained.weights(0), "runs/NAME")
    names: dict[str, Any] = {"x": random(2, 32, 32)}
    exec(code("Your trained model"), names)
    assert names["mask"].sum() == 32 * 32 / names["config"].acceleration
    assert names["x_hat"].shape == (2, 32, 32)
