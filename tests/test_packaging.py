"""Declared dependencies, the two locks, and the files that must agree with them."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement  # pytest needs it as well

import loupe_lib
from loupe_companion.profiles import BOOK_PROFILES
from tests.common import ROOT

yaml = pytest.importorskip("yaml")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]

# Run in a process of its own: finds no package but those that are named.
HIDE = """
import sys
from importlib.machinery import PathFinder
allowed = {*sys.stdlib_module_names, *sys.argv[1].split()}
find_spec = PathFinder.find_spec
def find_allowed(name, path=None, target=None):
    found = find_spec(name, path, target)
    # setuptools, which torch.utils.benchmark imports, brings packages of its own.
    if name.partition(".")[0] in allowed or "_vendor" in str(found) or "_sysconfigdata" in name:
        return found
PathFinder.find_spec = find_allowed
"""
IMPORT_ALL = """
import pkgutil, loupe_lib
for module in pkgutil.walk_packages(loupe_lib.__path__, "loupe_lib."):
    # Modules for GPUs need triton, which GPU builds of torch bring; callbacks need their framework.
    needs_more = "loupe_lib.cuda.", "loupe_lib.callbacks.", "loupe_lib.__main__"
    if not module.name.startswith(needs_more):
        __import__(module.name)
"""
WITHOUT_NOTEBOOKS = """
from loupe_companion import bench, cli, data_report, evaluation, export, figures, results, sweep
"""
ONLY_NOTEBOOKS = {"tabulate", "msgspec", "scikit-learn"}


def read_lock(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    return {pin.name: pin for pin in pins}


BOOK, TEST = read_lock("requirements.lock"), read_lock("requirements-test.lock")


def modules_of(requirements: list[str]) -> set[str]:
    """The importable modules of requirements, and of all that these require."""
    found: set[str] = set()
    wanted = [Requirement(text) for text in requirements]
    while wanted:
        name = wanted.pop().name
        if name in found or name == "loupe_lib":
            continue
        found.add(name)
        needs = map(Requirement, importlib.metadata.requires(name) or [])
        wanted += [need for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
    canonical = {re.sub("[-_.]+", "-", name).lower() for name in found}
    return {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if canonical & {re.sub("[-_.]+", "-", name).lower() for name in names}
    }


def run_with_packages(extras: tuple[str, ...], hidden: set[str], code: str) -> str:
    """What the code prints where only the packages that these extras declare are installed."""
    declared = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    allowed = modules_of([text for text in declared if text not in hidden])
    allowed |= {"loupe_lib", "loupe_companion"} if "companion" in extras else {"loupe_lib"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE + code, " ".join(allowed)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_example_of_the_readme_needs_the_root_s_packages_and_keeps_a_quarter_of_the_samples():
    printed = run_with_packages((), set(), EXAMPLE)
    slope, fraction = map(float, re.findall(r"tensor\(([\d.]+)\)", printed))
    assert slope > 20 and fraction == pytest.approx(1 / 4)


def test_the_picture_of_the_readme_exists():
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (ROOT / picture).is_file()


@pytest.mark.parametrize(
    ("extras", "hidden", "code"),
    [
        (("training",), set(), IMPORT_ALL),
        (("training", "companion"), ONLY_NOTEBOOKS, WITHOUT_NOTEBOOKS),
    ],
    ids=["training", "companion"],
)
def test_a_package_needs_only_what_it_declares(extras, hidden, code):
    run_with_packages(extras, hidden, code)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_lock_has_only_versions_and_markers(name):
    for line in (ROOT / name).read_text("utf-8").splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[a-z0-9.]+( ; [^/@]+)?", line), line


def test_locks_leave_gpu_libraries_to_torch():
    gpu = re.compile("nvidia-|cuda-|triton")
    assert "torch" in BOOK
    assert not [name for name in BOOK if gpu.match(name)]
    assert [name for name in TEST if gpu.match(name)] == ["triton"]


def test_lock_of_tests_adds_to_that_of_the_book():
    assert {name: TEST[name].specifier for name in BOOK} == {
        name: pin.specifier for name, pin in BOOK.items()
    }


def test_locks_meet_every_requirement_of_the_project():
    own = {"loupe_lib"}
    for lock, lists in ((BOOK, [PROJECT["dependencies"], EXTRAS["book"]]), (TEST, EXTRAS.values())):
        for requirement in (Requirement(text) for texts in lists for text in texts):
            if requirement.name not in own:
                (pinned,) = lock[requirement.name].specifier
                assert requirement.specifier.contains(pinned.version), requirement
    only_tests = {Requirement(text).name for text in EXTRAS["test"]} - own
    assert not only_tests & set(BOOK)


def test_environment_is_the_lock():
    for pin in TEST.values():
        if pin.marker is None or pin.marker.evaluate():
            assert pin.specifier.contains(importlib.metadata.version(pin.name)), pin


def test_conda_environment_takes_its_versions_from_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, *others = environment["dependencies"]
    assert others == ["pip", {"pip": ["-r requirements.lock", "-e ."]}]
    supported = Requirement("python" + PROJECT["requires-python"]).specifier
    assert supported.contains(python.removeprefix("python="))


PROFILE = f"PROFILE must be one of kept {' '.join(BOOK_PROFILES)}; got "


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        *((["PROFILE=" + name], f"{PROFILE}'{name}'") for name in ("huge", "", "smoke quick")),
        (
            ["PROFILE=kept", "DATA=knee.h5"],
            "PROFILE=kept trains nothing; DATA needs another profile",
        ),
        (
            ["SEEDS=1,2", "DATA=with space.h5"],
            "make takes PROFILE, DATA, CLUSTER and PYTHON; got SEEDS=1,2. For",
        ),
    ],
)
def test_make_refuses_other_variables_and_values(arguments, told):
    # As from a shell, also where the tests themselves run under make.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    command = ["make", "book", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert told in line


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1] == "make test"
    assert "make test" in README


def test_citation_is_of_the_paper_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["preferred-citation"]["doi"] == "10.1109/BioCAS54905.2022.9948688"
    assert len(citation["preferred-citation"]["authors"]) == 7
    assert citation["version"] == loupe_lib.__version__
