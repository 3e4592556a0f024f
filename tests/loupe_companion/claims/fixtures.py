"""What the tests of the claims change: see :class:`tests.claims_world.World`."""

import pytest

from tests.loupe_companion.claims.world import World

pytest_plugins = ["tests.fixtures_runs"]


@pytest.fixture
def world(trained) -> World:
    return World(trained.results[4])
