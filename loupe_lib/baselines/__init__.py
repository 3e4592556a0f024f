"""Baselines for 4S: fixed masks, other learned masks, another schedule."""

from loupe_lib.baselines.binarizations import Concrete, StraightThrough, TanhSurrogate, TrainedSlope
from loupe_lib.baselines.fixed_masks import (
    DiscMask,
    GaussianMask,
    PoissonMask,
    SpectrumMask,
    UniformMask,
)
from loupe_lib.mask import Mask, ProbabilityMask

# The name of each mask in configurations and results; that of the paper is "sigmoid".
MASKS: dict[str, type[Mask]] = {
    "sigmoid": ProbabilityMask,
    "straight_through": StraightThrough,
    "concrete": Concrete,
    "tanh": TanhSurrogate,
    "trained_slope": TrainedSlope,
    "disc": DiscMask,
    "uniform": UniformMask,
    "gaussian": GaussianMask,
    "poisson": PoissonMask,
    "spectrum": SpectrumMask,
}
