"""The paper's callbacks on scripted losses."""

import json
import math

import pytest

from loupe_lib.training.config import RunConfig
from loupe_lib.training.schedule import Decision, Schedule
from tests.common import Binary, fixed, smoke


class Scripted(Schedule):
    """A schedule and the module whose slope it raises."""

    def __init__(self, config: RunConfig) -> None:
        self.module = Binary(config.slope)
        super().__init__(config, self.module)


def play(of: Scripted, losses: list[float]) -> list[tuple[int, float, float, Decision]]:
    """Round, slope and learning rate after each epoch, and what it asked for."""
    played = []
    for loss in losses:
        decision = of.step(loss)
        played.append((of.round, of.module.slope.item(), of.learning_rate, decision))
    return played


LONG = {"shrink_epochs": 100, "settle_epochs": 100, "stop_patience": 100}
LONG_FIXED = {**LONG, "shrink_epochs": 0}
RAISED = {**LONG, "shrink_epochs": 4, "settle_epochs": 6, "patience": 1, "factor": 2.0}
RISING = {**LONG, "shrink_epochs": 3, "settle_epochs": 3, "slope": 1.0, "max_slope": 100.0}

# Configuration, losses, and the round, slope and learning rate after each epoch.
PLAYED = {
    "4S raises the slope in round 1, and the learning rate falls in round 2": (
        smoke(**RAISED, lr_patience=2),
        [1.0] * 10,
        [1] * 3 + [2] * 7,
        [200, 400, 800] + [1600] * 7,
        [0.01] * 5 + [0.002] * 2 + [0.0004] * 2 + [0.00008],
    ),
    "a fixed slope has round 2 alone": (
        fixed(**{**LONG_FIXED, "settle_epochs": 5}, patience=1, lr_patience=2),
        [1.0] * 5,
        [2] * 5,
        [200] * 5,
        [0.01, 0.01, 0.002, 0.002, 0.0004],
    ),
    "a lower loss starts every wait anew": (
        fixed(**{**LONG_FIXED, "stop_patience": 3}, lr_patience=2),
        [5, 5, 4, 4, 3, 3, 2, 2, 1],
        [2] * 9,
        [200] * 9,
        [0.01] * 9,
    ),
    "the learning rate stays above its minimum": (
        fixed(**LONG_FIXED, lr_patience=1, min_lr=3e-4),
        [1.0] * 5,
        [2] * 5,
        [200] * 5,
        [0.01, 0.002, 4e-4, 3e-4, 3e-4],
    ),
    "epochs raise the slope where the schedule is exponential": (
        smoke(**RISING, schedule="exponential", lr_patience=2),
        [1.0, 0.9, 1.0, 1.0, 1.0, 1.0],
        [1] * 2 + [2] * 4,
        [10] + [100] * 5,
        [0.01] * 4 + [0.002] * 2,
    ),
}


@pytest.mark.parametrize(
    ("config", "losses", "rounds", "slopes", "rates"), PLAYED.values(), ids=PLAYED
)
def test_rounds_slopes_and_learning_rates(config, losses, rounds, slopes, rates):
    of = Scripted(config)
    found = list(zip(*play(of, losses), strict=True))
    assert list(found[0]) == rounds
    assert found[1] == pytest.approx(slopes) and found[2] == pytest.approx(rates)
    assert of.finished is (len(losses) == config.shrink_epochs + config.settle_epochs)
    second = Scripted(config)
    second.load_state_dict(json.loads(json.dumps(of.state_dict())))
    assert second.state_dict() == of.state_dict()


def test_weights_are_kept_at_each_lower_loss_and_brought_back_at_the_end_of_each_round():
    of = Scripted(smoke(**{**LONG, "shrink_epochs": 3, "settle_epochs": 4}))
    losses = [3, 2, 2.5, 2.1, 1, math.nan, 1]
    decisions = [of.step(loss) for loss in losses]
    assert [d.keep for d in decisions] == [True, True, False, False, True, False, False]
    assert [d.restore for d in decisions] == [False, False, True, False, False, False, True]
    assert of.finished and of.best == 1


def test_early_stopping_ends_each_round_when_its_wait_reaches_patience():
    of = Scripted(smoke(**{**LONG, "stop_patience": 3}))
    played = play(of, [1.0, 1.0, 1.0])
    assert (of.round, of.finished) == (1, False)
    assert of.step(1.0) == Decision(keep=False, restore=True)
    assert (of.round, of.finished, of.epoch) == (2, False, 0)
    assert of.learning_rate == 0.01 and [row[2] for row in played] == [0.01] * 3
    play(of, [1.0, 1.0])
    assert not of.finished
    assert of.step(1.0).restore and of.finished


LOSSES = [3, 3, 2, 2, math.nan, 2, 1.5, 1.5, 1.5, 1.5, 1.4, 1.6, 1.6, 1.6, 1.6, 1.6]


@pytest.mark.parametrize("epoch", range(len(LOSSES)))
def test_a_state_taken_after_any_epoch_goes_on_the_same_through_json(epoch):
    config = smoke(
        shrink_epochs=7, settle_epochs=8, stop_patience=4, patience=1, lr_patience=2, batch=8
    )
    first, second = Scripted(config), Scripted(config)
    for loss in LOSSES[:epoch]:
        first.step(loss)
    second.module.load_state_dict(first.module.state_dict())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert play(second, LOSSES[epoch:]) == play(first, LOSSES[epoch:])
    assert second.state_dict() == first.state_dict() and second.finished == first.finished
