"""Turn the staged pages into HTML: ``python -m loupe_companion.book.build STAGE OUTPUT``.

Every warning is an error.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from loupe_companion.book.preamble import CONFIG, NOTEBOOKS, repository_url
from loupe_companion.parent import exit_with_parent

# The command `jupyter-book`, which ends with this process.
JUPYTER_BOOK = """\
import sys
from jupyter_book.cli.main import main
from loupe_companion.parent import exit_with_parent
exit_with_parent(int(sys.argv.pop(1)))
main()"""
# The theme preloads fonts for icons that it draws as SVG. Browsers refuse this on pages from disk.
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')
COLOURS = re.compile(r"\x1b\[[\d;]*m")

# Modules that only others of their package use: they are not in the book's reference.
INTERNAL = (
    "loupe_lib.data.choice",
    "loupe_lib.data.conversion",
    "loupe_lib.data.formats",
    "loupe_lib.data.storage",
    "loupe_lib.data.subjects",
    "loupe_lib.data.volumes",
    "loupe_lib.data.workers",
)


class BuildError(SystemExit):
    """Why the book was not built, in words for the user; Python prints them and exits with 1."""


def render(stage: Path, output: Path, config: Path = CONFIG) -> Path:
    """Turn the staging folder into ``html`` in ``output``; the old book stays if that fails.

    Args:
        stage: pages, notebooks and ``book/_toc.yml``.
        output: folder of the book, of Sphinx's own files, and of the settings as used.
        config: the settings. If the address of the repository is the stand-in, no page links to it.

    Returns:
        The first page.

    Raises:
        BuildError: if Sphinx warns of anything.
    """
    sphinx = _empty(output / "sphinx")  # Sphinx repeats no warnings about pages that it has read
    stage = stage.resolve()
    settings = output / "config.yml"
    settings.write_text(yaml.safe_dump(_settings(config)), "utf-8")
    command: list[str | Path] = [sys.executable, "-c", JUPYTER_BOOK, str(os.getpid())]
    command += ["build", stage, "--config", settings.resolve(), "--toc", stage / "book/_toc.yml"]
    command += ["--path-output", sphinx.resolve(), "-W", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        faults = COLOURS.sub("", done.stderr).strip()
        raise BuildError(f"the book has faults:\n{faults[-4000:]}")
    built = sphinx / "_build" / "html"
    for path in built.rglob("*.html"):
        path.write_text(FONT_PRELOAD.sub("", path.read_text("utf-8")), "utf-8")
    for path in built.glob("_sources/notebooks/*.ipynb"):  # what the download button saves
        shutil.copyfile(NOTEBOOKS / path.name, path)
    html = _empty(output / "html")
    built.replace(html)
    return html / "index.html"


def _settings(config: Path) -> dict[str, Any]:
    """The settings, without the buttons that lead to the repository if it has no address."""
    settings: dict[str, Any] = yaml.safe_load(config.read_text("utf-8"))
    ignored = settings["sphinx"]["config"]["nitpick_ignore_regex"]
    ignored += [["py:.*", f"{re.escape(name)}[.].*"] for name in INTERNAL]
    if not repository_url(config):
        settings["repository"]["url"] = ""  # without it, jupyter-book would give its own
        del settings["launch_buttons"]
        settings["html"]["use_repository_button"] = False
    return settings


def _empty(folder: Path) -> Path:
    """Make a folder, empty if it was there before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main(
    stage: Path, output: Path, parent: Annotated[int, typer.Option(help="end with this process")]
) -> None:
    """Build the book."""
    exit_with_parent(parent)
    render(stage, output)


if __name__ == "__main__":
    typer.run(main)
