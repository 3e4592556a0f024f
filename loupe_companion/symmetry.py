"""What a mask makes of the symmetry of k-space: which of the samples at k and -k it keeps.

The spectrum of a real image is Hermitian, F(-k) = conj F(k): a second sample of a pair tells
nothing new. A phase ends that, and every measured image has one.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairShares:
    """Shares of the pairs (k, -k) of a mask.

    Attributes:
        one: of which exactly one sample is kept.
        both: of which both are kept.
        one_by_chance: of which exactly one would be kept if every sample were kept or not
            independently of its partner, as many of them at each distance from DC.
    """

    one: float
    both: float
    one_by_chance: float


def opposite(mask: np.ndarray) -> np.ndarray:
    """The value at -k of every k of a centred (N, N) array, N even."""
    return np.roll(mask[::-1, ::-1], (1, 1), (0, 1))


def pair_shares(mask: np.ndarray) -> PairShares:
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
    share = (np.bincount(ring, kept) / np.maximum(np.bincount(ring), 1))[ring]
    return PairShares(
        one=float((kept != partner).mean()),
        both=float((kept & partner).mean()),
        one_by_chance=float((2 * share * (1 - share)).mean()),
    )
