"""What 4S is compared with: fixed masks, other binarizations, another schedule."""

from loupe_lib.baselines.binarizations import Concrete, StraightThrough, TanhSurrogate, TrainedSlope
from loupe_lib.baselines.fixed_masks import (
    DiscMask,
    GaussianMask,
    PoissonMask,
    SpectrumMask,
    UniformMask,
)
from loupe_lib.mask import Mask, ProbabilityMask

# Every mask by the name that configurations and results know it by; the paper's is "sigmoid".
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
