"""The configuration of a training run: everything that its result depends on."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from loupe_lib.baselines import MASKS
from loupe_lib.data.heads import TEST_HEAD, check_head
from loupe_lib.errors import InputError, check_number, check_whole
from loupe_lib.mask import ProbabilityMask, check_acceleration, check_center, check_size

HEADS = "heads"  # the embedded heads; any other `data` is the SHA-256 of an image file

LARGEST_SEED = 2**62  # torch's generators take 64 bits
SCHEDULES = {"4S": "4S", "released": "4S released", "exponential": "exponential"}  # their labels
# Settings that came after runs had been published. At their defaults they are left out of the
# JSON, so that those runs keep their names.
LATER = {"mask", "lines", "schedule", "double_round", "center", "dc_raised", "keras", "test_head"}


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
    shrink_epochs: int  # maximum epochs of round 1 (4S); 0: a fixed slope
    settle_epochs: int  # maximum epochs of round 2 (reduce-LR-on-plateau)
    size: int  # N
    width: int  # channels of the U-Net's finest level
    train: int  # slices to learn from
    validation: int  # slices whose loss is monitored
    test: int  # slices for the evaluation at the end
    data: str = HEADS
    data_seed: int = 0  # of the virtual subjects of the heads
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
    mask: str = "sigmoid"  # the paper's, or another of MASKS
    lines: bool = False  # whole columns of k-space, as scanners acquire them, not single points
    schedule: str = "4S"  # how the slope is raised in the shrink epochs: one of SCHEDULES
    double_round: bool = False  # of the released schedule: the paper's two rounds, not one
    center: int = 0  # side of the central square, or number of columns, that is always measured
    dc_raised: bool = False  # start with S = 0.99 at the zero frequency
    test_head: str = TEST_HEAD  # the head of the test subjects, where data is heads
    keras: bool = False  # Keras's defaults, see loupe_lib.training.model.use_keras_defaults

    def __post_init__(self) -> None:
        check_size(self.size)
        for name in ("width", "train", "validation", "test", "batch", "settle_epochs"):
            check_whole(name, getattr(self, name), at_least=1)
        for name in ("patience", "lr_patience", "stop_patience"):
            check_whole(name, getattr(self, name), at_least=1)
        for name in ("shrink_epochs", "seed", "data_seed"):
            check_whole(name, getattr(self, name), at_least=0)
        check_head(self.test_head)
        if self.data != HEADS and self.test_head != TEST_HEAD:
            raise InputError(
                f"an image file has its own test images: test_head must be {TEST_HEAD!r}; "
                f"got {self.test_head!r}"
            )
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed must be at most {LARGEST_SEED}; got {self.seed}")
        for name in ("slope", "max_slope", "learning_rate", "min_lr"):
            check_number(name, getattr(self, name), above=0)
        check_number("factor", self.factor, above=1)
        check_number("lr_factor", self.lr_factor, above=0, below=1)
        if self.slope > self.max_slope:
            raise InputError(f"slope must be at most max_slope={self.max_slope}; got {self.slope}")
        if self.batch > self.train:
            raise InputError(f"batch must be at most train={self.train}; got {self.batch}")
        for name, allowed in (("mask", MASKS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in list(allowed):
                raise InputError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        for name in ("lines", "double_round", "dc_raised", "keras"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false; got {value!r}")
        check_acceleration(self.acceleration, self.size if self.lines else self.size**2)
        check_center(self.center, self.size, self.acceleration, self.lines)
        mask = MASKS[self.mask]
        if self.lines and not mask.has_lines:
            raise InputError(f"mask {self.mask!r} has no lines: lines must be false; got true")
        if self.dc_raised and not issubclass(mask, ProbabilityMask):
            raise InputError(f"mask {self.mask!r} has no gamma: dc_raised must be false; got true")
        if self.shrinks and not mask.slope_can_rise:
            raise InputError(
                f"mask {self.mask!r} has no slope to raise: shrink_epochs must be 0; "
                f"got {self.shrink_epochs}"
            )
        if not self.shrinks and self.schedule != "4S":
            raise InputError(f"schedule {self.schedule!r} needs shrink_epochs of at least 1; got 0")
        if self.double_round and self.schedule != "released":
            raise InputError(
                f"schedule {self.schedule!r} has two rounds anyway: double_round must be false; "
                "got true"
            )

    @property
    def shrinks(self) -> bool:
        """Whether the slope is raised, by 4S or another schedule, not fixed."""
        return self.shrink_epochs > 0

    @property
    def variant(self) -> str:
        """What else differs from the paper, such as `` lines`` and `` center 1``; else empty."""
        words = {
            " double round": self.double_round,
            " lines": self.lines,
            f" center {self.center}": self.center,
            " DC raised": self.dc_raised,
            " Keras": self.keras,
            f" tested on {self.test_head}": self.test_head != TEST_HEAD,
        }
        return "".join(word for word, differs in words.items() if differs)

    @property
    def method(self) -> str:
        """How the mask is chosen, such as ``4S``, ``s=200 lines`` or ``tanh center 2``."""
        name = self.mask.replace("_", "-")
        if self.mask == "sigmoid":
            name = SCHEDULES[self.schedule] if self.shrinks else f"s={self.slope:g}"
        return name + self.variant

    @property
    def label(self) -> str:
        """A readable name, such as ``R=4 4S seed 0`` or ``R=8 s=200 lines seed 1``."""
        return f"R={self.acceleration:g} {self.method} seed {self.seed}"

    @cached_property
    def name(self) -> str:
        """The name in files, 16 hexadecimal digits of the SHA-256 of :meth:`to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, numbers in the type of their field."""
        values = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in LATER or value != field.default:
                values[field.name] = cast(type, field.type)(value)
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
