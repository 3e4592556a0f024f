"""The mask that a run asks for."""

from loupe_lib.baselines.binarizations import Concrete, StraightThrough, TanhSurrogate, TrainedSlope
from loupe_lib.baselines.fixed_masks import (
    DiscMask,
    FixedMask,
    GaussianMask,
    PoissonMask,
    SpectrumMask,
    UniformMask,
)
from loupe_lib.mask import Mask, ProbabilityMask
from loupe_lib.training.config import RunConfig

LEARNED: dict[str, type[ProbabilityMask]] = {
    "sigmoid": ProbabilityMask,
    "straight_through": StraightThrough,
    "concrete": Concrete,
    "tanh": TanhSurrogate,
    "trained_slope": TrainedSlope,
}
FIXED: dict[str, type[FixedMask]] = {
    "disc": DiscMask,
    "uniform": UniformMask,
    "gaussian": GaussianMask,
    "poisson": PoissonMask,
    "spectrum": SpectrumMask,
}


def build_mask(config: RunConfig) -> Mask:
    """The mask of a run, untrained: a learned one from torch's generator, a fixed from its seed."""
    kind = (config.size, config.acceleration, config.slope)
    if config.mask in FIXED:
        return FIXED[config.mask](*kind, lines=config.lines, seed=config.seed)
    return LEARNED[config.mask](*kind, lines=config.lines)


def mask_kind(config: RunConfig) -> str:
    """Masks of one kind have parameters of the same shapes, and can be trained side by side."""
    if config.mask in FIXED:
        return "fixed"
    kind = config.mask if config.mask in ("sigmoid", "trained_slope") else "other"
    return f"{kind} lines" if config.lines else kind
