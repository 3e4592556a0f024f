"""Turn the staged pages into HTML: ``python -m loupe_companion.book.build STAGE OUTPUT``.

Every warning is an error.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from loupe_companion.book.preamble import ROOT
from loupe_companion.parent import exit_with_parent

# The theme preloads fonts for icons that it draws as SVG. Browsers refuse this on pages from disk.
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')
COLOURS = re.compile(r"\x1b\[[\d;]*m")


class BuildError(Exception):
    """Why the book was not built, in words for the user."""


def render(stage: Path, output: Path) -> Path:
    """Turn the staging folder into ``html`` in ``output``; the old book stays if that fails."""
    sphinx = _empty(output / "sphinx")  # Sphinx repeats no warnings about pages that it has read
    stage = stage.resolve()
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command: list[str | Path] = [jupyter_book, "build", stage, "--config", ROOT / "_config.yml"]
    command += ["--toc", stage / "book/_toc.yml", "--path-output", sphinx.resolve()]
    command += ["-W", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        faults = COLOURS.sub("", done.stderr).strip()
        raise BuildError(f"the book has faults:\n{faults[-4000:]}")
    built = sphinx / "_build" / "html"
    for path in built.rglob("*.html"):
        path.write_text(FONT_PRELOAD.sub("", path.read_text("utf-8")), "utf-8")
    html = _empty(output / "html")
    built.replace(html)
    return html / "index.html"


def _empty(folder: Path) -> Path:
    """Make a folder, empty if it was there before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("stage", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--parent", type=int, required=True, help="end with this process")
    given = parser.parse_args()
    exit_with_parent(given.parent)
    try:
        render(given.stage, given.output)
    except BuildError as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
