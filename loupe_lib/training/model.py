"""The untrained model of a run."""

import math

import torch
from torch import nn

from loupe_lib.baselines import MASKS
from loupe_lib.baselines.binarizations import TrainedSlope
from loupe_lib.baselines.fixed_masks import FixedMask
from loupe_lib.loupe import Loupe
from loupe_lib.mask import Mask, ProbabilityMask
from loupe_lib.training.config import RunConfig
from loupe_lib.training.trainer import ADAM_EPS

# Mask draws and initial weights have different seeds. With one seed, the first U on the CPU would
# be the numbers from which the initial gamma is made.
MASK_SEED = 1_000_000


def build_model(config: RunConfig, device: torch.device | str = "cpu") -> Loupe:
    """The untrained model of a run: initial weights and mask draws depend only on its seed.

    With one seed all masks meet the same initial decoder, and all that learn N x N probabilities
    start from the same ones.
    """
    # torch.manual_seed would also reseed every GPU, which fork_rng does not restore here.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        mask = build_mask(config)
        torch.default_generator.manual_seed(config.seed)
        model = Loupe(config.size, config.acceleration, config.slope, config.width)
        if config.keras:
            use_keras_defaults(model.decoder)
    model.mask = mask
    model.encoder.generator = torch.Generator(device).manual_seed(MASK_SEED + config.seed)
    return model.to(device)


def build_mask(config: RunConfig) -> Mask:
    """The mask of a run, untrained: a learned one from torch's generator, a fixed from its seed."""
    kind = MASKS[config.mask]
    settings = (config.size, config.acceleration, config.slope)
    if issubclass(kind, FixedMask):
        return kind(*settings, config.lines, config.seed, config.center)
    mask = kind(*settings, lines=config.lines, center=config.center)
    if config.dc_raised:
        assert isinstance(mask, ProbabilityMask)
        with torch.no_grad():
            mask.gamma[(config.size // 2,) * mask.gamma.dim()] = math.log(0.99 / 0.01) / mask.t
    return mask


def use_keras_defaults(network: nn.Module) -> None:
    """Keras's defaults, in which the paper's authors worked, where they differ from torch's.

    Batch norm has eps 1e-3 and momentum 0.99 (0.01 as torch counts it); convolutions start from
    Glorot and Bengio's (2010) uniform distribution, with biases of 0. Adam's eps is 1e-7: see
    :func:`adam_eps`.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps, layer.momentum = 1e-3, 0.01
        elif isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def adam_eps(config: RunConfig) -> float:
    """Adam's eps: torch's default, or Keras's."""
    return 1e-7 if config.keras else ADAM_EPS


def mask_kind(config: RunConfig) -> str:
    """Masks of one kind can be trained side by side: their parameters have the same shapes.

    The paper's mask is a kind of its own, because only it has CUDA kernels.
    """
    kind = MASKS[config.mask]
    if issubclass(kind, FixedMask):
        return "fixed"
    name = config.mask if kind in (ProbabilityMask, TrainedSlope) else "other"
    return f"{name} lines" if config.lines else name
