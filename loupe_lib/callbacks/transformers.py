"""4S as a callback of the Trainer of Hugging Face Transformers."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import ExportableState

from loupe_lib.callbacks.epoch_slope import EpochSlope
from loupe_lib.errors import InputError


class SelfShrinkingSlopeCallback(TrainerCallback, ExportableState):
    """Raise the slopes of a model after its evaluation.

    Takes the loss of the first evaluation of each epoch, never that of ``eval_on_start``. Adds the
    slopes to the log by their paths, such as ``mask.slope``; TensorBoard and others that log before
    this callback do not get them. The Trainer saves state and settings; it restores
    them with ``restore_callback_states_from_checkpoint=True``, else resuming is refused.

    Monitor the loss of the binary mask, here and as ``metric_for_best_model``: the relaxed loss is
    lower at a lower slope. ``EarlyStoppingCallback`` counts evaluations; it needs more patience.

    Args:
        monitor: a metric of the evaluation, ``eval_`` included.
        patience, factor, max_slope, name, mode: see :class:`~loupe_lib.SelfShrinkingSlope`.

    Raises:
        InputError: when training starts, if 4S refuses an argument or the model, or if
            ``eval_strategy`` is ``"no"``; if a run resumes without the state; if no evaluation of
            the first epoch has ``monitor``.
    """

    def __init__(
        self,
        monitor: str = "eval_loss",
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
        self.schedule: EpochSlope | None = None
        self.saved: dict[str, Any] | None = None
        self.began = 0  # the step at which this training began
        self.others: set[str] = set()  # metrics of evaluations that lack `monitor`

    def state(self) -> dict[str, Any]:
        """What the Trainer writes into its checkpoints: arguments and state, in JSON types."""
        saved = self.schedule.state_dict() if self.schedule is not None else self.saved
        args = {"monitor": self.monitor, **self.settings}
        return {"args": args, "attributes": {"saved": saved}}

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **event: Any) -> None:
        if args.eval_strategy == "no":
            raise InputError("4S needs the loss of an evaluation: set eval_strategy='epoch'")
        self.schedule, self.began = EpochSlope(event["model"], **self.settings), state.global_step
        if self.saved is not None:
            self.schedule.load_state_dict(self.saved)
            self.saved = None
        elif state.global_step:  # a resumed run
            said = "the run resumed without the state of 4S: save checkpoints with this callback"
            raise InputError(f"{said}, and set restore_callback_states_from_checkpoint=True")

    def on_log(self, args: Any, state: TrainerState, control: Any, **event: Any) -> None:
        if self.schedule is not None:
            for log in (state.log_history[-1], event["logs"]):
                log.update(self.schedule.slopes)

    def on_evaluate(self, args: Any, state: TrainerState, control: Any, **event: Any) -> None:
        if self.schedule is None or state.global_step == self.began:
            return
        if self.monitor in event["metrics"]:
            self.schedule.step_in(math.ceil(state.epoch), event["metrics"], self.monitor)
        else:  # of another data set, perhaps
            self.others.update(event["metrics"])

    def on_epoch_begin(self, *args: Any, **event: Any) -> None:
        if self.schedule and self.others and not self.schedule.epoch:
            self.schedule.step_in(1, dict.fromkeys(self.others), self.monitor)  # refuses

    on_train_end = on_epoch_begin
