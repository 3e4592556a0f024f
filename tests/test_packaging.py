"""One lock, and everything that must agree with it."""

import ast
import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from loupe_companion.profiles import BOOK_PROFILES
from tests.conftest import ROOT

yaml = pytest.importorskip("yaml")
requirements = pytest.importorskip("packaging.requirements")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
PINS = {pin.name: pin for pin in map(requirements.Requirement, LOCK)}


def test_lock_is_versions_and_markers_alone() -> None:
    for line in LOCK:
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+( ; [^/@]+)?", line), line


def test_lock_leaves_gpu_libraries_to_torch() -> None:
    assert "torch" in PINS
    assert not [name for name in PINS if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_lock_meets_every_requirement_of_the_project() -> None:
    wanted = list(
        itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    )
    for requirement in map(requirements.Requirement, wanted):
        (pinned,) = PINS[requirement.name].specifier
        assert requirement.specifier.contains(pinned.version), requirement


def test_environment_is_the_lock() -> None:
    for pin in PINS.values():
        if pin.marker is None or pin.marker.evaluate():
            assert pin.specifier.contains(importlib.metadata.version(pin.name)), pin


def test_conda_environment_takes_its_versions_from_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    *conda, pip = environment["dependencies"]
    # Conda itself brings Python and pip alone, so no version can differ from the lock's.
    python, plain_pip = conda
    assert plain_pip == "pip"
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    supported = requirements.Requirement("python" + PROJECT["requires-python"]).specifier
    assert supported.contains(python.removeprefix("python="))


def test_library_imports_only_what_it_declares() -> None:
    declared = {requirements.Requirement(d).name for d in PROJECT["dependencies"]}
    modules = {name.replace("scikit-image", "skimage") for name in declared} | {"loupe_lib"}
    for path in sorted((ROOT / "loupe_lib").rglob("*.py")):
        # Every build of torch that can use a GPU brings triton; only there are these imported.
        extra = {"triton"} if path.parent.name == "fast" else set()
        for name in _imported(path) - extra:
            assert name in modules or name in sys.stdlib_module_names, f"{path.name}: {name}"


def test_every_folder_of_the_library_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "loupe_lib").rglob("*.py")}
    names = {folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in folders}
    assert set(settings["packages"]) == names


def _imported(path: Path) -> set[str]:
    """Top-level modules that a file needs in order to be imported."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("name", ["huge", "", "smoke quick"])
def test_make_refuses_an_unknown_profile(name: str) -> None:
    # As from a shell, also where the tests themselves run under make.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    done = subprocess.run(
        ["make", "book", f"PROFILE={name}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert f"PROFILE must be one of {' '.join(BOOK_PROFILES)}; got '{name}'" in line


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1] == "make test"
    assert "make test" in (ROOT / "README.md").read_text("utf-8")


def test_citation_is_of_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    paper = citation["preferred-citation"]
    assert paper["doi"] == "10.1109/BioCAS54905.2022.9948688"
    assert len(paper["authors"]) == 7
    assert citation["version"] == PROJECT["version"]
