"""The trainable mask: probability map, rescaling (eq. 5), relaxed mask (eq. 6), binarization."""

import math
from numbers import Integral

import torch
from torch import Tensor, nn

from loupe_lib.errors import InputError, check_number, check_whole

BINARIZATIONS = ("threshold", "topk")


def rescale(s: Tensor, acceleration: float) -> Tensor:
    """Rescale a probability map so that its mean is 1 / acceleration (paper, eq. 5).

    Args:
        s: map S with values in [0, 1], (N, N), or (N,) for columns.
        acceleration: R >= 1.

    Returns:
        Map P of that shape in [0, 1] with mean 1/R up to float32 rounding.

    Raises:
        InputError: if the acceleration is below 1.
    """
    s = s.float()
    return rescale_from(s, s.mean(), 1.0 / check_acceleration(acceleration))


def rescale_from(s: Tensor, mean: Tensor, r: float | Tensor) -> Tensor:
    """Eq. 5 for maps ``s`` of the given mean and wanted mean ``r`` = 1/R; shapes broadcast."""
    # Both branches are computed and one is selected, so that no value has to leave the GPU.
    # Each clamp only acts on the branch that is not selected: without it that branch may divide
    # by zero, and its NaN would enter the gradient although its value is not used.
    down = s * (r / mean.clamp(min=r))
    rest = (1 - mean).clamp(min=1 - r).clamp(min=torch.finfo(s.dtype).tiny)
    return torch.where(mean >= r, down, 1 - (1 - s) * ((1 - r) / rest))


def binarize(p: Tensor, acceleration: float | None = None, method: str = "threshold") -> Tensor:
    """Make the binary mask for inference from a probability map.

    Args:
        p: probabilities P in [0, 1], (N, N), or (N,) for columns.
        acceleration: R >= 1, needed only by ``"topk"``.
        method: ``"threshold"``: P > 0.5, as the paper does. It keeps N*N/R samples only if P is
            already binary, so report the achieved R, ``mask.numel() / mask.sum()``. ``"topk"``: the
            round(N*N/R) largest entries, or round(N/R) columns: the exact budget; of equal entries
            the first in memory are kept.

    Returns:
        float32 mask of zeros and ones, of the shape of ``p``.

    Raises:
        InputError: for an unknown method, or ``"topk"`` without an acceleration.
    """
    p = p.detach().float()
    if method == "threshold":
        return (p > 0.5).float()
    if method == "topk":
        if acceleration is None:
            raise InputError("method 'topk' needs an acceleration, a number of at least 1")
        budget = round(p.numel() / check_acceleration(acceleration))
        order = p.flatten().argsort(descending=True, stable=True)
        return torch.zeros_like(p).flatten().index_fill(0, order[:budget], 1.0).view_as(p)
    raise InputError(f"method must be one of {', '.join(BINARIZATIONS)}; got {method!r}")


class Mask(nn.Module):
    """Base class of learned and fixed masks. Masks are centred, DC at [N//2, N//2].

    Args:
        size: N, the side of the images: a multiple of 16 (the U-Net halves it four times), at
            least 32.
        acceleration: R from 1 to N*N, or to N with lines.
        slope: s > 0, kept in the 0-d float32 buffer ``slope``, which schedules such as
            :class:`~loupe_lib.SelfShrinkingSlope` change in place; a mask may ignore it.
        lines: measure whole columns of k-space, as in a Cartesian scan.
        center: side of the central square, or number of central columns, that is always measured;
            it is part of the budget of N*N/R samples, or N/R columns.

    Raises:
        InputError: if an argument is out of range, or the centre exceeds the budget.
    """

    slope_can_rise = True  # whether a schedule may raise the slope
    has_lines = True  # whether the mask exists as whole columns
    slope: Tensor

    def __init__(
        self, size: int, acceleration: float, slope: float, lines: bool, center: int = 0
    ) -> None:
        super().__init__()
        self.size = check_size(size)
        if not isinstance(lines, bool):
            raise InputError(f"lines must be true or false; got {lines!r}")
        self.lines = lines
        self.acceleration = check_acceleration(acceleration, self.size if lines else self.size**2)
        slope = check_number("slope", slope, above=0)
        self.register_buffer("slope", torch.tensor(slope, dtype=torch.float32))
        self.center = check_center(center, self.size, self.acceleration, lines)
        self.center_fraction = (self.center / self.size) ** (1 if lines else 2)  # of k-space
        # What is measured of the rest of k-space, so that 1/R of the whole is.
        r = 1 / self.acceleration
        self.rest_fraction = (r - self.center_fraction) / (1 - self.center_fraction)

    @property
    def in_center(self) -> Tensor:
        """What is always measured, (N, N) bool, or (N,) for columns."""
        x = torch.arange(self.size, device=self.slope.device) - self.size // 2 + self.center // 2
        inside = (x >= 0) & (x < self.center)
        return inside if self.lines else inside[:, None] & inside

    def probabilities(self) -> Tensor:
        """(N, N) probability of each sample to be measured, float32 in [0, 1]."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw the masks of n training images, (n, N, N) float32 in [0, 1]."""
        raise NotImplementedError

    def binarize(self, method: str = "threshold") -> Tensor:
        """(N, N) float32 mask of zeros and ones for inference: see :func:`binarize`."""
        raise NotImplementedError

    def prepare(self, images: Tensor) -> None:
        """Adapt the mask to the (n, N, N) training images, before training starts."""

    def _whole(self, m: Tensor) -> Tensor:
        """(..., N) columns -> (..., N, N) masks; masks of points stay as they are."""
        return m.unsqueeze(-2).expand(*m.shape, self.size) if self.lines else m

    def extra_repr(self) -> str:
        lines = ", lines" * self.lines
        center = f", center={self.center}" if self.center else ""
        return f"size={self.size}, acceleration={self.acceleration:g}{lines}{center}"


