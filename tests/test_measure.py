"""From a finished run to its result; the whole of it is held in test_sweep and test_evaluation."""

import numpy as np
import pytest

from loupe_lib.measure import collapse
from tests.common import smoke


@pytest.mark.parametrize(
    ("achieved", "collapsed"),
    [(1.9, True), (2.0, False), (4.0, False), (8.0, False), (8.1, True), (np.inf, True)],
)
def test_a_mask_off_by_more_than_a_factor_of_2_has_collapsed(achieved, collapsed):
    found = collapse({"achieved_acceleration": np.array(achieved)}, smoke())
    assert bool(found) == collapsed
    assert all(f"R={achieved:.3g}, not 4" in warning for warning in found)
