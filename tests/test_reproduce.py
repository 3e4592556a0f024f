"""The Python on the page 'How to reproduce the figures' runs as it stands, on a smaller scale."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from loupe_companion.results import read_results
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import write_images
from tests.common import ROOT

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
    smaller = {"quick": "smoke", "=76": "=2", "=24": "=1", "=16": "=5"}
    text = code("Runs of your own choice")
    for old, new in smaller.items():
        assert old in text
        text = text.replace(old, new)
    exec(text, {"__name__": "__main__"})
    runs = read_results(Path("results/longer.h5"))
    assert [run.config.width for run in runs] == [5, 5]
    assert all(len(run.history["loss"]) == 3 for run in runs)


def test_a_trained_model(trained: Any) -> None:
    Path("runs/NAME").mkdir(parents=True)
    shutil.copy(trained.weights(0), "runs/NAME")
    write_images(draw_cohort(32, train=4, validation=4, test=4, seed=0), Path("scans.h5"))
    names: dict[str, Any] = {}
    exec(code("Your trained model"), names)
    assert names["mask"].sum() == 32 * 32 / names["config"].acceleration
    assert names["x_hat"].shape == (4, 32, 32)
