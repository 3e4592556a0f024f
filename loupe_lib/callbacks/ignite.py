"""4S as a handler of PyTorch-Ignite."""

from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from loupe_lib.callbacks.epoch_slope import EpochSlope


class SelfShrinkingSlopeHandler(EpochSlope):
    """Raise the slopes of a module after its validation.

    Takes the loss of the first validation of each epoch, none at ``Events.STARTED``. Puts the
    slopes by their paths, such as ``mask.slope``, into ``evaluator.state.metrics`` for loggers::

        shrinking = SelfShrinkingSlopeHandler(model, patience=40)
        shrinking.attach(trainer, evaluator)
        to_save = {"trainer": trainer, "model": model, "optimizer": optimizer, "4S": shrinking}
        trainer.add_event_handler(Events.EPOCH_COMPLETED, Checkpoint(to_save, folder))

    Monitor the loss of the binary mask, here and in ``EarlyStopping`` and ``Checkpoint``: the
    relaxed loss is lower at a lower slope. Give early stopping more patience than 4S. Ignite calls
    handlers in the order in which they were added: add those that save or log after this one, and
    after the one that runs the evaluator.

    Args:
        module: the module that holds the slopes.
        monitor: a metric of the evaluator.
        patience, factor, max_slope, name, mode: see :class:`~loupe_lib.SelfShrinkingSlope`.

    Raises:
        InputError: if 4S refuses an argument or the module; if a validation lacks ``monitor``; if a
            run resumes without this handler's state, and the ``state_dict`` lacks a slope.
    """

    def __init__(
        self,
        module: nn.Module,
        monitor: str = "loss",
        patience: int = 40,
        factor: float = 1.5,
        max_slope: float = 1e5,
        name: str | tuple[str, ...] = "slope",
        mode: str = "min",
    ) -> None:
        super().__init__(module, patience, factor, max_slope, name=name, mode=mode)
        self.monitor = monitor
        self._has_state = False

    def attach(self, trainer: Engine, evaluator: Engine) -> None:
        """Act when the evaluator has completed a run; the trainer counts the epochs.

        The evaluator must run on the validation data alone: use another for the training data.
        """
        trainer.add_event_handler(Events.STARTED, self._start)
        evaluator.add_event_handler(Events.COMPLETED, self._validated, trainer)

    def _start(self, trainer: Engine) -> None:
        if not trainer.state.epoch:
            self.epoch = 0  # a new run
        elif not self._has_state:
            self.refuse_restart("save and load this handler beside the trainer and the model")
        self._has_state = True

    def _validated(self, evaluator: Engine, trainer: Engine) -> None:
        slopes = self.slopes
        self.step_in(trainer.state.epoch, evaluator.state.metrics, self.monitor)
        evaluator.state.metrics.update(slopes)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._has_state = True
