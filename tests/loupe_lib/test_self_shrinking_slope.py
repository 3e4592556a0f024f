"""4S on scripted losses: when it raises, by how much, and that it goes on from its state."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loupe_lib import InputError, Loupe, SelfShrinkingSlope
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


CLIMB = [0.5, 0.6, 0.6, 0.55, 0.7, math.nan, 0.1]


@pytest.mark.parametrize(
    ("patience", "losses", "expected", "mode"),
    [
        (3, [1.0] * 8, [1, 1, 1, 2, 2, 2, 4, 4], "min"),  # raised when the wait reaches patience
        (2, [5, 5, 4, 4, 3, 3, 3], [1, 1, 1, 1, 1, 1, 2], "min"),  # a lower loss restarts the wait
        # An equal loss is no improvement, and a raise does not reset the best loss.
        (2, [1, 1, 2, 1.5, 1, 0.5, 0.7], [1, 1, 2, 2, 4, 4, 4], "min"),
        *((2, [1.0, x, x, 0.9, x, x], [1, 1, 2, 2, 2, 4], "min") for x in (math.nan, math.inf)),
        *((2, [x] * 4, [1, 2, 2, 4], "min") for x in (math.nan, math.inf)),
        (2, CLIMB, [1, 1, 1, 2, 2, 2, 4], "max"),
        (2, [-x for x in CLIMB], [1, 1, 1, 2, 2, 2, 4], "min"),
    ],
)
def test_the_slope_rises_after_patience_epochs_without_a_better_loss(
    patience, losses, expected, mode
):
    assert slopes(losses, patience=patience, factor=2, mode=mode) == expected


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
        ({"factor": 1 + 1e-9}, r"cannot rise by the factor 1\.000000001 up"),  # 1 in float32
        ({"max_slope": 0.5}, r"max_slope must be above the slope, 1; got 0\.5"),
        ({"mode": "lower"}, "mode must be 'min' or 'max'; got 'lower'"),
        ({"name": "beta"}, "nothing named 'beta' to raise: give the name of its slope as `name`"),
        ({"name": ("slope", "Slope")}, "nothing named 'Slope' to raise"),
        *(({"name": n}, "name must be .*, not a path") for n in ((), "0.slope", ("slope", 3))),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        SelfShrinkingSlope(Binary(1.0), **settings)


@pytest.mark.parametrize("loss", [[0.1, 0.2], None, torch.ones(2), "low"])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(InputError, match=f"one number.*; got a {type(loss).__name__}$"):
        SelfShrinkingSlope(Binary(1.0)).step(loss)


@pytest.mark.parametrize("start", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("kind", [Binary, lambda start: Holder(start)], ids=["buffer", "float"])
def test_a_slope_that_cannot_rise_is_refused(kind, start):
    with pytest.raises(InputError, match=f"^1.slope must be finite and above 0; got {start}$"):
        SelfShrinkingSlope(nn.Sequential(Binary(1.0), kind(start)))


class Holder(nn.Module):
    """Any module with an attribute named slope."""

    def __init__(self, slope: object) -> None:
        super().__init__()
        self.slope = slope


class OfTheClass(nn.Module):
    slope = 10.0


class Reads(nn.Module):
    """A property that returns the slope of a sub-module."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = Binary(10.0)

    @property
    def slope(self) -> torch.Tensor:
        return self.mask.slope


def not_persistent() -> nn.Module:
    module = nn.Identity()
    module.register_buffer("slope", torch.tensor(10.0), persistent=False)
    return module


def frozen() -> nn.Module:
    return Holder(nn.Parameter(torch.tensor(10.0), requires_grad=False))


def wrapped(module: nn.Module) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.ModuleDict({"layer": module}))


# What may hold a slope of 10, and whether the state of the module has it.
KINDS = {
    "buffer": (lambda: Binary(10.0), True),
    "float64": (lambda: Binary(10.0).double(), True),
    "float16": (lambda: Binary(10.0).half(), True),
    "bfloat16": (lambda: Binary(10.0).bfloat16(), True),
    "parameter": (frozen, True),
    "property": (Reads, True),
    "temporary buffer": (not_persistent, False),
    "tensor": (lambda: Holder(torch.tensor(10.0)), False),
    "float": (lambda: Holder(10.0), False),
    "int": (lambda: Holder(10), False),
    "numpy": (lambda: Holder(np.float32(10)), False),
    "class": (OfTheClass, False),
}


