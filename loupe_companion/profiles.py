"""The sweeps that are run: from a test of seconds to the paper's own experiment."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loupe_companion.methods import CLAIMS, PAPER_4S, Method, fixed_slope
from loupe_lib.errors import InputError
from loupe_lib.training.config import RunConfig

PAPER_SLOPES = (20.0, 200.0, 2000.0, 5000.0, 10000.0, 50000.0)


@dataclass(frozen=True)
class Profile:
    """A sweep: fixed slopes, 4S and other methods, at every acceleration, with every seed."""

    name: str
    accelerations: tuple[float, ...]
    slopes: tuple[float, ...]  # the fixed ones
    seeds: tuple[int, ...]
    initial_slope: float  # of 4S
    shrink_epochs: int
    settle_epochs: int  # of 4S's second round; a fixed slope gets the epochs of both rounds
    settings: dict[str, Any] = field(default_factory=dict)  # further fields of RunConfig
    others: tuple[Method, ...] = ()  # beside fixed slopes and 4S
    only: tuple[str, ...] = ()  # names of the methods that are wanted; all without it
    pictures: bool = True  # whether its collected results keep those of test slices
    shares: str | None = None  # a profile whose collected results count for this one too

    @property
    def methods(self) -> tuple[Method, ...]:
        """What is compared: fixed slopes, 4S, then the others."""
        all_methods = (*map(fixed_slope, self.slopes), PAPER_4S, *self.others)
        return tuple(method for method in all_methods if not self.only or method.name in self.only)

    def config(self, method: Method, acceleration: float, seed: int) -> RunConfig:
        """One run of an method."""
        both = self.shrink_epochs + self.settle_epochs
        values = {
            "acceleration": float(acceleration),
            "slope": float(self.initial_slope),
            "shrink_epochs": self.shrink_epochs if method.shrinks else 0,
            "settle_epochs": self.settle_epochs if method.shrinks else both,
            "seed": seed,
        }
        return RunConfig(**(values | self.settings | method.changes))

    def configs(self) -> list[RunConfig]:
        """The runs of the sweep, those of one acceleration together, then those of one method."""
        return [
            self.config(method, acceleration, seed)
            for acceleration in self.accelerations
            for method in self.methods
            for seed in self.seeds
        ]

    def label(self, config: RunConfig) -> str:
        """For people, with what tells the methods of this sweep apart: ``R=4 4S p=16 seed 0``."""
        for method in self.methods:
            if self.config(method, config.acceleration, config.seed) == config:
                return f"R={config.acceleration:g} {method.name} seed {config.seed}"
        return config.label


# Those of the paper's figures, which the book is built from.
# Early stopping is off (stop_patience is never reached) below the paper's own scale, so that a
# fixed slope and 4S get the same number of epochs.
BOOK_PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            accelerations=(4,),
            slopes=(200,),
            seeds=(0,),
            initial_slope=200,
            shrink_epochs=2,
            settle_epochs=1,
            settings={
                "size": 32,
                "width": 4,
                "train": 64,
                "validation": 16,
                "test": 16,
                "batch": 8,
                "patience": 1,
                "lr_patience": 3,
                "stop_patience": 3,
            },
        ),
        Profile(
            name="quick",
            accelerations=(4, 8),
            slopes=(2, 20, 2000),
            seeds=(0,),
            initial_slope=200,
            shrink_epochs=38,
            settle_epochs=12,
            settings={
                "size": 64,
                "width": 8,
                "train": 192,
                "validation": 48,
                "test": 64,
                "batch": 4,
                "patience": 4,
                "lr_patience": 20,
                "stop_patience": 50,
            },
        ),
        Profile(
            name="reference",
            accelerations=(4, 8),
            slopes=PAPER_SLOPES,
            seeds=(0, 1, 2),
            initial_slope=200,
            shrink_epochs=160,
            settle_epochs=100,
            settings={
                "size": 128,
                "width": 16,
                "train": 640,
                "validation": 128,
                "test": 128,
                "patience": 8,
                "lr_patience": 40,
                "stop_patience": 260,
            },
        ),
        # The paper: p = 40, m = 1.5, early stopping; rounds end by it, long before 2000 epochs.
        Profile(
            name="paper",
            accelerations=(4, 8),
            slopes=PAPER_SLOPES,
            seeds=(0,),
            initial_slope=200,
            shrink_epochs=2000,
            settle_epochs=2000,
            settings={"size": 320, "width": 64, "train": 1895, "validation": 188, "test": 186},
        ),
    )
}

# As many epochs as the reference, of images and a network that a CPU core trains in two minutes.
SMALL = dataclasses.replace(
    BOOK_PROFILES["reference"],
    accelerations=(4,),
    settings=BOOK_PROFILES["reference"].settings
    | {"size": 64, "width": 8, "train": 64, "validation": 32, "test": 64, "batch": 4},
)

# What the claims page compares. The reference profile has the same fixed slopes and 4S already.
PROFILES = BOOK_PROFILES | {
    name: dataclasses.replace(base, name=name, others=CLAIMS, pictures=False, shares=shares)
    for name, base, shares in (
        ("claims", BOOK_PROFILES["reference"], "reference"),
        ("claims-small", SMALL, None),
        ("claims-smoke", BOOK_PROFILES["smoke"], None),
    )
}


def find_profile(
    name: str,
    *,
    methods: Sequence[str] | None = None,
    accelerations: Sequence[float] | None = None,
    slopes: Sequence[float] | None = None,
    seed: int | Sequence[int] | None = None,
    **settings: Any,
) -> Profile:
    """A profile by name, with some of its values replaced.

    Args:
        name: smoke, quick, reference, paper, claims, claims-small or claims-smoke.
        methods: names of the methods that are wanted; all of the profile's without it.
        accelerations: R, each at least 1.
        slopes: the fixed slopes; may be empty.
        seed: one seed or several.
        settings: fields of :class:`RunConfig`, such as ``patience`` and ``factor``, or
            ``initial_slope``, ``shrink_epochs``, ``settle_epochs``. None keeps the profile's.

    Raises:
        InputError: for a name or a setting that does not exist.
    """
    if name not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)}; got {name!r}")
    changes: dict[str, Any] = {}
    if accelerations is not None:
        changes["accelerations"] = tuple(accelerations)
    if slopes is not None:
        changes["slopes"] = tuple(slopes)
    if seed is not None:
        changes["seeds"] = (seed,) if isinstance(seed, int) else tuple(seed)
    for values in ("accelerations", "seeds"):
        if changes.get(values) == ():
            raise InputError(f"{values} must be at least one; got none")
    given = {key: value for key, value in settings.items() if value is not None}
    of_profile = {"initial_slope", "shrink_epochs", "settle_epochs"}
    of_runs = (
        {f.name for f in dataclasses.fields(RunConfig)}
        - of_profile
        - {
            "acceleration",
            "slope",
            "seed",
        }
    )
    for key, value in given.items():
        if key in of_profile:
            changes[key] = value
        elif key not in of_runs:
            allowed = ", ".join(sorted(of_profile | of_runs))
            raise InputError(f"a profile has no setting {key!r}; it has {allowed}")
    base = PROFILES[name]
    kept = {key: value for key, value in given.items() if key in of_runs}
    chosen = dataclasses.replace(base, **changes, settings={**base.settings, **kept})
    if methods is None:
        return chosen
    known = [method.name for method in chosen.methods]
    unknown = [method for method in methods if method not in known]
    if unknown or not methods:
        got = repr(unknown[0]) if unknown else "none"
        raise InputError(f"methods must be some of {', '.join(known)}; got {got}")
    return dataclasses.replace(chosen, only=tuple(methods))
