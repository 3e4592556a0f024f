"""4S as a callback of Transformers, on its own Trainer."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from loupe_lib import InputError
from loupe_lib.callbacks.transformers import SelfShrinkingSlopeCallback
from tests.loupe_lib.callbacks import common
from tests.loupe_lib.callbacks.common import EPOCHS, LOSSES, SETTINGS, SLOPES, Network, Scripted


class Killing(TrainerCallback):
    def on_step_end(self, args: TrainingArguments, state: TrainerState, *rest, **event) -> None:
        if state.global_step == 2 * 4 + 3:
            common.kill()


def trainer(net: nn.Module, folder: Path, *callbacks: TrainerCallback, **settings: object):
    defaults = {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "num_train_epochs": EPOCHS,
        "restore_callback_states_from_checkpoint": True,
    }
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=2,
        learning_rate=0.1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        label_names=["x"],  # whoever has labels evaluates a loss
        **(defaults | settings),
    )
    return Trainer(
        net,
        arguments,
        data_collator=lambda images: {"x": torch.stack(images)},
        train_dataset=list(common.TRAIN),
        eval_dataset=list(common.VALIDATION),
        callbacks=list(callbacks),
    )


def logged(trained: Trainer, *names: str) -> list[tuple[float, ...]]:
    """What each evaluation logged."""
    rows = [row for row in trained.state.log_history if "eval_loss" in row]
    return [tuple(row[name] for name in names) for row in rows]


def train(folder: Path, kind: str, *callbacks: TrainerCallback, resume=None, **settings) -> Trainer:
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    trained = trainer(Network(kind), folder, slope, *callbacks, **settings)
    trained.train(resume_from_checkpoint=resume)
    return trained


WITHIN_EPOCHS = {
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
}


EVALUATED_ON_START = {"save_strategy": "steps", "save_steps": 2, "eval_on_start": True}


def train_until_killed(folder: Path, kind: str, settings: dict[str, object]) -> None:
    train(folder, kind, Killing(), **settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("buffer", {}), ("float", {}), ("float", WITHIN_EPOCHS), ("float", EVALUATED_ON_START)],
    ids=["buffer", "float", "within an epoch", "evaluated on start"],
)
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, kind, settings):
    names = ["epoch", "eval_loss", "layer.slope"]
    whole = logged(train(tmp_path / "whole", kind, **settings), *names)
    assert common.run(train_until_killed, (tmp_path / "killed", kind, settings)) == [common.KILLED]
    resumed = train(tmp_path / "killed", kind, resume=True, **settings)
    # It has an evaluation more where it resumed with `eval_on_start`.
    assert [row for row in logged(resumed, *names) if row in whole] == whole
    assert max(row[2] for row in whole if row[0] <= 3) > 2  # raised before the kill


@pytest.mark.parametrize("validations", [1, 4])  # an epoch
def test_it_takes_one_loss_an_epoch_and_none_of_before(tmp_path, validations):
    # The other losses of an epoch are the lowest: taken, they would keep the slope low.
    losses = [loss for first in LOSSES for loss in [first] + [0.0] * (validations - 1)]
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    settings = {"eval_strategy": "steps", "eval_steps": 4 // validations, "eval_on_start": True}
    trained = trainer(
        Scripted([0.0, *losses, 0.0]), tmp_path, slope, save_strategy="no", **settings
    )
    trained.train()
    rows = logged(trained, "eval_loss", "slope")
    assert [row[0] for row in rows] == pytest.approx([0.0, *losses])
    assert [row[1] for row in rows[1::validations]] == SLOPES
    trained.evaluate()
    assert slope.schedule.epoch == EPOCHS and slope.schedule.wait == 0


def test_beside_early_stopping_and_the_best_model(tmp_path):
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    stop = EarlyStoppingCallback(3)
    net = Scripted([1.0, 1.0, 0.5, 0.7, 0.6, 0.6, 0.1])
    settings = {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    trained = trainer(net, tmp_path, stop, slope, num_train_epochs=9, **settings)
    trained.train()
    assert trained.state.epoch == 6 and slope.schedule.slopes == {"slope": 2.0}
    assert slope.schedule.state_dict() == {"best": 0.5, "wait": 0, "epoch": 6}


def test_a_metric_that_is_not_there_is_refused(tmp_path):
    slope = SelfShrinkingSlopeCallback("loss", **SETTINGS)
    with pytest.raises(
        InputError, match="no metric is named 'loss'; monitor one of these: epoch, eval_loss"
    ):
        trainer(Scripted(LOSSES), tmp_path, slope).train()


def test_training_without_an_evaluation_is_refused(tmp_path):
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    with pytest.raises(InputError, match="evaluation: set eval_strategy='epoch'"):
        trainer(Network("buffer"), tmp_path, slope, eval_strategy="no").train()


def test_other_sets_may_be_evaluated_as_well(tmp_path):
    slope = SelfShrinkingSlopeCallback("eval_b_loss", **SETTINGS)
    losses = [loss for own in LOSSES for loss in (0.0, own)]  # of sets a and b
    trained = trainer(Scripted([0.0, *losses]), tmp_path, slope, save_strategy="no")
    images = list(common.VALIDATION)
    trained.evaluate(images)  # before training
    trained.eval_dataset = {"a": images, "b": images}
    trained.train()
    expected = {"best": pytest.approx(0.4), "wait": 0, "epoch": EPOCHS}
    assert slope.schedule.state_dict() == expected


@pytest.mark.parametrize("kind", ["buffer", "float"])
@pytest.mark.parametrize("restored", [True, False])
def test_resuming_without_its_state_is_refused(tmp_path, kind, restored):
    saved = [] if restored else [SelfShrinkingSlopeCallback(**SETTINGS)]
    trainer(Network(kind), tmp_path, *saved, num_train_epochs=1).train()
    with pytest.raises(InputError, match="set restore_callback_states_from_checkpoint=True"):
        train(tmp_path, kind, resume=True, restore_callback_states_from_checkpoint=restored)
