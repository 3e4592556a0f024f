"""4S as a callback of PyTorch Lightning, on its own Trainer."""

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateFinder, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from loupe_lib import InputError
from loupe_lib.callbacks.lightning import SelfShrinkingSlopeCallback
from tests.loupe_lib.callbacks import common
from tests.loupe_lib.callbacks.common import EPOCHS, LOSSES, SETTINGS, SLOPES, Network, Scripted

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{start}")
    for start in (
        "Checkpoint directory .* exists",
        "The dirpath has changed",
        "The `srun` command is available",
        ".*does not have many workers",
        "`isinstance.treespec, LeafSpec.` is deprecated",
    )
]


class Module(pl.LightningModule):
    def __init__(self, net: nn.Module, kill_in: int | None = None) -> None:
        super().__init__()
        self.net = net
        self.kill_in = kill_in

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        torch.manual_seed(self.global_step)  # Lightning does not restore the random state
        if index == 1 and self.current_epoch == self.kill_in:
            common.kill()
        return self.net(batch)["loss"]

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val_loss", self.net(batch)["loss"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.1)


def fit(module: Module, folder: Path, *callbacks: pl.Callback, **settings: object) -> pl.Trainer:
    ckpt_path = settings.pop("ckpt_path", None)
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=CSVLogger(folder, flush_logs_every_n_steps=1),
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=4,
        **({"max_epochs": EPOCHS} | settings),
    )
    trainer.fit(
        module,
        DataLoader(common.TRAIN, batch_size=2),
        DataLoader(common.VALIDATION, batch_size=8),
        ckpt_path=ckpt_path,
    )
    return trainer


def logged(trainer: pl.Trainer, *names: str) -> list[tuple[float, ...]]:
    """What each validation logged."""
    with open(Path(trainer.logger.log_dir) / "metrics.csv") as file:
        return [tuple(float(row[name]) for name in names) for row in csv.DictReader(file)]


def train(folder: Path, kind: str, at_epoch_end: bool | None, **settings: object) -> pl.Trainer:
    module = Module(Network(kind), settings.pop("kill_in", None))
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    last = ModelCheckpoint(
        folder, "last", enable_version_counter=False, save_on_train_epoch_end=at_epoch_end
    )
    return fit(module, folder, slope, last, **settings)


def train_until_killed(folder: Path, kind: str, at_epoch_end: bool | None) -> None:
    train(folder, kind, at_epoch_end, kill_in=3)


@pytest.mark.parametrize(
    ("kind", "at_epoch_end"), [("buffer", True), ("float", True), ("float", False)]
)
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, kind, at_epoch_end):
    whole = train(tmp_path / "whole", kind, at_epoch_end)
    expected = logged(whole, "epoch", "val_loss", "net.layer.slope")
    killed = tmp_path / "killed"
    assert common.run(train_until_killed, (killed, kind, at_epoch_end)) == [common.KILLED]
    resumed = train(killed, kind, at_epoch_end, ckpt_path=killed / "last.ckpt")
    assert logged(resumed, "epoch", "val_loss", "net.layer.slope") == expected[3:]
    assert expected[3][2] > 2  # raised before the kill


@pytest.mark.parametrize("validations", [1, 4])  # an epoch
def test_it_takes_one_loss_an_epoch_and_none_of_the_sanity_check(tmp_path, validations):
    # The other losses of an epoch are the lowest: taken, they would keep the slope low.
    losses = [loss for first in LOSSES for loss in [first] + [0.0] * (validations - 1)]
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    trainer = fit(
        Module(Scripted([0.0, *losses])),
        tmp_path,
        slope,
        val_check_interval=1 / validations,
        num_sanity_val_steps=1,
    )
    rows = logged(trainer, "val_loss", "net.slope")
    assert [row[0] for row in rows] == pytest.approx(losses)
    assert [row[1] for row in rows[::validations]] == SLOPES


def test_epochs_without_a_validation_do_not_count(tmp_path):
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    trainer = fit(
        Module(Scripted(LOSSES)), tmp_path, slope, check_val_every_n_epoch=2, num_sanity_val_steps=0
    )
    assert logged(trainer, "net.slope") == [(slope,) for slope in SLOPES[:3]]


def test_trainers_of_one_epoch_count(tmp_path):
    module = Module(Scripted(LOSSES))
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    one = {"max_epochs": 1, "num_sanity_val_steps": 0, "enable_checkpointing": False}
    rows = [logged(fit(module, tmp_path, slope, **one), "net.slope") for _ in LOSSES]
    assert rows == [[(slope,)] for slope in SLOPES]


def test_beside_early_stopping_and_model_checkpoint(tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val_loss")
    stop = EarlyStopping("val_loss", patience=3)
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    module = Module(Scripted([1.0, 1.0, 0.5, 0.7, 0.6, 0.6, 0.1]))
    trainer = fit(module, tmp_path, best, stop, slope, num_sanity_val_steps=0)
    assert trainer.current_epoch == 6 and module.net.slope == 16
    checkpoint = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["net.slope"] == 2
    assert checkpoint["callbacks"][slope.state_key] == {"best": 0.5, "wait": 0, "epoch": 3}


def test_a_metric_that_is_not_logged_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"no metric is named 'loss'; .* these: net\.slope, val_loss$"
    ):
        fit(Module(Scripted(LOSSES)), tmp_path, SelfShrinkingSlopeCallback("loss"))


def test_training_without_a_validation_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a validation: give trainer\.fit a loader"):
        fit(Module(Network("buffer")), tmp_path, SelfShrinkingSlopeCallback(), limit_val_batches=0)


@pytest.mark.parametrize("kind", ["buffer", "float"])
def test_a_checkpoint_without_its_state_is_refused_if_it_loses_a_slope(tmp_path, kind):
    fit(Module(Network(kind)), tmp_path, ModelCheckpoint(tmp_path, "last"), max_epochs=2)
    slope = SelfShrinkingSlopeCallback(**SETTINGS)

    def resume() -> None:
        fit(Module(Network(kind)), tmp_path, slope, max_epochs=4, ckpt_path=tmp_path / "last.ckpt")

    if kind == "float":
        with pytest.raises(
            InputError, match=r"net\.layer\.slope would start again.*: use a checkpoint"
        ):
            resume()
    else:
        resume()
        assert slope.schedule.epoch == 4


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of the tuner
def test_a_tuner_may_load_what_it_saved_before_training(tmp_path):
    module = Module(Network("float"))
    module.lr = 0.1
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    finder = LearningRateFinder(num_training_steps=4, attr_name="lr", update_attr=False)
    fit(module, tmp_path, finder, slope)
    assert slope.schedule.epoch == EPOCHS and module.net.layer.slope > 2


def test_a_tested_model_has_the_slope_of_its_checkpoint(tmp_path):
    """Lightning loads a checkpoint to test it, too."""
    train(tmp_path, "float", True)
    module = Module(Network("float"))
    slope = SelfShrinkingSlopeCallback(**SETTINGS)
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[slope],
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
    )
    loader = DataLoader(common.VALIDATION, batch_size=8)
    trainer.validate(module, loader, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert module.net.layer.slope == 4
