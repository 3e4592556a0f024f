"""Notebooks run: in the book, under nbval, and alone in an empty folder, as in Colab."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT, Book

nbformat = pytest.importorskip("nbformat", reason="the book's tools are not installed")
pytest.importorskip("papermill", reason="the book's tools are not installed")

from loupe_companion.book.build import FROM_KEPT  # noqa: E402
from loupe_companion.book.notebooks import NotebookError, execute, page  # noqa: E402
from loupe_companion.book.preamble import NOTEBOOKS, repository_url, stamp  # noqa: E402

SOURCES = sorted(NOTEBOOKS.glob("*.ipynb"))
NAMES = [path.stem for path in SOURCES]


def test_every_page_has_its_notebook() -> None:
    assert NAMES == ["beyond", "claims", "data", "fastmri", "fig1", "fig2", "fig3", "fig4"]


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_notebook_in_git_is_clean_and_knows_the_repository(source: Path) -> None:
    text = source.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    stamp(notebook, repository_url())
    assert nbformat.writes(notebook) + "\n" == text, "run `make notebooks`"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_executed_notebook_passes_nbval(book: Book, tmp_path: Path, name: str) -> None:
    # nbval cannot set parameters: it runs what papermill executed with those of `smoke`.
    label = "kept" if name in FROM_KEPT else "own smoke"
    executed = shutil.copy(book.output / "executed" / f"{name}.{label}.ipynb", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    # Where the smoke runs are: nothing is trained a second time.
    (tmp_path / "runs").symlink_to(book.output.parent / "runs")
    if name in FROM_KEPT:
        (tmp_path / "results").symlink_to(ROOT / "results")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--nbval-lax",
            "--nbval-cell-timeout=120",
            "-p",
            "no:cacheprovider",
            str(executed),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_unknown_parameter_is_refused(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "executed.ipynb"
    with pytest.raises(NotebookError, match=rf"^{source.name} has no parameter 'slop'; it has "):
        execute(source, target, {"slop": 3}, [], tmp_path)
    assert not target.exists()


def _notebook(path: Path, code: str) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_failing_cell_fails_the_notebook(tmp_path: Path) -> None:
    source = _notebook(tmp_path / "broken.ipynb", "n / 0")
    with pytest.raises(NotebookError, match=r"^broken\.ipynb failed in cell \d: ZeroDivisionError"):
        execute(source, tmp_path / "executed.ipynb", {"n": 2}, [], tmp_path)
    assert not (tmp_path / "executed.ipynb").exists()


def test_notebook_is_executed_again_only_when_its_inputs_change(tmp_path: Path) -> None:
    source = _notebook(tmp_path / "note.ipynb", "import os\nprint(n, os.urandom(8).hex())")
    given, target = tmp_path / "given.txt", tmp_path / "executed.ipynb"
    given.write_text("a")

    def run(n: int) -> str:
        return execute(source, target, {"n": n}, [given], tmp_path).cells[-1].outputs[0].text

    first = run(2)
    assert first.startswith("2 ")
    assert run(2) == first
    given.write_text("b")
    second = run(2)
    assert second != first
    assert run(3).startswith("3 ")


def _executed(word: str) -> "nbformat.NotebookNode":
    output = nbformat.v4.new_output("stream", text=word)
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("install", metadata={"tags": ["install"]}),
        nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("silent"),
        nbformat.v4.new_code_cell("print(n)", outputs=[output]),
    ]
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
    return nbformat.v4.new_notebook(cells=cells)


def test_page_shows_kept_results_first_then_the_own_run() -> None:
    shown = page("fig3", "quick", own=_executed("own"), reference=_executed("kept"))
    nbformat.validate(shown)
    ids = [cell.id for cell in shown.cells]
    assert len(set(ids)) == len(ids)
    sources = [cell.source for cell in shown.cells]
    assert sources[0] == "# Title"
    assert "quick" in sources[1] and "reference" in sources[1]
    assert sources[2:5] == ["n = 1", "silent", "print(n)"]
    assert "This machine" in sources[5] or "this machine" in sources[5]
    assert sources[6:] == ["print(n)"]
    assert [cell.outputs[0].text for cell in (shown.cells[4], shown.cells[6])] == ["kept", "own"]
    assert "hide-input" in shown.cells[6].metadata.tags


def test_page_without_kept_results_says_so() -> None:
    shown = page("fig3", "quick", own=_executed("own"), reference=None)
    sources = [cell.source for cell in shown.cells]
    assert "results/reference.h5" in sources[1]
    assert sources[2:] == ["n = 1", "silent", "print(n)"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a repository with the tracked files as they are now."""
    folder = tmp_path_factory.mktemp("clone") / "loupe-4s"
    folder.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "as it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder.as_uri()


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_notebook_runs_alone_as_in_colab(source: Path, clone: str, tmp_path: Path) -> None:
    # Colab has the packages, not the library. A second .pth file is not followed, so that the
    # editable install of the library does not come along.
    fresh = tmp_path / "environment"
    venv.create(fresh, with_pip=False, symlinks=True)
    paths = {"base": str(fresh), "platbase": str(fresh)}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    (site / "colab.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = str(fresh / "bin" / "python")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    folder = tmp_path / "content"
    folder.mkdir()

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, *command], cwd=folder, env=environment, capture_output=True, text=True
        )

    assert "No module named 'loupe_lib'" in run("-c", "import loupe_lib").stderr

    notebook = nbformat.read(source, as_version=4)
    stamp(notebook, clone)
    nbformat.write(notebook, folder / source.name)
    done = run(
        "-m",
        "papermill",
        source.name,
        "done.ipynb",
        "-p",
        "profile",
        "smoke",
        "--no-progress-bar",
        "--kernel",
        "python3",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (site / "loupe_lib" / "data" / "assets" / "heads.h5").exists()
