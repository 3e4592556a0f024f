"""Fixtures of all tests: the record of the robustness tests, and the book of the smoke profile."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.common import ROOT as ROOT
from tests.common import run_workflow, shared_folder

pytest_plugins = ["tests.fixtures_runs"]
# A machine for training, with a plain checkout, may lack the packages of the pages.
collect_ignore: list[str] = []
try:
    import msgspec  # noqa: F401
except ModuleNotFoundError:
    collect_ignore += ["loupe_companion/beyond", "loupe_companion/claims"]

RECORDS = pytest.StashKey[list[dict[str, object]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--robustness",
        type=Path,
        metavar="FILE",
        help="make every try of the tests in tests/robustness, and write the counts as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record, if it was asked for and no test failed."""
    path = session.config.getoption("--robustness")
    if path is not None and session.testscollected and not session.testsfailed:
        from loupe_companion.provenance import get_provenance
        from loupe_lib.data.storage import write_file
        from loupe_lib.training.device import find_device

        record = {
            "provenance": get_provenance(find_device("cpu")),
            "tests": session.config.stash[RECORDS],
        }
        write_file(path, (json.dumps([record], indent=1) + "\n").encode())


@dataclass
class Record:
    """The tries of a test whose every check held.

    Attributes:
        full: whether every try is to be made, not only some.
        counts: how many tries, by kind.
    """

    full: bool
    counts: Counter[str] = field(default_factory=Counter)

    def tries(self, all_of_them: int, some: int) -> int:
        """How many tries to make."""
        return all_of_them if self.full else some

    def count(self, kind: str) -> None:
        self.counts[kind] += 1


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """The record of a test, named by the docstring of the test."""
    counted = Record(request.config.getoption("--robustness") is not None)
    began = time.perf_counter()
    yield counted
    name = " ".join(request.function.__doc__.split())
    if hasattr(request.node, "callspec"):
        name = f"{name.removesuffix('.')}: {request.node.callspec.id}."
    seconds = round(time.perf_counter() - began, 1)
    request.config.stash[RECORDS].append(
        {"name": name, "seconds": seconds, "counts": counted.counts}
    )


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of the book of the smoke profile, made once.

    It is made from nothing, or in the folder where the test of Slurm has built it.
    """
    pytest.importorskip("jupyter_book", reason="the book's tools are not installed")
    with shared_folder(tmp_path_factory, "book") as folder:
        folder = Path(os.environ.get("LOUPE_TEST_BOOK", folder))
        done = run_workflow(folder)
        assert done.returncode == 0, done.stderr
        assert (folder / "book/_build/html/index.html").exists()
    return folder / "book/_build"
