"""The methods that a sweep compares: each changes some fields of a run's configuration."""

from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal[
    "fixed slope",
    "4S",  # as the paper has it
    "setting of 4S",  # with one setting changed
    "trained slope",
    "schedule",  # another schedule of the slope
    "binarization",  # another binarization
    "fixed mask",  # a mask that is not learned
]


@dataclass(frozen=True)
class Method:
    """One way to choose a mask, trained at every acceleration with every seed of a sweep."""

    name: str  # for people, and for ``sweep --methods``
    family: Family
    # The fields of RunConfig that differ from those of the sweep's 4S runs.
    changes: dict[str, Any] = field(default_factory=dict)
    # Whether something raises the slope in a first round. If nothing does, all epochs are one
    # round, so that every method is trained as long.
    shrinks: bool = True

    @property
    def lines(self) -> bool:
        """Whether its masks take whole columns of k-space, not single points."""
        return bool(self.changes.get("lines"))


def fixed_slope(slope: float, lines: bool = False) -> Method:
    """The paper's baseline: one slope throughout."""
    changes = {"slope": float(slope)} | ({"lines": True} if lines else {})
    return Method(f"s={slope:g}{' lines' * lines}", "fixed slope", changes, shrinks=False)


# The lowest slope of the paper's grid. The two slopes that the paper reports lie within 5 % of 20
# times a power of its factor 1.5.
INITIAL_SLOPE = 20.0

# The slopes that the paper's 4S returned, by R (Fig. 3).
PAPER_RETURNED = {4.0: 18800.0, 8.0: 1675.0}

PAPER_4S = Method("4S", "4S")
OTHER_STARTS = tuple(
    Method(f"4S s0={slope:g}", "setting of 4S", {"slope": slope}) for slope in (1.0, 200.0, 2000.0)
)

# Kept results of methods other than 4S have this slope in their configurations, by which they are
# found. Fixed masks do not use it.
FROM_200: dict[str, Any] = {"slope": 200.0}

# Around "4S s0=200", one setting changed at a time; its own are p = 8 and m = 1.5.
SETTINGS_OF_4S = tuple(
    Method(f"4S s0=200 {symbol}={value:g}", "setting of 4S", FROM_200 | {setting: value})
    for symbol, setting, values in (
        ("p", "patience", (4, 16, 40)),
        ("m", "factor", (1.2, 2.0, 3.0)),
    )
    for value in values
)

# Slopes are annealed over the ranges that their authors used: temperatures 1 / s from 1 to 0.1
# (Maddison et al. 2017 and Jang et al. 2017 stay within these), tanh from 0.1 to 10 (Qin et al.
# 2020, whose rule PUERT took over).
OTHER_BINARIZATIONS = (
    Method("4S released", "schedule", FROM_200 | {"schedule": "released"}),
    Method("4S released double round", "schedule", {"schedule": "released", "double_round": True}),
    Method("exponential", "schedule", FROM_200 | {"schedule": "exponential"}),
    Method("trained-slope", "trained slope", FROM_200 | {"mask": "trained_slope"}, shrinks=False),
    Method(
        "straight-through", "binarization", FROM_200 | {"mask": "straight_through"}, shrinks=False
    ),
    Method(
        "concrete",
        "binarization",
        {"mask": "concrete", "schedule": "exponential", "slope": 1.0, "max_slope": 10.0},
    ),
    Method(
        "tanh",
        "binarization",
        {"mask": "tanh", "schedule": "exponential", "slope": 0.1, "max_slope": 10.0},
    ),
)

FIXED = tuple(
    Method(mask, "fixed mask", FROM_200 | {"mask": mask}, shrinks=False)
    for mask in ("spectrum", "gaussian", "poisson", "disc", "uniform")
)

# Columns of k-space, as a Cartesian scan acquires them. A disc of columns is the central ones.
LINES = (
    Method("4S lines", "4S", {"lines": True}),
    *(fixed_slope(slope, lines=True) for slope in (20, 200, 2000)),
    *(
        Method(
            f"{mask} lines", "fixed mask", FROM_200 | {"mask": mask, "lines": True}, shrinks=False
        )
        for mask in ("spectrum", "gaussian", "disc", "uniform")
    ),
)

CLAIMS = (*OTHER_STARTS, *SETTINGS_OF_4S, *OTHER_BINARIZATIONS, *FIXED, *LINES)
