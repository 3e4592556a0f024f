"""4S as a handler of PyTorch-Ignite, on its own engines."""

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping
from ignite.metrics import Average
from torch import Tensor, nn

from loupe_lib import InputError
from loupe_lib.callbacks.ignite import SelfShrinkingSlopeHandler
from tests.loupe_lib.callbacks import common
from tests.loupe_lib.callbacks.common import EPOCHS, LOSSES, SETTINGS, SLOPES, Network, Scripted


class Loop:
    """A trainer and an evaluator, and what each validation logged."""

    def __init__(self, net: nn.Module, *every: Events, monitor: str = "loss") -> None:
        self.net = net
        self.optimizer = torch.optim.Adam(net.parameters(), 0.1)
        self.trainer = Engine(self.step)
        self.evaluator = Engine(self.validate)
        Average().attach(self.evaluator, "loss")
        self.slope = SelfShrinkingSlopeHandler(net, monitor, **SETTINGS)
        self.slope.attach(self.trainer, self.evaluator)
        self.rows: list[tuple[float, ...]] = []
        for event in every or [Events.EPOCH_COMPLETED]:
            self.trainer.add_event_handler(event, self.run_evaluator)
        self.to_save = {
            "trainer": self.trainer,
            "net": net,
            "optimizer": self.optimizer,
            "slope": self.slope,
        }

    def step(self, engine: Engine, batch: Tensor) -> None:
        torch.manual_seed(engine.state.iteration)  # Ignite does not restore the random state
        self.net.train()
        self.optimizer.zero_grad()
        self.net(batch)["loss"].backward()
        self.optimizer.step()

    @torch.no_grad()
    def validate(self, engine: Engine, batch: Tensor) -> float:
        self.net.eval()
        return self.net(batch)["loss"].item()

    def run_evaluator(self) -> None:
        self.evaluator.run([common.VALIDATION])
        self.rows.append(tuple(self.evaluator.state.metrics.values()))

    def run(self, epochs: int = EPOCHS) -> "Loop":
        self.trainer.run(common.TRAIN.split(2), max_epochs=epochs)
        return self


def with_checkpoint(loop: Loop, folder: Path) -> Loop:
    saver = DiskSaver(folder, require_empty=False)
    last = Checkpoint(loop.to_save, saver, filename_pattern="last.pt", n_saved=None)
    loop.trainer.add_event_handler(Events.EPOCH_COMPLETED, last)
    return loop


def train_until_killed(folder: Path, kind: str) -> None:
    loop = with_checkpoint(Loop(Network(kind)), folder)
    loop.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3 * 4 + 2), common.kill)
    loop.run()


@pytest.mark.parametrize("kind", ["buffer", "float"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, kind):
    whole = Loop(Network(kind)).run()
    assert common.run(train_until_killed, (tmp_path, kind)) == [common.KILLED]
    resumed = Loop(Network(kind))
    Checkpoint.load_objects(resumed.to_save, tmp_path / "last.pt")
    resumed.run()
    assert resumed.rows == whole.rows[3:]
    assert whole.rows[3][1] > 2  # raised before the kill


@pytest.mark.parametrize("validations", [1, 4])  # an epoch
def test_it_takes_one_loss_an_epoch_and_none_of_before(validations):
    # The other losses of an epoch are the lowest: taken, they would keep the slope low.
    losses = [loss for first in LOSSES for loss in [first] + [0.0] * (validations - 1)]
    every = Events.ITERATION_COMPLETED(every=4 // validations)
    loop = Loop(Scripted([0.0, *losses]), Events.STARTED, every).run()
    assert [row[0] for row in loop.rows] == pytest.approx([0.0, *losses])
    assert [row[1] for row in loop.rows[1::validations]] == SLOPES


def test_beside_early_stopping_and_the_best_checkpoint(tmp_path):
    loop = Loop(Scripted([1.0, 1.0, 0.5, 0.7, 0.6, 0.6, 0.1]))
    score = Checkpoint.get_default_score_fn("loss", -1.0)
    saver = DiskSaver(tmp_path)
    best = Checkpoint(loop.to_save, saver, score_function=score, filename_pattern="best.pt")
    stop = EarlyStopping(3, score, loop.trainer)
    for handler in (best, stop):
        loop.evaluator.add_event_handler(Events.COMPLETED, handler)
    loop.run(9)
    assert loop.trainer.state.epoch == 6 and loop.net.slope == 16
    checkpoint = torch.load(tmp_path / "best.pt", weights_only=True)
    assert checkpoint["net"]["slope"] == 2
    assert checkpoint["slope"] == {"best": 0.5, "wait": 0, "epoch": 3}


def test_a_metric_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"no metric is named 'val'; monitor one of these: loss$"):
        Loop(Scripted(LOSSES), monitor="val").run()


def test_a_resumed_run_without_its_state_is_refused_if_it_loses_a_slope(tmp_path):
    for kind in ("buffer", "float"):
        with_checkpoint(Loop(Network(kind)), tmp_path).run(2)
        loop = Loop(Network(kind))
        del loop.to_save["slope"]
        Checkpoint.load_objects(loop.to_save, tmp_path / "last.pt")
        if kind == "float":
            with pytest.raises(
                InputError, match=r"layer\.slope would start again.*: save and load"
            ):
                loop.run(4)
        else:
            assert loop.run(4).slope.epoch == 4


def test_a_run_may_go_on_in_the_same_process():
    loop = Loop(Network("float")).run(3).run(EPOCHS)
    assert loop.rows == Loop(Network("float")).run().rows


def test_runs_of_one_epoch_count():
    loop = Loop(Scripted(LOSSES))
    for _ in LOSSES:
        loop.run(1)
    assert [row[1] for row in loop.rows] == SLOPES
