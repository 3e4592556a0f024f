"""What several tests share: one smoke build of the book, and the record of what was survived."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent


RECORDS = pytest.StashKey[list[dict[str, object]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--survival",
        type=Path,
        metavar="FILE",
        help="make every try of the tests in tests/robustness, and write what was counted as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record, if it was asked for and nothing failed."""
    path = session.config.getoption("--survival")
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
class Survival:
    """Counts the tries of a test; nothing is counted as survived that was not checked.

    Attributes:
        full: whether every try is to be made, not only some.
        counts: by kind of try, how many.
    """

    full: bool
    counts: dict[str, int] = field(default_factory=dict)

    def tries(self, all_of_them: int, some: int) -> int:
        """How many tries to make."""
        return all_of_them if self.full else some

    def survived(self, kind: str) -> None:
        """Count a try whose every check held."""
        self.counts[kind] = self.counts.get(kind, 0) + 1


@pytest.fixture
def survival(request: pytest.FixtureRequest) -> Iterator[Survival]:
    """The count of what a test tried; its name in the record is its docstring."""
    counted = Survival(request.config.getoption("--survival") is not None)
    began = time.perf_counter()
    yield counted
    name = " ".join(request.function.__doc__.split())
    if hasattr(request.node, "callspec"):
        name = f"{name.removesuffix('.')}: {request.node.callspec.id}."
    seconds = round(time.perf_counter() - began, 1)
    record = {"name": name, "seconds": seconds, "counts": counted.counts}
    request.config.stash[RECORDS].append(record)


@dataclass(frozen=True)
class Book:
    """A built book: the folder of everything made, and the pages in it."""

    output: Path

    @property
    def html(self) -> Path:
        return self.output / "html"

    @property
    def pages(self) -> list[Path]:
        return sorted([*self.html.glob("book/*.html"), *self.html.glob("notebooks/*.html")])


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The real book of the smoke profile, trained, executed and built from nothing, once."""
    pytest.importorskip("jupyter_book", reason="the book's tools are not installed")
    from loupe_companion.book.build import build

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all workers of this session
    folder /= "book"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "_build" / "html").exists():
            folder.mkdir(exist_ok=True)
            index = build("smoke", output=folder / "_build", cwd=folder)
            assert index == folder / "_build" / "html" / "index.html"
    return Book(folder / "_build")
