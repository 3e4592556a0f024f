"""4S on scripted losses: when it raises, by how much, and that it goes on from its state."""

import json
import math

import pytest
import torch
from torch import nn

from loupe_lib import InputError, Loupe, ProbabilityMask, SelfShrinkingSlope
from tests.common import Binary, on_each_device


def slopes(losses: list[float], **settings: object) -> list[float]:
    """The slope after each epoch, from 1."""
    module = Binary(1.0)
    shrinking = SelfShrinkingSlope(module, **settings)
    after = []
    for loss in losses:
        before = module.slope.item()
        raised = shrinking.step(loss)
        after.append(module.slope.item())
        assert raised == (after[-1] > before)
    return after


@pytest.mark.parametrize(
    ("patience", "losses", "expected"),
    [
        (3, [1.0] * 8, [1, 1, 1, 2, 2, 2, 4, 4]),  # raised when the wait reaches patience
        (2, [5, 5, 4, 4, 3, 3, 3], [1, 1, 1, 1, 1, 1, 2]),  # a lower loss restarts the wait
        # An equal loss is no improvement, and a raise does not reset the best loss.
        (2, [1, 1, 2, 1.5, 1, 0.5, 0.7], [1, 1, 2, 2, 4, 4, 4]),
        *((2, [1.0, x, x, 0.9, x, x], [1, 1, 2, 2, 2, 4]) for x in (math.nan, math.inf)),
        *((2, [x] * 4, [1, 2, 2, 4]) for x in (math.nan, math.inf)),
    ],
)
def test_the_slope_rises_after_patience_epochs_without_a_lower_loss(patience, losses, expected):
    assert slopes(losses, patience=patience, factor=2) == expected


def test_the_paper_s_settings_are_the_defaults():
    shrinking = SelfShrinkingSlope(Binary(1.0))
    assert (shrinking.patience, shrinking.factor, shrinking.max_slope) == (40, 1.5, 1e5)
    assert slopes([1.0] * 82)[-1] == 2.25 and slopes([1.0] * 81)[-1] == 2.25
    assert slopes([1.0] * 80)[-1] == 1.5 and slopes([1.0] * 40)[-1] == 1


@pytest.mark.parametrize("maximum", [333.3, 1000.0, 1000.1])  # float32 rounds the outer two down
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_last_raise_ends_on_the_maximum_and_exhausts_4s(maximum, dtype):
    two = nn.ModuleList([Binary(200.0), Binary(100.0)]).to(dtype)
    buffer = two[0].slope
    shrinking = SelfShrinkingSlope(two, patience=1, max_slope=maximum)
    raised = []
    while not shrinking.exhausted and len(raised) < 9:
        raised.append(shrinking.step(1.0))
    assert raised == [False] + [True] * (3 if maximum < 400 else 6)
    assert [module.slope for module in two] == 2 * [torch.tensor(maximum, dtype=dtype)]
    assert not shrinking.step(1.0) and two[0].slope is buffer


def test_a_slope_above_the_maximum_is_not_lowered():
    two = nn.ModuleList([Binary(50.0), Binary(2.0)])
    shrinking = SelfShrinkingSlope(two, patience=1, factor=2, max_slope=10)
    for _ in range(6):
        shrinking.step(1.0)
    assert [module.slope.item() for module in two] == [50, 10]


def test_every_slope_is_raised_from_its_own_value():
    module = nn.Sequential(Binary(3.0), nn.Sequential(nn.ReLU(), ProbabilityMask(32, 4, 20.0)))
    module.register_buffer("slope", torch.tensor(100.0))
    module.register_buffer("slopes", torch.tensor(7.0))  # another name
    module[0].register_buffer("my_slope", torch.tensor(7.0))
    shrinking = SelfShrinkingSlope(module, patience=1, factor=2)
    shrinking.step(1.0)
    shrinking.step(1.0)
    assert {name: value.item() for name, value in module.named_buffers()} == {
        "slope": 200,
        "slopes": 7,
        "0.slope": 6,
        "0.my_slope": 7,
        "1.1.slope": 40,
    }


@on_each_device
def test_a_module_may_move_after_construction(device):
    module = Loupe(32, 4, 200.0, width=1)
    shrinking = SelfShrinkingSlope(module, patience=1)
    module.to(device, torch.float64)  # new tensors, also on the CPU
    shrinking.step(1.0)
    shrinking.step(1.0)
    assert module.mask.slope.item() == 300


LOSSES = [3, 3, 2, 2, 2, 2, math.nan, 1.9, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("epoch", range(len(LOSSES)))
def test_a_state_taken_after_any_epoch_goes_on_the_same(epoch):
    settings = {"patience": 2, "factor": 2}
    first = Binary(1.0)
    shrinking = SelfShrinkingSlope(first, **settings)
    for loss in LOSSES[:epoch]:
        shrinking.step(loss)
    second = Binary(1.0)
    second.load_state_dict(first.state_dict())
    resumed = SelfShrinkingSlope(second, **settings)
    resumed.load_state_dict(json.loads(json.dumps(shrinking.state_dict())))
    for loss in LOSSES[epoch:]:
        assert resumed.step(loss) == shrinking.step(loss)
        assert second.slope == first.slope
    assert resumed.state_dict() == shrinking.state_dict()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        *(({"patience": p}, f"patience.*{p}") for p in (0, -1, 1.5, math.nan, "4")),
        *(({"factor": m}, f"factor.*{m}") for m in (1, -2, math.nan, math.inf, "2")),
        *(({"max_slope": s}, f"max_slope.*{s}") for s in (0, -1, math.nan, math.inf)),
        ({"max_slope": 1e39}, r"max_slope.*1e\+39"),  # infinite in float32
        ({"factor": 1 + 1e-9}, r"grow by the factor 1; got 1\.0"),  # 1 in float32
    ],
)
def test_settings_out_of_range_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        SelfShrinkingSlope(Binary(1.0), **settings)


@pytest.mark.parametrize("start", [0.0, -1.0, math.inf, math.nan])
def test_a_slope_that_cannot_rise_is_refused(start):
    with pytest.raises(InputError, match="finite, above 0, and grow"):
        SelfShrinkingSlope(Binary(start))


def test_a_module_without_a_slope_is_refused():
    with pytest.raises(InputError, match="no buffer named 'slope'"):
        SelfShrinkingSlope(nn.Linear(1, 1))


@pytest.mark.parametrize(
    "start",
    [
        torch.tensor(20),
        torch.tensor(1j),
        torch.tensor(20.0, dtype=torch.float16),
        torch.tensor(20.0, dtype=torch.bfloat16),
        torch.tensor([20.0]),
    ],
    ids=str,
)
def test_a_slope_of_another_type_or_shape_is_refused_at_once(start):
    module = nn.Sequential(Binary(1.0), Binary(1.0))
    module[1].register_buffer("slope", start)
    named = f"0-d float32 or float64 tensor; got {start.dtype} of shape"
    with pytest.raises(InputError, match=named):
        SelfShrinkingSlope(module)
