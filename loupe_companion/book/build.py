"""Build the book: ``python -m loupe_companion.book.build --profile quick``.

Pages and notebooks are copied into a staging tree, the notebooks are executed there with papermill,
and jupyter-book turns the tree into HTML with every warning an error.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from loupe_companion.book.notebooks import NotebookError, execute, for_readers, page
from loupe_companion.book.pages import profiles_table, speed, survival, versions_page
from loupe_companion.book.preamble import ROOT
from loupe_companion.profiles import BOOK_PROFILES
from loupe_companion.results import RunResult, read_results
from loupe_companion.sources import load_profile
from loupe_companion.sweep import run_sweep
from loupe_lib.errors import InputError

# The theme's, for icons that it draws as SVG; a page opened from disk may not load them this way.
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')
# Drawn from results alone; the others need images or weights, which are not kept.
FROM_RESULTS = ("fig2", "fig3", "fig4")
# These read kept files, where they are, and are shown once, whatever the profile.
KEPT = [ROOT / "results" / f"{name}.h5" for name in ("reference", "claims", "claims-small")]
BEYOND = ROOT / "results" / "beyond.json"
FASTMRI = [ROOT / "results" / f"fastmri_{kind}.h5" for kind in ("magnitude", "complex")]
FROM_KEPT = {"beyond": [BEYOND], "claims": [*KEPT, BEYOND], "fastmri": FASTMRI}
COLOURS = re.compile(r"\x1b\[[\d;]*m")
REFERENCE = ROOT / "results" / "reference.h5"


class BuildError(Exception):
    """Why there is no book, for the person who asked for it."""


def build(
    profile: str,
    data: Path | None = None,
    output: Path = ROOT / "book" / "_build",
    cwd: Path = ROOT,
) -> Path:
    """Build the book.

    Args:
        profile: which sweep this machine's own runs are taken from.
        data: images to train on in place of the embedded heads.
        output: folder for everything that is made, such as ``html/index.html``.
        cwd: folder whose ``runs`` keeps what is trained.

    Returns:
        The path of the first page.

    Raises:
        InputError: if the kept results cannot be read.
        NotebookError: if a notebook fails.
        BuildError: if Sphinx has anything to complain of.
    """
    stage = output / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(ROOT / "book", stage / "book", ignore=shutil.ignore_patterns("_build", ".*"))
    (stage / "notebooks").mkdir()

    images = {} if data is None else {"data": str(data.resolve())}
    trained = train(profile, data, cwd)
    kept = kept_results()
    # The own runs are shown from a folder without `results/`: they are this machine's.
    own_folder = output / "own"
    shutil.rmtree(own_folder, ignore_errors=True)
    own_folder.mkdir(parents=True)
    (own_folder / "runs").symlink_to((cwd / "runs").resolve())

    executed: dict[str, NotebookNode] = {}

    def run(
        source: Path, label: str, parameters: dict[str, Any], folder: Path, *inputs: Path
    ) -> NotebookNode:
        start = time.monotonic()
        target = output / "executed" / f"{source.stem}.{label}.ipynb"
        notebook = execute(source, target, parameters, [*_shared_inputs(), *inputs], folder)
        name = f"{source.stem}, {label}"
        executed[name] = notebook
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        return notebook

    for source in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if source.stem in FROM_KEPT:
            files = filter(Path.exists, FROM_KEPT[source.stem])
            shown = for_readers(run(source, "kept", {}, ROOT, *files))
            nbformat.write(shown, stage / "notebooks" / source.name)
            continue
        parameters = {"profile": profile, **images}
        shown = run(source, f"own {profile}", parameters, own_folder, *([data] if data else []))
        if source.stem in FROM_RESULTS:
            reference = None
            if kept:
                reference = run(source, "kept reference", {"profile": "reference"}, ROOT, REFERENCE)
            shown = page(source.stem, profile, shown, reference)
        else:
            shown = for_readers(shown)
        nbformat.write(shown, stage / "notebooks" / source.name)

    trainings = {f"own {profile}": trained} | ({"kept reference": kept} if kept else {})
    (stage / "book" / "_profiles.md").write_text(profiles_table(), "utf-8")
    (stage / "book" / "_speed.md").write_text(speed(ROOT / "results" / "bench.json"), "utf-8")
    record = survival(ROOT / "results" / "survival.json")
    (stage / "book" / "_survival.md").write_text(record, "utf-8")
    (stage / "book" / "versions.md").write_text(versions_page(ROOT, executed, trainings), "utf-8")
    return render(stage, output)


def _shared_inputs() -> list[Path]:
    """What every notebook's outputs depend on."""
    library = [
        path
        for path in (ROOT / "loupe_lib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*library, ROOT / "requirements.lock"]


def train(profile: str, data: Path | None, cwd: Path) -> list[RunResult]:
    """Train what the profile lacks here, where its progress can be seen, not in a notebook."""
    command = [sys.executable, "-m", "loupe_companion", "sweep", "--profile", profile]
    if data is not None:
        command += ["--data", str(data.resolve())]
    if subprocess.run(command, cwd=cwd).returncode:
        raise BuildError(f"training the {profile} sweep failed; the reason is above")
    return run_sweep(load_profile(profile, data).configs(), cwd / "runs", data)


def kept_results() -> list[RunResult]:
    """The reference results that come with the repository; none if there is no such file."""
    if not REFERENCE.exists():
        return []
    kept = {result.config: result for result in read_results(REFERENCE)}
    wanted = BOOK_PROFILES["reference"].configs()
    missing = sum(config not in kept for config in wanted)
    if missing:  # a notebook would train them, for hours
        raise BuildError(
            f"results/reference.h5 lacks {missing} of the {len(wanted)} runs of the reference "
            "profile; remove it, or train them: "
            "python -m loupe_companion sweep --profile reference --out results/reference.h5"
        )
    return [kept[config] for config in wanted]


def render(stage: Path, output: Path) -> Path:
    """Turn the staging tree into ``html/`` of ``output``; the old book stays if that fails."""
    sphinx = output / "sphinx"
    # From nothing each time: Sphinx repeats no warning for a page that it does not read again, so
    # a second build of a faulty book would pass.
    shutil.rmtree(sphinx, ignore_errors=True)
    sphinx.mkdir(parents=True)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("jupyter-book")),
            "build",
            str(stage.resolve()),
            "--config",
            str(ROOT / "_config.yml"),
            "--toc",
            str(stage.resolve() / "book/_toc.yml"),
            "--path-output",
            str(sphinx.resolve()),
            "-W",
            "--keep-going",
            "-q",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        faults = COLOURS.sub("", done.stderr).strip()
        raise BuildError(f"the book has faults:\n{faults[-4000:]}")
    for path in (sphinx / "_build" / "html").rglob("*.html"):
        path.write_text(FONT_PRELOAD.sub("", path.read_text("utf-8")), "utf-8")
    html = output / "html"
    shutil.rmtree(html, ignore_errors=True)
    (sphinx / "_build" / "html").rename(html)
    return html / "index.html"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="quick", choices=BOOK_PROFILES)
    parser.add_argument("--data", type=Path, help="images to train on, in an HDF5 file")
    arguments = parser.parse_args()
    try:
        if arguments.data is not None and not arguments.data.is_file():
            raise BuildError(f"data must be an HDF5 file; there is no {arguments.data}")
        print(build(arguments.profile, arguments.data))
    except (InputError, NotebookError, BuildError) as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
