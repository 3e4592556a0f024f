"""Learned k-space sampling for fast MRI with self-shrinking sigmoid slopes (LOUPE + 4S)."""

from loupe_lib.decoder import Decoder
from loupe_lib.encoder import Encoder
from loupe_lib.errors import InputError
from loupe_lib.loupe import Loupe
from loupe_lib.mask import ProbabilityMask, binarize, rescale
from loupe_lib.metrics import psnr, target
from loupe_lib.released_schedule import ReleasedSchedule
from loupe_lib.self_shrinking_slope import SelfShrinkingSlope
from loupe_lib.unet import UNet

__version__ = "0.3.0"

__all__ = [
    "Decoder",
    "Encoder",
    "InputError",
    "Loupe",
    "ProbabilityMask",
    "ReleasedSchedule",
    "SelfShrinkingSlope",
    "UNet",
    "binarize",
    "psnr",
    "rescale",
    "target",
]
