"""One training run, as plain data: everything its result depends on."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from loupe_lib.errors import InputError
from loupe_lib.mask import check_size

HEADS = "heads"  # the embedded cohort; any other `data` is the SHA-256 of an image file


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run. Two runs with equal configurations are the same run.

    Where the paper leaves a value open, the default is that of its authors' released code, or of
    LOUPE; the reasons are in the book's chapter on differences.

    Raises:
        InputError: if a value is out of range.
    """

    acceleration: float  # R
    slope: float  # s: fixed, or where 4S starts
    shrink_epochs: int  # at most so many epochs of round 1 with 4S; 0: no 4S, a fixed slope
    settle_epochs: int  # at most so many epochs with reduce-LR-on-plateau
    size: int  # N
    width: int  # channels of the U-Net's finest level
    train: int  # slices to learn from
    validation: int  # slices whose loss is monitored
    test: int  # slices that are only looked at in the end
    data: str = HEADS
    data_seed: int = 0  # of the cohort's virtual subjects
    seed: int = 0  # of initial weights, order of images, and mask draws
    batch: int = 16
    learning_rate: float = 0.01
    patience: int = 40  # p, epochs without a lower loss before 4S raises s
    factor: float = 1.5  # m
    max_slope: float = 1e5
    lr_patience: int = 50  # epochs without a lower loss before the learning rate falls
    lr_factor: float = 0.2
    min_lr: float = 1e-6
    stop_patience: int = 100  # epochs without a lower loss before a round ends

    def __post_init__(self) -> None:
        check_size(self.size)
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, float | int) and not math.isfinite(value):
                raise InputError(f"{name} must be finite; got {value}")
        for name in ("width", "train", "validation", "test", "batch"):
            _at_least(self, name, 1)
        for name in ("patience", "lr_patience", "stop_patience", "settle_epochs"):
            _at_least(self, name, 1)
        for name in ("shrink_epochs", "seed", "data_seed"):
            _at_least(self, name, 0)
        _at_least(self, "acceleration", 1)
        for name in ("slope", "max_slope", "learning_rate", "min_lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0; got {getattr(self, name)}")
        if self.factor <= 1:
            raise InputError(f"factor must be above 1; got {self.factor}")
        if not 0 < self.lr_factor < 1:
            raise InputError(f"lr_factor must lie between 0 and 1; got {self.lr_factor}")
        if self.slope > self.max_slope:
            raise InputError(f"slope must be at most max_slope={self.max_slope}; got {self.slope}")
        if self.batch > self.train:
            raise InputError(f"batch must be at most train={self.train}; got {self.batch}")

    @property
    def shrinks(self) -> bool:
        """Whether the slope is 4S's, not fixed."""
        return self.shrink_epochs > 0

    @property
    def label(self) -> str:
        """For people: ``R=4 4S seed 0``, ``R=8 s=200 seed 1``."""
        slope = "4S" if self.shrinks else f"s={self.slope:g}"
        return f"R={self.acceleration:g} {slope} seed {self.seed}"

    @property
    def name(self) -> str:
        """For machines: the first 16 hexadecimal digits of the SHA-256 of the whole."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, numbers as their field's type says."""
        values = {
            field.name: float(value) if field.type is float else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Read what :meth:`to_json` wrote; unknown and missing settings are refused."""
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**values)
        except (TypeError, json.JSONDecodeError) as error:
            raise InputError(f"not a run configuration: {error}") from None


def _at_least(config: RunConfig, name: str, lowest: int) -> None:
    value = getattr(config, name)
    whole = name == "acceleration" or (isinstance(value, int) and not isinstance(value, bool))
    if not whole or value < lowest:
        kind = "number" if name == "acceleration" else "whole number"
        raise InputError(f"{name} must be a {kind} of at least {lowest}; got {value}")
