"""The authors' schedule around a training: what it watches, keeps and ends."""

from loupe_lib import ReleasedSchedule
from loupe_lib.training.released_training import ReleasedTraining
from tests.common import Binary, smoke

CONFIG = smoke(
    schedule="released",
    shrink_epochs=20,
    settle_epochs=10,
    patience=8,
    lr_patience=12,
    stop_patience=30,
    max_slope=400.0,
)
# Falling, then flat: raised after 8 epochs, idle for 2, lower again, then flat to the end.
LOSSES = [3.0, 2.0, 1.0, *[1.5] * 8, 1.9, 1.8, 1.7, 1.6, *[1.65] * 20]


def test_it_follows_the_released_schedule_with_the_pause_in_proportion():
    expected = ReleasedSchedule(
        slope=200, lr=0.01, patience_slope=8, patience_early=30, patience_lr=12,
        idle_patience=2, max_slope=400, change_slope=1.5, change_lr=0.2, min_lr=1e-6,
    )  # fmt: skip
    module = Binary(200)
    of = ReleasedTraining(CONFIG, module)
    kept = []
    for epoch, loss in enumerate(LOSSES[:30]):
        decision = of.step(loss=-epoch, soft_loss=loss)  # the inference loss does not count
        expected.step(loss)
        assert (module.slope.item(), of.learning_rate) == (expected.slope, expected.lr)
        assert decision.keep == (expected.best_epoch == epoch)
        kept += [epoch] if decision.keep else []
        assert decision.restore is of.finished is (epoch == 29)
    assert module.slope == 400 and of.learning_rate < 0.01
    assert kept == [0, 1, 2, 14]  # epoch 13 ended the pause, and was forgotten as the best epoch


def test_it_stops_early_when_its_counter_says_so():
    module = Binary(200)
    of = ReleasedTraining(smoke(**{**SHORT, "stop_patience": 4}), module)
    decisions = [of.step(0.0, loss) for loss in [1.0, 2.0, 2.0, 2.0, 2.0]]
    assert [d.restore for d in decisions] == [False] * 4 + [True] and of.finished


def test_the_second_round_starts_from_the_best_weights_at_their_slope_and_raises_no_slope():
    module = Binary(200)
    both = {"shrink_epochs": 14, "settle_epochs": 10, "patience": 2, "lr_patience": 3}
    both["stop_patience"] = 50
    of = ReleasedTraining(smoke(**{**SHORT, **both}, double_round=True), module)
    slopes, rates, restored = [], [], []
    for epoch in range(24):
        assert of.round == (1 if epoch < 14 else 2)
        decision = of.step(0.0, 1.0 if epoch == 0 else 2.0)
        if decision.restore:
            restored.append(epoch)
            module.slope.fill_(200)  # that of the best weights, which a run puts back
        slopes.append(module.slope.item())
        rates.append(round(of.learning_rate, 6))
    assert max(slopes[:13]) > 200 and rates[:13] == [0.01] * 13
    assert slopes[13:] == [200] * 11 and rates[13:].count(0.01) == 3 and rates[-1] < 0.002
    assert restored == [13, 23] and of.finished


SHORT = {"schedule": "released", "shrink_epochs": 50, "settle_epochs": 50, "patience": 9}
