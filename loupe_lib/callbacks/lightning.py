"""4S as a callback of PyTorch Lightning, installed as pytorch-lightning or as lightning."""

import sys
from importlib.util import find_spec
from typing import Any

from loupe_lib.callbacks.epoch_slope import EpochSlope
from loupe_lib.errors import InputError

# Each package has a Callback of its own. With both installed, the imported one is used.
if "lightning.pytorch" not in sys.modules and find_spec("pytorch_lightning"):
    import pytorch_lightning as pl
else:
    import lightning.pytorch as pl  # type: ignore[import-not-found, no-redef]


class SelfShrinkingSlopeCallback(pl.Callback):
    """Raise the slopes of a LightningModule after its validation.

    Takes the loss of the first validation of each epoch, never that of the sanity check. Logs the
    slopes by their paths, such as ``net.mask.slope``. Lightning saves and restores the state.

    Monitor the loss of the binary mask, here and in ``EarlyStopping`` and ``ModelCheckpoint``: the
    relaxed loss is lower at a lower slope. Give early stopping more patience than 4S, and weight
    averaging ``use_buffers=False``, else it averages the slopes too.

    Args:
        monitor: a metric that the validation logs; 4S takes its mean over the processes.
        patience, factor, max_slope, name, mode: see :class:`~loupe_lib.SelfShrinkingSlope`.

    Raises:
        InputError: when training starts, if 4S refuses an argument or the module, or if there is no
            validation; if a checkpoint lacks the state, and the ``state_dict`` a slope; if a
            validation lacks ``monitor``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 40,
        factor: float = 1.5,
        max_slope: float = 1e5,
        name: str | tuple[str, ...] = "slope",
        mode: str = "min",
    ) -> None:
        self.monitor = monitor
        self.settings: dict[str, Any] = dict(
            patience=patience, factor=factor, max_slope=max_slope, name=name, mode=mode
        )
        self.module: pl.LightningModule | None = None
        self.schedule: EpochSlope | None = None

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor, name=self.settings["name"])

    def _start(self, module: pl.LightningModule) -> EpochSlope:
        self.module, self.schedule = module, EpochSlope(module, **self.settings)
        return self.schedule

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if state := checkpoint["callbacks"].get(self.state_key):
            self._start(pl_module).load_state_dict(state)
        elif trainer.state.fn == "fit" and checkpoint["global_step"]:  # tuners load before training
            self._start(pl_module).refuse_restart("use a checkpoint saved with this callback")

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict() if self.schedule else {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.enable_validation:
            raise InputError("4S needs the loss of a validation: give trainer.fit a loader for it")
        if self.schedule is None or self.module is not pl_module:
            self._start(pl_module)
        elif trainer.global_step == 0:  # a new Trainer
            self.schedule.epoch = 0

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.schedule and trainer.state.fn == "fit":
            pl_module.log_dict(self.schedule.slopes, sync_dist=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.schedule and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.schedule.step_in(trainer.current_epoch + 1, trainer.callback_metrics, self.monitor)
