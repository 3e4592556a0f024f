"""Build the book: ``python -m loupe_companion.book.build --profile quick``.

Pages and notebooks are copied into a staging folder. papermill executes the notebooks there, and
jupyter-book turns the folder into HTML. Every warning is an error.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from loupe_companion.beyond.experiment import read_record
from loupe_companion.beyond.tables import summary
from loupe_companion.book import pages
from loupe_companion.book.notebooks import BuildError, execute, for_readers, page
from loupe_companion.book.preamble import NOTEBOOKS, ROOT
from loupe_companion.profiles import BOOK_PROFILES
from loupe_companion.results import RunResult, read_results
from loupe_companion.sources import load_profile
from loupe_companion.sweep import run_sweep
from loupe_lib.errors import InputError

RESULTS = ROOT / "results"
REFERENCE = RESULTS / "reference.h5"
# The figures drawn from results alone are shown twice: from the kept reference results, and from
# the runs of this machine. Other figures need images or weights, which are not kept.
FROM_RESULTS = ("fig2", "fig3", "fig4")
# These notebooks show kept results, whatever the profile.
FROM_KEPT = ("beyond", "claims", "fastmri")
SUBPACKAGES = ("baselines", "callbacks", "data", "training")  # of loupe_lib, for the reference
# The theme preloads fonts for icons that it draws as SVG. Browsers refuse this on pages from disk.
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def build(
    profile: str,
    data: Path | None = None,
    output: Path = ROOT / "book" / "_build",
    cwd: Path = ROOT,
) -> Path:
    """Build the book, and return the path of its first page.

    Args:
        profile: the sweep that is trained on this machine.
        data: an image file to train on in place of the embedded heads.
        output: folder for everything that is made.
        cwd: the folder whose ``runs`` keeps what is trained.

    Raises:
        InputError: if images or kept results cannot be read.
        BuildError: if the kept results are incomplete, a notebook fails, or Sphinx reports an error
            or a warning.
    """
    data = data and data.resolve()
    kept = kept_results()
    # Here rather than in a notebook, so that the progress is seen.
    trained = run_sweep(load_profile(profile, data).configs(), cwd / "runs", data)

    stage = _empty(output / "stage")
    shutil.copytree(ROOT / "book", stage / "book", ignore=shutil.ignore_patterns("_build", ".*"))
    (stage / "notebooks").mkdir()
    # Notebooks that show this machine's runs must not find the kept results.
    own_folder = _empty(output / "own")
    (own_folder / "runs").symlink_to((cwd / "runs").resolve())

    inputs = [ROOT / "requirements.lock", ROOT / "loupe_lib" / "data" / "assets" / "heads.h5"]
    inputs += [data] if data else []
    inputs += [*(ROOT / "loupe_lib").rglob("*.py"), *(ROOT / "loupe_companion").rglob("*.py")]
    inputs += [*RESULTS.glob("*.h5"), *RESULTS.glob("*.json")]
    executed: dict[str, NotebookNode] = {}

    def run(source: Path, label: str, folder: Path, parameters: dict[str, str]) -> NotebookNode:
        target = output / "executed" / f"{source.stem}.{label}.ipynb"
        print(f"notebook {source.stem}, {label}", flush=True)
        notebook = execute(source, target, parameters, inputs, folder)
        executed[f"{source.stem}, {label}"] = notebook
        return notebook

    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        if source.stem in FROM_KEPT:
            shown = for_readers(run(source, "kept", ROOT, {}))
        else:
            parameters = {"profile": profile} | ({"data": str(data)} if data else {})
            own = run(source, f"own {profile}", own_folder, parameters)
            shown = for_readers(own)
            if source.stem in FROM_RESULTS:
                reference = run(source, "kept reference", ROOT, {"profile": "reference"})
                shown = page(source.stem, profile, own, reference)
        nbformat.write(shown, stage / "notebooks" / source.name)

    trainings = {f"own {profile}": trained, "kept reference": kept}
    for name, text in {
        **{f"_{name}": pages.reference(f"loupe_lib.{name}") for name in SUBPACKAGES},
        "_profiles": pages.profiles_table(),
        "_speed": pages.speed(RESULTS / "bench.json"),
        "_own_model": summary(read_record(RESULTS / "beyond.json")),
        "_robustness": pages.robustness(RESULTS / "robustness.json"),
        "versions": pages.versions_page(executed, trainings),
    }.items():
        (stage / "book" / f"{name}.md").write_text(text + "\n", "utf-8")
    return render(stage, output)


def kept_results() -> list[RunResult]:
    """The kept results of the reference profile; a notebook would train missing ones, for hours."""
    kept = {result.config: result for result in read_results(REFERENCE)}
    wanted = BOOK_PROFILES["reference"].configs()
    missing = sum(config not in kept for config in wanted)
    if missing:
        raise BuildError(
            f"results/reference.h5 lacks {missing} of the {len(wanted)} runs of the reference "
            "profile; train them: "
            "python -m loupe_companion sweep --profile reference --out results/reference.h5"
        )
    return [kept[config] for config in wanted]


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
    parser.add_argument("--profile", default="quick", choices=BOOK_PROFILES)
    parser.add_argument("--data", type=Path, help="image file to train on")
    arguments = parser.parse_args()
    try:
        print(build(arguments.profile, arguments.data))
    except (InputError, BuildError) as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
