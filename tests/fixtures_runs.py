"""Real runs of the smallest size, trained once for all tests that only look at them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from loupe_companion.profiles import Profile, find_profile
from loupe_companion.results import RunResult, read_results
from loupe_companion.sources import load_images
from loupe_companion.store import result_file
from loupe_companion.sweep import run_sweep
from loupe_lib.data.images import Images
from tests.common import shared_folder, smoke


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
        # One at a time stays in this process, whatever the number of cores.
        results = [run_sweep([config], shared, progress=False)[0] for config in chosen.configs()]
        runs = shutil.copytree(shared, tmp_path_factory.mktemp("trained") / "runs")
    return Trained(chosen, runs, results)


@pytest.fixture(scope="session")
def images() -> Images:
    return load_images(smoke())


@pytest.fixture(scope="session")
def kept_results() -> list[RunResult]:
    """The kept runs of the claims sweep at the reference's size, 26 methods in all."""
    folder = Path(__file__).parent.parent / "results"
    return [r for name in ("reference", "claims") for r in read_results(folder / f"{name}.h5")]
