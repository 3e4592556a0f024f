"""What the callbacks of all frameworks share: 4S that takes one loss an epoch."""

from collections.abc import Mapping
from typing import Any

from loupe_lib.errors import InputError
from loupe_lib.self_shrinking_slope import SelfShrinkingSlope


class EpochSlope(SelfShrinkingSlope):
    """4S that takes the first loss of each epoch, however often the framework validates.

    Epochs without a validation do not count.

    Its arguments are those of :class:`~loupe_lib.SelfShrinkingSlope`.

    Attributes:
        epoch: the epoch of the last loss, counted from 1; 0 before the first.
    """

    epoch = 0

    def step_in(self, epoch: int, metrics: Mapping[str, Any], monitor: str) -> None:
        """Take the loss ``metrics[monitor]``, unless one of this epoch was taken before.

        Raises:
            InputError: if the validation computed no such metric.
        """
        if epoch == self.epoch:
            return
        if monitor not in metrics:
            found = ", ".join(sorted(metrics)) or "none"
            raise InputError(f"no metric is named {monitor!r}; monitor one of these: {found}")
        self.step(float(metrics[monitor]))
        self.epoch = epoch

    def refuse_restart(self, remedy: str) -> None:
        """Raise InputError if a run that resumed without the state of 4S has lost a slope by it."""
        if "slopes" in self.state_dict():
            paths = ", ".join(self.slopes)
            raise InputError(
                f"the run resumed without the state of 4S, and {paths} would start again, because "
                f"the state_dict of the model lacks it: {remedy}"
            )

    def state_dict(self) -> dict[str, Any]:
        """The state of 4S, with the epoch."""
        return {**super().state_dict(), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, after the state of the module has been loaded."""
        super().load_state_dict(state)
        self.epoch = int(state["epoch"])
