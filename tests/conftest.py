"""Fixtures of all tests: robustness records, trained runs, and the book of the smoke profile."""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loupe_companion.profiles import Profile, find_profile
from loupe_companion.results import RunResult, read_results
from loupe_companion.sources import load_images
from loupe_companion.store import result_file
from loupe_companion.sweep import run_sweep
from loupe_lib.data.images import Images
from tests.common import ROOT, run_workflow, shared_folder, smoke

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


@dataclass(frozen=True)
class Trained:
    """A trained sweep: R = 4 and 8, two fixed slopes and 4S, two seeds."""

    profile: Profile
    runs: Path
    results: list[RunResult]

    def weights(self, k: int) -> Path:
        """The weights of the k-th run of the profile."""
        return result_file(self.runs, self.profile.configs()[k]).parent / "weights.safetensors"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    chosen = find_profile("smoke", accelerations=[4, 8], slopes=[200, 2000], seed=[0, 1])
    with shared_folder(tmp_path_factory, "runs") as shared:
        results = run_sweep(chosen.configs(), shared, device="cpu", progress=False)
        runs = shutil.copytree(shared, tmp_path_factory.mktemp("trained") / "runs")
    return Trained(chosen, runs, results)


@pytest.fixture(scope="session")
def images() -> Images:
    return load_images(smoke())


@pytest.fixture(scope="session")
def kept_results() -> list[RunResult]:
    """The kept runs of the claims sweep at the reference's size, 26 methods in all."""
    folder = ROOT / "results"
    return [r for name in ("reference", "claims") for r in read_results(folder / f"{name}.h5")]


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
