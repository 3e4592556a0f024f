"""Runs and images for the tests of the claims."""

import pytest

from loupe_companion.results import RunResult
from loupe_companion.sources import load_images
from loupe_companion.sweep import run_sweep
from loupe_lib.data.images import Images
from tests.common import smoke
from tests.loupe_companion.claims.world import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A real run of 4S of the smallest size."""
    return run_sweep([smoke()], tmp_path_factory.mktemp("runs"), progress=False)[0]


@pytest.fixture(scope="session")
def images() -> Images:
    return load_images(smoke())


@pytest.fixture
def world(template: RunResult) -> World:
    return World(template)
