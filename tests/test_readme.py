"""What README shows runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_first_example_raises_the_slope_and_keeps_a_quarter_of_the_samples(tmp_path):
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    slope, fraction = map(float, re.findall(r"tensor\(([\d.]+)\)", ran.stdout))
    assert slope > 200 and fraction == pytest.approx(1 / 4)


def test_its_picture_is_there():
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (Path(__file__).parent.parent / picture).is_file()
