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


def test_round_1_shrinks_and_round_2_reduces_the_learning_rate():
    config = smoke(
        **{**LONG, "shrink_epochs": 4, "settle_epochs": 6}, patience=1, lr_patience=2, factor=2.0
    )
    played = play(Scripted(config), [1.0] * 10)
    assert [row[0] for row in played] == [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert [row[1] for row in played] == [200, 400, 800, 1600, 1600, 1600, 1600, 1600, 1600, 1600]
    rates = [0.01] * 5 + [0.002] * 2 + [0.0004] * 2 + [0.00008]
    assert [row[2] for row in played] == pytest.approx(rates)


def test_a_fixed_slope_has_round_2_alone():
    config = fixed(**{**LONG_FIXED, "settle_epochs": 5}, patience=1, lr_patience=2)
    of = Scripted(config)
    played = play(of, [1.0] * 5)
    assert {row[0] for row in played} == {2} and {row[1] for row in played} == {200}
    assert [row[2] for row in played] == pytest.approx([0.01, 0.01, 0.002, 0.002, 0.0004])
    assert of.finished


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


def test_a_lower_loss_starts_every_wait_anew():
    of = Scripted(fixed(**{**LONG_FIXED, "stop_patience": 3}, lr_patience=2))
    played = play(of, [5, 5, 4, 4, 3, 3, 2, 2, 1])
    assert not of.finished and {row[2] for row in played} == {0.01}


def test_the_learning_rate_stays_above_its_minimum():
    config = fixed(**LONG_FIXED, lr_patience=1, min_lr=3e-4)
    played = play(Scripted(config), [1.0] * 5)
    assert [row[2] for row in played] == pytest.approx([0.01, 0.002, 4e-4, 3e-4, 3e-4])


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


def test_epochs_raise_the_slope_where_the_schedule_is_exponential():
    config = smoke(
        **{**LONG, "shrink_epochs": 3, "settle_epochs": 3},
        schedule="exponential",
        slope=1.0,
        max_slope=100.0,
        lr_patience=2,
    )
    of = Scripted(config)
    played = play(of, [1.0, 0.9, 1.0, 1.0, 1.0, 1.0])
    assert [row[1] for row in played] == pytest.approx([10, 100, 100, 100, 100, 100])
    assert [row[0] for row in played] == [1, 1, 2, 2, 2, 2] and of.finished
    second = Scripted(config)
    second.load_state_dict(json.loads(json.dumps(of.state_dict())))
    assert second.state_dict() == of.state_dict()
