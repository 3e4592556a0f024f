"""4S in fastMRI's own LOUPE, whose slope is a whole number of another name."""

import pytest
import torch

from loupe_lib import SelfShrinkingSlope

pytest.importorskip("fastmri")
from fastmri.models.policy import LOUPEPolicy

COLUMNS, BUDGET, CENTRE = 16, 4, 8


def train(max_slope: float) -> tuple[LOUPEPolicy, list[float]]:
    """Learn which columns of k-space to measure; the slope after each epoch."""
    torch.manual_seed(0)
    policy = LOUPEPolicy(COLUMNS, BUDGET, slope=1, straight_through_slope=10)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    shrinking = SelfShrinkingSlope(
        policy, patience=2, factor=1.5, max_slope=max_slope, name="straight_through_slope"
    )
    distance = (torch.arange(COLUMNS) - CENTRE).abs()
    # (batch, coils, rows, columns, real and imaginary): the energy is at the centre.
    kspace = torch.randn(8, 1, 4, COLUMNS, 2) * torch.exp(-distance / 2)[:, None]
    nothing = torch.zeros(8, 1, 1, COLUMNS, 1)  # measured before
    slopes = [policy.straight_through_slope]
    for _ in range(16):
        for _ in range(4):
            optimizer.zero_grad()
            mask, _, _ = policy(nothing, kspace)
            (mask * kspace - kspace).square().mean().backward()
            optimizer.step()
        with torch.no_grad():  # the loss of the binary mask, the most probable columns
            p = policy(nothing[:1], kspace[:1])[2].flatten()
            missed = kspace[:, :, :, p.argsort()[:-BUDGET]]
        shrinking.step(missed.square().mean())
        slopes.append(policy.straight_through_slope)
    return policy, slopes


def test_4s_raises_the_slope_of_fastmri_s_policy_as_it_is():
    policy, slopes = train(max_slope=80)  # from about 88 on, its gradient is NaN
    assert slopes[0] == 10 and slopes[-1] == 80 and slopes == sorted(slopes)
    assert policy.sampler.isfinite().all()
    chosen = policy.sampler[0].argsort()[-BUDGET:]
    assert set(chosen.tolist()) in ({6, 7, 8, 9}, {7, 8, 9, 10})
