"""Fixed sampling masks with an exact budget.

Each keeps the round(N*N/R) points, or round(N/R) columns, of the highest rank. Each class defines
its rank.
"""

import numpy as np
import torch
from torch import Tensor

from loupe_lib.errors import InputError
from loupe_lib.mask import Mask, binarize

# Fraction of the budget in the centre, that of fastMRI's masks: 0.08 of the lines at R = 4.
CALIBRATION = 0.32


class FixedMask(Mask):
    """A mask that keeps the samples of the highest rank.

    Args:
        size: N, see :class:`~loupe_lib.mask.Mask`.
        acceleration: R >= 1, exact up to rounding.
        slope: has no effect.
        lines: keep whole columns of k-space.
        seed: of the random numbers that some of these masks use.
        center: see :class:`~loupe_lib.mask.Mask`; the rest of the budget has the highest ranks.

    Attributes:
        kept: (N, N), or (N,) columns, the mask: a buffer, so that it travels with the weights.

    Raises:
        InputError: if an argument is out of range.
    """

    slope_can_rise = False
    kept: Tensor

    def __init__(
        self,
        size: int,
        acceleration: float,
        slope: float = 200.0,
        lines: bool = False,
        seed: int = 0,
        center: int = 0,
    ) -> None:
        super().__init__(size, acceleration, slope, lines, center)
        if lines and not self.has_lines:
            raise InputError(f"{type(self).__name__} has no lines: lines must be false; got true")
        self._rng = np.random.default_rng(seed)
        self.register_buffer("kept", self._highest(self.rank()))

    def rank(self) -> np.ndarray:
        """(N, N) ranks, or (N,) for columns; the highest are kept."""
        raise NotImplementedError

    def _highest(self, rank: np.ndarray) -> Tensor:
        rank = np.where(self.in_center.cpu(), np.inf, rank)
        return binarize(torch.from_numpy(rank), self.acceleration, "topk")

    def _radius(self) -> np.ndarray:
        """Distance of each point, or column, from the centre of k-space."""
        x = np.arange(self.size) - self.size // 2
        return np.abs(x).astype(float) if self.lines else np.hypot(x[:, None], x)

    def probabilities(self) -> Tensor:
        """(N, N) zeros and ones."""
        return self._whole(self.kept)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """The same mask n times, (n, N, N)."""
        return self.probabilities().expand(n, -1, -1)

    def binarize(self, method: str = "threshold") -> Tensor:
        """(N, N): the mask is already binary, for either method."""
        return self.probabilities()


class DiscMask(FixedMask):
    """The lowest frequencies: a disc in the centre, or the central columns."""

    def rank(self) -> np.ndarray:
        return -self._radius()


class UniformMask(FixedMask):
    """Points, or columns, drawn at random with equal probabilities."""

    def rank(self) -> np.ndarray:
        return self._rng.random(self._radius().shape)


class GaussianMask(FixedMask):
    """Variable density: drawn without replacement with weights ``exp(-r^2 / (2 (N/6)^2))``.

    Three standard deviations reach the edge of k-space. Variable density is due to Lustig, Donoho
    and Pauly (2007), doi 10.1002/mrm.21391. Ranking log weights plus Gumbel noise is drawing
    without replacement (Efraimidis and Spirakis 2006).
    """

    def rank(self) -> np.ndarray:
        radius = self._radius()
        return -((radius / (self.size / 6)) ** 2) / 2 + self._rng.gumbel(size=radius.shape)


class PoissonMask(FixedMask):
    """A calibration disc in the centre, and Poisson-disc samples around it.

    The disc takes 32 % of the budget, as the centre of fastMRI's masks does; the rest has uniform
    density (Bridson 2007, by SciPy).
    """

    has_lines = False

    def rank(self) -> np.ndarray:
        rank = -self._radius()
        budget = round(rank.size / self.acceleration)
        centre = np.zeros(rank.size, bool)
        centre[np.argsort(-rank, axis=None, kind="stable")[: round(CALIBRATION * budget)]] = 1
        wanted = budget - int(centre.sum())
        # SciPy's sampler, with 10 candidates a point, gives about 0.54 / d^2 points per unit area.
        distance = np.sqrt(0.5 * (rank.size - centre.sum()) / max(wanted, 1))
        points = np.empty(0, int)
        while len(points) < wanted and distance > 1:
            points = self._points(distance, centre)
            distance *= 0.95
        # Surplus points are left out at random. If points would have to touch (R near 1), other
        # random points fill the budget.
        order = self._rng.random(rank.size)
        order[points] += 1
        order[centre] = 2
        return order.reshape(rank.shape)

    def _points(self, distance: float, centre: np.ndarray) -> np.ndarray:
        """Indices of grid points outside the centre, about a distance or more apart."""
        from scipy.stats.qmc import PoissonDisk  # takes a third of a second; only used here

        sampler = PoissonDisk(2, radius=distance / self.size, ncandidates=10, seed=self._rng)
        row, column = (sampler.fill_space() * self.size).astype(int).T
        index = np.unique(row * self.size + column)
        return index[~centre[index]]


class SpectrumMask(DiscMask):
    """The frequencies with the largest mean magnitude over the training images.

    Adapted to the data without training. Knoll et al. (2011), doi 10.1007/s10334-010-0234-7, draw
    samples from the spectrum of reference images; this mask takes its largest entries instead.
    Before :meth:`prepare` it is the disc.
    """

    def prepare(self, images: Tensor) -> None:
        """Rank by the (n, N, N) training images."""
        total = torch.zeros(self.size, self.size, dtype=torch.float64, device=images.device)
        for x in images.split(64):
            total += torch.fft.fft2(x, norm="ortho").abs().sum(dim=0)
        spectrum = torch.fft.fftshift(total).cpu().numpy()
        self.kept.copy_(self._highest(spectrum.sum(axis=0) if self.lines else spectrum))
