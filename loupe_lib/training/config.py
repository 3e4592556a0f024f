"""One training run, as plain data: everything its result depends on."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from loupe_lib.errors import InputError
from loupe_lib.mask import check_size

HEADS = "heads"  # the embedded cohort; any other `data` is the SHA-256 of an image file

LEARNED_MASKS = ("sigmoid", "straight_through", "concrete", "tanh", "trained_slope")
FIXED_MASKS = ("disc", "uniform", "gaussian", "poisson", "spectrum")
SCHEDULES = ("4S", "released", "exponential")
# Settings that came after runs had been published. At their defaults they are left out of the
# JSON, so that those runs keep their names.
LATER = ("mask", "lines", "schedule")


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
    mask: str = "sigmoid"  # the paper's, or one of LEARNED_MASKS and FIXED_MASKS
    lines: bool = False  # whole columns of k-space, as scanners acquire them, not single points
    schedule: str = "4S"  # what raises the slope in the shrink epochs: one of SCHEDULES

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
        self._check_mask()

    def _check_mask(self) -> None:
        for name, allowed in (("mask", LEARNED_MASKS + FIXED_MASKS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in allowed:
                value = getattr(self, name)
                raise InputError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        if not isinstance(self.lines, bool):
            raise InputError(f"lines must be true or false; got {self.lines!r}")
        if self.lines and self.mask == "poisson":
            raise InputError("mask 'poisson' has no lines: a disc needs two dimensions")
        if self.shrinks and self.mask in (*FIXED_MASKS, "straight_through", "trained_slope"):
            raise InputError(
                f"mask {self.mask!r} has no slope to raise: shrink_epochs must be 0; "
                f"got {self.shrink_epochs}"
            )
        if not self.shrinks and self.schedule != "4S":
            raise InputError(f"schedule {self.schedule!r} needs shrink_epochs of at least 1; got 0")

    @property
    def shrinks(self) -> bool:
        """Whether the slope is raised, by 4S or another schedule, not fixed."""
        return self.shrink_epochs > 0

    @property
    def label(self) -> str:
        """For people: ``R=4 4S seed 0``, ``R=8 s=200 lines seed 1``, ``R=4 disc seed 0``."""
        way = self.mask.replace("_", "-")
        if self.mask == "sigmoid":
            raised = {"4S": "4S", "released": "4S released", "exponential": "exponential"}
            way = raised[self.schedule] if self.shrinks else f"s={self.slope:g}"
        lines = " lines" if self.lines else ""
        return f"R={self.acceleration:g} {way}{lines} seed {self.seed}"

    @cached_property
    def name(self) -> str:
        """For machines: the first 16 hexadecimal digits of the SHA-256 of the whole."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, numbers as their field's type says."""
        values = {
            field.name: float(value) if field.type is float else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
            if field.name not in LATER or value != field.default
        }
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Read what :meth:`to_json` wrote; unknown and missing settings are refused."""
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**values)
        except InputError:
            raise
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"not a run configuration: {error}") from None


def _at_least(config: RunConfig, name: str, lowest: int) -> None:
    value = getattr(config, name)
    whole = name == "acceleration" or (isinstance(value, int) and not isinstance(value, bool))
    if not whole or value < lowest:
        kind = "number" if name == "acceleration" else "whole number"
        raise InputError(f"{name} must be a {kind} of at least {lowest}; got {value}")