class ProbabilityMask(Mask):
    """The mask generator of the encoder: gamma -> S -> P -> M (paper, Fig. 1, eqs. 3-6).

    Args:
        size: N, see :class:`Mask`.
        acceleration: R >= 1; the mean of P is 1/R.
        slope: s > 0 of the sigmoid that replaces the threshold during training. It is not a
            parameter, because the paper expects that training would drive it to 0 (section II-A).
        t: slope of the probability map, ``S = sigmoid(t * gamma)``; not critical.
        lines: learn columns of k-space: gamma, U and M are then (N,), the same in every row.
        center: always measure the central square of this side, or this many central columns, as
            scanners acquire it: P = M = 1 there, in training too. The rest gets the rest of the
            budget, by eq. 5.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(
        self,
        size: int,
        acceleration: float,
        slope: float = 200.0,
        t: float = 5.0,
        lines: bool = False,
        center: int = 0,
    ) -> None:
        super().__init__(size, acceleration, slope, lines, center)
        self.t = check_number("t", t, above=0)
        # u ~ U[0.01, 0.99], gamma = sigmoid_t^-1(u): S starts uniform, and never at 0 or 1,
        # where its gradient would vanish.
        u = torch.empty((size,) if lines else (size, size)).uniform_(0.01, 0.99)
        self.gamma = nn.Parameter(torch.logit(u) / t)

    def _p(self) -> Tensor:
        """P in the shape of gamma."""
        s = torch.sigmoid(self.t * self.gamma.float())
        rest = s.masked_fill(self.in_center, 0).mean() / (1 - self.center_fraction)
        return rescale_from(s, rest, self.rest_fraction).masked_fill(self.in_center, 1)

    def probabilities(self) -> Tensor:
        """(N, N) probability map P in [0, 1], float32, mean 1/R (eq. 5)."""
        return self._whole(self._p())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw relaxed masks ``M = sigmoid(s (P - U))`` (eq. 6).

        Args:
            n: how many; each has a U ~ U[0, 1]^(N x N) of its own, so that the images of a batch
                see different masks, as in LOUPE.
            generator: source of U, on the device of the mask; torch's default without it.

        Returns:
            (n, N, N) float32 masks in [0, 1]. They are float32 also under autocast, because slopes
            exceed the range of float16 and bfloat16 has only 8 bits for P - U.
        """
        gamma = self.gamma
        shape = n, *gamma.shape
        u = torch.rand(shape, generator=generator, dtype=torch.float32, device=gamma.device)
        return self.masks(u)

    def masks(self, u: Tensor) -> Tensor:
        """(n, N, N) training masks of the given (n, N, N) U, or (n, N) U of columns."""
        return self._whole(self.relax(self._p(), u).masked_fill(self.in_center, 1))

    def relax(self, p: Tensor, u: Tensor) -> Tensor:
        """M from P and U; shapes broadcast. Other learned masks override this method."""
        return relax(p, u, self.slope)

    def binarize(self, method: str = "threshold") -> Tensor:
        """(N, N) float32 mask of zeros and ones, made from P by :func:`binarize`."""
        p = self._p().masked_fill(self.in_center, 2)  # above any other, so that topk keeps them
        return self._whole(binarize(p, self.acceleration, method))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, t={self.t:g}"


def relax(p: Tensor, u: Tensor, slope: Tensor | float) -> Tensor:
    """The relaxed threshold ``sigmoid(s (P - U))`` (eqs. 3, 4 and 6); shapes broadcast."""
    return torch.sigmoid(slope * (p - u))


def check_size(size: object) -> int:
    """Return ``size`` if it is a multiple of 16, at least 32; else raise InputError."""
    if isinstance(size, Integral) and int(size) >= 32 and int(size) % 16 == 0:
        return int(size)
    raise InputError(f"size must be a multiple of 16, at least 32; got {size!r}")


def check_acceleration(acceleration: object, samples: float = math.inf) -> float:
    """Return R if it is from 1 to the number of samples or columns; else raise InputError."""
    r = check_number("acceleration", acceleration, at_least=1)
    if r > samples:
        raise InputError(
            f"acceleration must be at most {samples}, which keeps one sample or column; got {r:g}"
        )
    return r


def check_center(center: object, size: int, acceleration: float, lines: bool) -> int:
    """Return the side of the centre if the budget of 1/R of k-space holds it; else InputError."""
    number = check_whole("center", center, at_least=0)
    budget = size / acceleration if lines else (size * size / acceleration) ** 0.5
    largest = min(math.floor(budget), size - 1)
    if number > largest:
        raise InputError(
            f"center must be at most {largest}, to fit the budget of 1/{acceleration:g} of k-space "
            f"and leave samples to choose; got {number}"
        )
    return number