@pytest.mark.parametrize(("make", "in_state"), KINDS.values(), ids=KINDS)
def test_every_kind_of_slope_is_raised_and_goes_on_from_its_state(make, in_state):
    settings = {"patience": 1, "max_slope": 30}
    first = wrapped(make())
    held = vars(first[1]["layer"]).get("slope")
    shrinking = SelfShrinkingSlope(first, **settings)
    path = "1.layer.mask.slope" if make is Reads else "1.layer.slope"
    assert list(shrinking.slopes.values()) == [10]
    assert make is Reads or list(shrinking.slopes) == [path]
    assert [shrinking.step(1.0) for _ in range(3)] == [False, True, True]
    assert first[1]["layer"].slope == 22.5

    second = wrapped(make())
    second.load_state_dict(first.state_dict())
    resumed = SelfShrinkingSlope(second, **settings)
    state = json.loads(json.dumps(shrinking.state_dict()))
    assert ("slopes" not in state) == in_state
    resumed.load_state_dict(state)
    for one, module in ((shrinking, first), (resumed, second)):
        assert not one.exhausted
        assert module[1]["layer"].slope == 22.5
        assert [one.step(1.0) for _ in range(2)] == [True, False]
        assert module[1]["layer"].slope == 30 and one.exhausted
    if isinstance(held, int | float):  # numbers are floats from the first raise on
        assert type(first[1]["layer"].slope) is float
    assert OfTheClass.slope == 10


def test_none_of_several_slopes_is_left_behind():
    shared = torch.tensor(7.0)
    module = nn.Sequential(Binary(1.0), Holder(2.0), Holder(shared), Holder(shared), Holder(None))
    module[0].temperature = 3
    module[1].other = 5.0
    shrinking = SelfShrinkingSlope(module, 1, 2, name=("slope", "temperature"))
    assert shrinking.slopes == {"0.slope": 1, "0.temperature": 3, "1.slope": 2, "2.slope": 7}
    assert not shrinking.step(1.0) and shrinking.step(1.0)
    assert shrinking.slopes == {"0.slope": 2, "0.temperature": 6, "1.slope": 4, "2.slope": 14}
    assert (module[3].slope, module[4].slope, module[1].other) == (14, None, 5)


def test_functions_reach_a_slope_of_any_other_kind():
    layer = nn.Softplus(beta=1.0)
    layer.temperature = 0.1
    functions = (lambda: 1 / layer.temperature, lambda s: setattr(layer, "temperature", 1 / s))
    shrinking = SelfShrinkingSlope(functions, patience=1, factor=2, max_slope=30)
    assert [shrinking.step(1.0) for _ in range(4)] == [False, True, True, False]
    assert layer.temperature == 1 / 30 and shrinking.exhausted
    state = shrinking.state_dict()
    layer.temperature = 0.1
    SelfShrinkingSlope(functions).load_state_dict(state)
    assert layer.temperature == 1 / 30


@pytest.mark.parametrize(
    ("slope", "said"),
    [
        (nn.Parameter(torch.tensor(20.0)), "trained; set its requires_grad to False"),
        (torch.tensor([20.0]), r"a tensor of shape \(1,\); make it 0-d"),
        (torch.tensor(20), "a tensor of torch.int64; make it float32"),
        (torch.tensor(1j), "a tensor of torch.complex64; make it float32"),
        (True, "of type bool; name a tensor or a number"),
        ("20", "of type str; name a tensor or a number"),
        (nn.Identity(), "of type Identity; name a tensor or a number"),
    ],
    ids=str,
)
def test_what_is_no_slope_is_refused_by_its_path(slope, said):
    module = nn.Sequential(Binary(1.0), wrapped(Holder(slope)))
    end = r", or pass functions \(get, set\) in place of the module$"
    with pytest.raises(
        InputError,
        match=r"^1\.1\.layer\.slope is no slope that can be changed: it is " + said + end,
    ):
        SelfShrinkingSlope(module)


def test_a_property_that_computes_is_refused():
    class Computes(Reads):
        slope = property(lambda self: 2 * self.mask.slope)

    with pytest.raises(InputError, match=r"^slope is no slope .*: it is a property, of no"):
        SelfShrinkingSlope(Computes())


