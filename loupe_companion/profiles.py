"""Named descriptions of sweeps: from a test of seconds to the paper's own experiment."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from loupe_companion.methods import (
    CLAIMS,
    INITIAL_SLOPE,
    OTHER_STARTS,
    PAPER_4S,
    Method,
    fixed_slope,
)
from loupe_lib.errors import InputError, check_whole
from loupe_lib.training.config import HEADS, RunConfig

# From this seed on, a seed draws virtual subjects of its own. The seeds below share one draw: those
# of the first kept results.
OWN_SUBJECTS = 3

PAPER_SLOPES = (20.0, 200.0, 2000.0, 5000.0, 10000.0, 50000.0)


@dataclass(frozen=True)
class Profile:
    """What a sweep trains: every method, at every acceleration, with every seed."""

    name: str
    accelerations: tuple[float, ...]
    slopes: tuple[float, ...]  # the fixed ones
    seeds: tuple[int, ...]
    shrink_epochs: int
    settle_epochs: int  # of 4S's second round; a fixed slope gets the epochs of both rounds
    initial_slope: float = INITIAL_SLOPE  # of 4S
    settings: dict[str, Any] = field(default_factory=dict)  # further fields of RunConfig
    others: tuple[Method, ...] = ()  # beside fixed slopes and 4S
    only: tuple[str, ...] = ()  # names of the methods that are wanted; empty: all
    pictures: bool = True  # whether its collected results keep those of test slices
    extends: str | None = None  # a profile whose runs it has too, and need not train again

    @property
    def methods(self) -> tuple[Method, ...]:
        """What is compared: fixed slopes, 4S, then the others."""
        all_methods = (*map(fixed_slope, self.slopes), PAPER_4S, *self.others)
        return tuple(method for method in all_methods if not self.only or method.name in self.only)

    def config(self, method: Method, acceleration: float, seed: int) -> RunConfig:
        """The configuration of one run."""
        both = self.shrink_epochs + self.settle_epochs
        values = {
            "acceleration": float(acceleration),
            "slope": float(self.initial_slope),
            "shrink_epochs": self.shrink_epochs if method.shrinks else 0,
            "settle_epochs": self.settle_epochs if method.shrinks else both,
            "seed": seed,
        }
        if seed >= OWN_SUBJECTS and self.settings.get("data", HEADS) == HEADS:
            values["data_seed"] = seed
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
        """A title for people, with the name of the method: ``R=4 4S p=16 seed 0``."""
        for method in self.methods:
            if self.config(method, config.acceleration, config.seed) == config:
                return f"R={config.acceleration:g} {method.name} seed {config.seed}"
        return config.label


# The profiles of the paper's figures, from which the book is built. Below the paper's own scale
# stop_patience is never reached: a fixed slope and 4S get the same number of epochs.
SMOKE = Profile(
    name="smoke",
    accelerations=(4,),
    slopes=(200,),
    seeds=(0,),
    shrink_epochs=2,
    settle_epochs=1,
    settings=dict(size=32, width=4, train=64, validation=16, test=16, batch=8)
    | dict(patience=1, lr_patience=3, stop_patience=3),
)
QUICK = Profile(
    name="quick",
    accelerations=(4, 8),
    slopes=(2, 20, 2000),
    seeds=(0,),
    shrink_epochs=38,
    settle_epochs=12,
    settings=dict(size=64, width=8, train=192, validation=48, test=64, batch=4)
    | dict(patience=4, lr_patience=20, stop_patience=50),
)
REFERENCE = Profile(
    name="reference",
    accelerations=(4, 8),
    slopes=PAPER_SLOPES,
    seeds=(0, 1, 2),
    shrink_epochs=160,
    settle_epochs=100,
    others=OTHER_STARTS[:2],  # 4S from 1 and from 200
    settings=dict(size=128, width=16, train=640, validation=128, test=128)
    | dict(patience=8, lr_patience=40, stop_patience=260),
)
# p = 40, m = 1.5 and early stopping are RunConfig's defaults: rounds end long before 2000 epochs.
PAPER = Profile(
    name="paper",
    accelerations=(4, 8),
    slopes=PAPER_SLOPES,
    seeds=(0,),
    shrink_epochs=2000,
    settle_epochs=2000,
    settings=dict(size=320, width=64, train=1895, validation=188, test=186),
)
BOOK_PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, REFERENCE, PAPER)}

# The profiles of the claims page: other methods beside those of a profile above.
CLAIMS_PROFILE = dataclasses.replace(
    REFERENCE, name="claims", others=CLAIMS, pictures=False, extends="reference"
)
# The same epochs, with images and a network that one CPU core trains in two minutes.
SMALL = dict(size=64, width=8, train=64, validation=32, test=64, batch=4)
CLAIMS_SMALL = dataclasses.replace(
    CLAIMS_PROFILE,
    name="claims-small",
    accelerations=(4,),
    slopes=(2.0, 5.0, 10.0, *PAPER_SLOPES),  # with N = 64 the paper's lowest slope is the best one
    settings=REFERENCE.settings | SMALL,
    extends=None,
)
CLAIMS_SMOKE = dataclasses.replace(
    SMOKE, name="claims-smoke", others=CLAIMS, pictures=False, extends="smoke"
)
PROFILES = BOOK_PROFILES | {p.name: p for p in (CLAIMS_PROFILE, CLAIMS_SMALL, CLAIMS_SMOKE)}

# Fields of RunConfig that one value can replace in all runs of a profile.
OF_EACH_RUN = {"acceleration", "slope", "seed", "shrink_epochs", "settle_epochs"}
RUN_SETTINGS = {f.name for f in dataclasses.fields(RunConfig)} - OF_EACH_RUN
OF_THE_PROFILE = {
    "accelerations",
    "initial_slope",
    "methods",
    "seed",
    "settle_epochs",
    "shrink_epochs",
    "slopes",
}


def find_profile(
    name: str,
    *,
    methods: Sequence[str] | None = None,
    accelerations: float | Sequence[float] | None = None,
    slopes: float | Sequence[float] | None = None,
    seed: int | Sequence[int] | None = None,
    initial_slope: float | None = None,
    shrink_epochs: int | None = None,
    settle_epochs: int | None = None,
    **settings: Any,
) -> Profile:
    """A profile by name, with some of its values replaced. None keeps the profile's value.

    Args:
        name: smoke, quick, reference, paper, claims, claims-small or claims-smoke.
        methods: names of the methods that are wanted; all of the profile's without it.
        accelerations: one R or several, each at least 1.
        slopes: the fixed slopes, one or several; may be empty.
        seed: one seed or several.
        initial_slope: s where 4S starts.
        shrink_epochs: epochs of 4S's first round.
        settle_epochs: epochs of 4S's second round.
        settings: fields of :class:`RunConfig`, such as ``patience`` and ``factor``.

    Raises:
        InputError: for a profile, method or setting that does not exist, and for a patience with
            which 4S would never raise the slope.
    """
    if name not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)}; got {name!r}")
    settings = {key: value for key, value in settings.items() if value is not None}
    allowed = ", ".join(sorted(RUN_SETTINGS | OF_THE_PROFILE))
    for key in settings.keys() - RUN_SETTINGS:
        raise InputError(f"a profile has no setting {key!r}; it has {allowed}")
    base = PROFILES[name]
    changes: dict[str, Any] = {
        "accelerations": _several("accelerations", accelerations),
        "slopes": _several("slopes", slopes),
        "seeds": _several("seed", seed),
        "initial_slope": initial_slope,
        "shrink_epochs": shrink_epochs,
        "settle_epochs": settle_epochs,
        "settings": base.settings | settings,
    }
    for key in ("accelerations", "seeds"):
        if changes[key] == ():
            raise InputError(f"{key} must be at least one; got none")
    given = {key: value for key, value in changes.items() if value is not None}
    profile = dataclasses.replace(base, **given)
    check_whole("settle_epochs", profile.settle_epochs, at_least=1)
    epochs = check_whole("shrink_epochs", profile.shrink_epochs, at_least=1)
    patience = profile.settings.get("patience", RunConfig.patience)
    if check_whole("patience", patience, at_least=1) >= epochs:
        raise InputError(
            f"patience must be below shrink_epochs, the {epochs} epochs in which 4S can raise the "
            f"slope; got {patience}"
        )
    if methods is None:
        return profile
    known = [method.name for method in profile.methods]
    unknown = [repr(method) for method in methods if method not in known]
    if unknown or not methods:
        got = unknown[0] if unknown else "none"
        raise InputError(f"methods must be some of {', '.join(known)}; got {got}")
    return dataclasses.replace(profile, only=tuple(methods))


def _several(name: str, values: Any) -> tuple[Any, ...] | None:
    """One number or several, each once."""
    if values is None:
        return None
    given = [values] if isinstance(values, Real) else values
    if isinstance(given, str) or not all(isinstance(value, Real) for value in given):
        raise InputError(f"{name} must be numbers; got {values!r}")
    return tuple(dict.fromkeys(given))
