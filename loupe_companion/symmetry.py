"""Which of the samples at k and -k a mask keeps.

The spectrum of a real image is Hermitian, F(-k) = conj F(k): the second sample of a pair repeats
the first. An image with a phase, as every measured image has, lacks this symmetry.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairFractions:
    """Fractions of the pairs (k, -k) of a mask.

    Attributes:
        one: exactly one sample is kept.
        both: both samples are kept.
        one_by_chance: exactly one sample would be kept if samples were kept independently of
            their partners, with the same fraction at each distance from DC.
    """

    one: float
    both: float
    one_by_chance: float


def opposite(mask: np.ndarray) -> np.ndarray:
    """For every k of a centred (N, N) array, N even, the value at -k."""
    return np.roll(mask[::-1, ::-1], (1, 1), (0, 1))


def pair_fractions(mask: np.ndarray) -> PairFractions:
    """Count the pairs of a binary mask.

    Args:
        mask: (N, N) zeros and ones, centred (DC at [N//2, N//2]), N even. The four samples that
            are their own partners are left out.
    """
    n = len(mask)
    kept = mask > 0.5
    frequency = np.arange(n) - n // 2
    distance = np.hypot(*np.meshgrid(frequency, frequency, indexing="ij")).round().astype(int)
    alone = frequency % (n // 2) == 0
    paired = ~np.outer(alone, alone)
    kept, partner, ring = kept[paired], opposite(kept)[paired], distance[paired]
    fraction = (np.bincount(ring, kept) / np.maximum(np.bincount(ring), 1))[ring]
    return PairFractions(
        one=float((kept != partner).mean()),
        both=float((kept & partner).mean()),
        one_by_chance=float((2 * fraction * (1 - fraction)).mean()),
    )