@pytest.mark.parametrize("module", [None, (float,), "slope", torch.tensor(1.0)], ids=str)
def test_what_is_no_module_is_refused(module):
    with pytest.raises(InputError, match=r"module must be an nn.Module, or two functions"):
        SelfShrinkingSlope(module)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_number_of_a_scripted_module_is_raised():
    module = torch.jit.script(nn.Sequential(Scripted(3.0), Scripted(4.0)))
    shrinking = SelfShrinkingSlope(module, patience=1, factor=2)
    assert [shrinking.step(1.0) for _ in range(2)] == [False, True]
    assert shrinking.slopes == {"0.slope": 6, "1.slope": 8}


class Scripted(nn.Module):
    """A slope that is a number, for TorchScript."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * x)


@pytest.mark.parametrize(
    ("dtype", "settings"),
    [
        (torch.float16, {"max_slope": 65505}),
        (torch.float16, {"max_slope": 100, "factor": 1.0004}),
        (torch.bfloat16, {"factor": 1.003}),
    ],
)
def test_a_type_that_is_too_coarse_is_refused(dtype, settings):
    said = f"slope is {dtype}, which cannot rise by the factor .* keep it in float32"
    with pytest.raises(InputError, match=said):
        SelfShrinkingSlope(Binary(20.0).to(dtype), **settings)
    module = Binary(20.0)
    shrinking = SelfShrinkingSlope(module, patience=1, **settings)
    module.to(dtype)
    shrinking.step(1.0)
    with pytest.raises(InputError, match=said):
        shrinking.step(1.0)
    assert module.slope == 20


def test_a_state_without_a_slope_that_it_should_have_is_refused():
    old = {"best": 0.5, "wait": 3}
    shrinking = SelfShrinkingSlope(Binary(1.0))
    shrinking.load_state_dict(old)
    assert shrinking.state_dict() == old
    module = nn.Sequential(Binary(1.0), Holder(2.0))
    with pytest.raises(InputError, match=r"has 0 slopes .* the module has 1 \(1\.slope\): resume"):
        SelfShrinkingSlope(module).load_state_dict(old)
    with pytest.raises(InputError, match=r"has 1 slopes .* the module has 0 \(none\)"):
        shrinking.load_state_dict(SelfShrinkingSlope(module).state_dict())


def test_a_compiled_module_holds_its_slopes_once():
    module = nn.Sequential(Holder(10.0), Binary(3.0))
    shrinking = SelfShrinkingSlope(torch.compile(module, backend="eager"), patience=1, factor=2)
    shrinking.step(1.0)
    shrinking.step(1.0)
    assert (module[0].slope, module[1].slope.item()) == (20, 6)
    assert list(shrinking.slopes) == ["_orig_mod.0.slope", "_orig_mod.1.slope"]
    shrinking = SelfShrinkingSlope(torch.compile(module[0], backend="eager"), patience=1, factor=2)
    shrinking.step(1.0)
    shrinking.step(1.0)
    assert module[0].slope == 40


def train_on_one_of_two_ranks(rank: int, folder: Path) -> None:
    """Write the slopes after each epoch; the losses of the ranks differ."""
    torch.set_num_threads(1)
    method = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", method, world_size=2, rank=rank)
    model = nn.parallel.DistributedDataParallel(
        nn.Sequential(Holder(1.0), Binary(1.0), nn.Linear(1, 1))
    )
    shrinking = SelfShrinkingSlope(model, patience=2, factor=2)
    trace = []
    for loss in LOSSES_OF_RANKS[rank]:
        shrinking.step(loss)
        trace.append(list(shrinking.slopes.values()))
    text = json.dumps([trace, list(shrinking.slopes), shrinking.best])
    (folder / str(rank)).write_text(text, "utf-8")
    torch.distributed.barrier()
    os._exit(0)  # gloo may hang at the end of a process whose partner has gone


# Alone, rank 0 would raise at epochs 2, 4 and 6, and rank 1 never. The means: 2, 1.5, 3, 3, 3, 0.5.
LOSSES_OF_RANKS = [[1.0, 1.0, 5.0, 5.0, 5.0, 1.0], [3.0, 2.0, 1.0, 1.0, 1.0, 0.0]]


def test_ranks_with_different_losses_keep_equal_slopes(tmp_path):
    torch.multiprocessing.spawn(train_on_one_of_two_ranks, (tmp_path,), nprocs=2)
    first, second = (json.loads((tmp_path / rank).read_text("utf-8")) for rank in "01")
    assert first == second
    trace, paths, best = first
    assert trace == [[s, s] for s in (1, 1, 1, 2, 2, 2)]
    assert paths == ["module.0.slope", "module.1.slope"] and best == 0.5
