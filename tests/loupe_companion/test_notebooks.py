"""Notebooks run: in the book, and alone in an empty folder, as in Colab."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import loupe_lib
from tests.common import ROOT

nbformat = pytest.importorskip("nbformat", reason="the book's tools are not installed")
pytest.importorskip("papermill", reason="the book's tools are not installed")

from loupe_companion.book.build import BuildError  # noqa: E402
from loupe_companion.book.notebooks import execute, page  # noqa: E402
from loupe_companion.book.preamble import NOTEBOOKS, repository_url, stamp  # noqa: E402

SOURCES = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_notebook_in_git_is_clean_and_knows_the_repository(source: Path) -> None:
    text = source.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    stamp(notebook, repository_url())
    assert nbformat.writes(notebook) + "\n" == text, "run `make notebooks`"


def test_unknown_parameter_is_refused(tmp_path: Path) -> None:
    source = SOURCES["fig3"]
    target = tmp_path / "executed.ipynb"
    with pytest.raises(BuildError, match=rf"^{source.name} has no parameter 'slop'; it has "):
        execute(source, target, {"slop": 3}, tmp_path)
    assert not target.exists()


def write_notebook(path: Path, code: str) -> Path:
    cells = [
        nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_failing_cell_fails_the_notebook(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "broken.ipynb", "n / 0")
    with pytest.raises(BuildError, match=r"^broken\.ipynb failed in cell \d: ZeroDivisionError"):
        execute(source, tmp_path / "executed.ipynb", {"n": 2}, tmp_path)
    assert not (tmp_path / "executed.ipynb").exists()


def test_cells_run_in_a_folder_with_the_given_parameters(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "note.ipynb", "import os\nprint(n, os.getcwd())")
    target = tmp_path / "new" / "executed.ipynb"
    execute(source, target, {"n": 2}, tmp_path)
    (output,) = nbformat.read(target, as_version=4).cells[-1].outputs
    assert output.text == f"2 {tmp_path}\n"
    assert list(target.parent.iterdir()) == [target]


def executed(word: str) -> "nbformat.NotebookNode":
    output = nbformat.v4.new_output("stream", text=word)
    code = {
        "install": "install",
        "parameters": "n = 1  # how many",
        "injected-parameters": f'# Parameters\nn = "{word}"',
        "": "silent",
        "hide-output": "print(n)",
        "show-input": "```",
    }
    cells = [nbformat.v4.new_markdown_cell("# Title")]
    cells += [
        nbformat.v4.new_code_cell(source, metadata={"tags": tags.split()})
        for tags, source in code.items()
    ]
    cells[1].outputs = cells[5].outputs = cells[6].outputs = [output]
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
    return nbformat.v4.new_notebook(cells=cells)


def test_page_shows_outputs_first_then_own_runs_then_all_code_and_parameters_as_used() -> None:
    shown = page("fig3", executed("kept"), executed("own"), "quick")
    nbformat.validate(shown)
    ids = [cell.id for cell in shown.cells]
    assert len(set(ids)) == len(ids)
    title, silent, explained, heading, own, own_explained, code = shown.cells
    assert title.source == "# Title"
    assert heading.source.startswith("(own-runs-fig3)=\n## The `quick` runs of this machine")
    assert [cell.outputs[0].text for cell in (silent, explained)] == ["kept", "kept"]
    assert [cell.outputs[0].text for cell in (own, own_explained)] == ["own", "own"]
    tags = [cell.metadata.tags for cell in (silent, explained, own, own_explained)]
    folded = ["remove-input", "hide-output"]
    assert tags == [folded, ["show-input"], folded, ["remove-input"]]
    listed = re.findall(r"``````ipython3\n(.*?)\n``````", code.source, re.DOTALL)
    own_values = ["n = 1  # how many", '# Parameters\nn = "kept"']
    assert listed == [*own_values, "silent", "print(n)", "```"]


def test_page_without_own_runs_ends_with_its_code() -> None:
    (*_, last), code = (page("data", executed("kept")).cells[k] for k in (slice(-1), -1))
    assert last.outputs[0].text == "kept" and code.source.startswith("(code-data)=")


class Colab:
    """An environment with the packages but not the library, and an empty working folder."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "environment", with_pip=False, symlinks=True)
        base = str(folder / "environment")
        site = sysconfig.get_path("purelib", "venv", {"base": base, "platbase": base})
        # Python does not follow .pth files of a folder that a .pth file names: the packages are
        # found there, but the editable install of the library is not.
        Path(site, "colab.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.python, self.content = f"{base}/bin/python", folder / "content"
        self.content.mkdir()

    def run(
        self, source: Path, url: str = "", clone: Path = ROOT, **parameters: object
    ) -> "subprocess.CompletedProcess[str]":
        """Run a notebook that knows an address, from which git fetches the clone instead."""
        notebook = nbformat.read(source, as_version=4)
        stamp(notebook, url)
        nbformat.write(notebook, self.content / source.name)
        command = [self.python, "-m", "papermill", source.name, "done.ipynb"]
        for name, value in parameters.items():
            command += ["-p", name, str(value)]
        command += ["--no-progress-bar", "--kernel", "python3"]
        left_out = ("PYTHONPATH", "VIRTUAL_ENV")
        env = {key: value for key, value in os.environ.items() if key not in left_out}
        env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": url}
        env |= {"GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf"}
        return subprocess.run(command, cwd=self.content, env=env, capture_output=True, text=True)


@pytest.fixture
def colab(tmp_path: Path) -> Colab:
    return Colab(tmp_path)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the tracked files as they are now."""
    folder = tmp_path_factory.mktemp("clone") / "loupe-4s"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in filter(lambda name: (ROOT / name).exists(), listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "as it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    """The file that `make wheel` writes."""
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".book").touch()
    command = [
        "make",
        "--no-print-directory",
        "--old-file",
        ".venv/.book",
        "wheel",
        f"PY={sys.executable}",
    ]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (name,) = done.stdout.split()
    return clone / name


def test_wheel_has_both_packages_the_heads_and_the_kept_results(wheel: Path, clone: Path) -> None:
    assert wheel.name == f"loupe_lib-{loupe_lib.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assets = {f"loupe_lib/data/assets/{name}" for name in ("heads.h5", "TERMS.md")}
    kept = {path.relative_to(clone / "results") for path in (clone / "results").rglob("*.*")}
    data = {f"loupe_companion/kept/{path}" for path in kept if path.suffix not in (".md", ".png")}
    typed = {f"{package}/py.typed" for package in ("loupe_lib", "loupe_companion")}
    modules = {path.relative_to(clone).as_posix() for path in clone.glob("loupe_*/**/*.py")}
    assert modules | assets | data | typed <= packed
    assert {name.partition("/")[0] for name in packed} == {"loupe_lib", "loupe_companion"}
    assert not (clone / "build").exists()


def test_without_wheel_and_address_a_notebook_says_what_to_do(colab: Colab) -> None:
    done = colab.run(SOURCES["fig1"])
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: loupe_lib is not installed: upload the file")


@pytest.mark.slow
def test_notebook_installs_from_the_address_of_the_repository(colab: Colab, clone: Path) -> None:
    done = colab.run(SOURCES["data"], "https://github.com/somebody/loupe-4s", clone)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_notebook_about_kept_results_finds_them_in_the_wheel(colab: Colab, wheel: Path) -> None:
    shutil.copy(wheel, colab.content)
    done = colab.run(SOURCES["tuning"])
    assert done.returncode == 0, done.stderr[-3000:]
