"""What README shows runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_first_example_runs(tmp_path):
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    slope = float(re.findall(r"tensor\(([\d.]+)\)", ran.stdout)[0])
    assert slope > 200  # 4S has raised it


def test_its_picture_is_there():
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (Path(__file__).parent.parent / picture).is_file()
