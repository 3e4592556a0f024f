"""4S as a callback of PyTorch Lightning, installed as pytorch-lightning or as lightning."""

import sys
from importlib.util import find_spec
from typing import Any

from loupe_lib.callbacks.epoch_slope import EpochSlope

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
    relaxed loss is lower at a lower slope. Give early stopping more patience than 4S. The order of
    the callbacks is free: Lightning calls ``ModelCheckpoint`` last. With several processes, log the
    loss with ``sync_dist=True``; 4S takes the mean over them in any case.

    Args:
        monitor: a metric that the validation logs.
        patience, factor, max_slope, name, mode: see :class:`~loupe_lib.SelfShrinkingSlope`.

    Raises:
        InputError: when training starts, if 4S refuses an argument or the module; when a validation
            did not log ``monitor``; when a checkpoint has no state of this callback, and a slope is
            not in the ``state_dict`` of the module.
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

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        schedule = self._start(pl_module)
        if self.state_key in checkpoint["callbacks"]:
            schedule.load_state_dict(checkpoint["callbacks"][self.state_key])
        else:
            schedule.refuse_restart("use a checkpoint saved with this callback")

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict() if self.schedule else {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.module is not pl_module:  # neither a checkpoint was loaded nor another fit done
            self._start(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.schedule and trainer.state.fn == "fit":
            pl_module.log_dict(self.schedule.slopes, sync_dist=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.schedule and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.schedule.step_in(trainer.current_epoch + 1, trainer.callback_metrics, self.monitor)
