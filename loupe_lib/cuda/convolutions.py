# Kernels are Triton's language: no types to check.
# mypy: allow-untyped-defs, allow-incomplete-defs
# mypy: disable-error-code="import-not-found, import-untyped"
"""3x3 convolutions of K models at once, forward and backward, without bias.

Activations are (K * B, H, W, C) as in :mod:`loupe_lib.cuda.kernels`; weights are (K, out, 3, 3, in)
with any strides. A single model uses cuDNN. Several models use two Triton kernels: small models
one after another would leave the GPU idle, and cuDNN's grouped convolutions are slow for few
channels per group.

A skip connection and an upsampled map are not concatenated. Each is convolved on its own, the
upsampled map as in :mod:`loupe_lib.cuda.upsampling`, and the results are added.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from loupe_lib.cuda.kernels import STATISTICS, launch, leaky, statistics, store_statistics
from loupe_lib.cuda.upsampling import gather

TILE = (16, 8)  # rows and columns of pixel groups per tile
REPEAT = 16  # tiles per program of _correlate; each program stores partial sums
CONVOLVE, CORRELATE = 64, 128  # maximum number of elements of a window per matrix product


@triton.jit
def _pixels(images, H, W, TH: tl.constexpr, TW: tl.constexpr, tile):
    """Image, row and column of each pixel of a TH x TW tile, and whether it exists."""
    across = tl.cdiv(W, TW)
    pixel = tl.arange(0, TH * TW)
    line = tile // across * TH + pixel // TW  # over all images of a model
    j = tile % across * TW + pixel % TW
    return line // H, line % H, j, (line < images * H) & (j < W)


@triton.jit
def _patch(x, image, y, column, inside, e, v, H, W, C, T: tl.constexpr, SPAN: tl.constexpr):
    """Load (pixels, elements): elements e of T neighbours, C channels each, from (y, column) on.

    v is the neighbour of each element, or with SPAN = 0 the single neighbour of all elements.
    """
    source = x + ((image * H + y) * W + column) * (SPAN if SPAN else C)
    rows = inside & (y >= 0) & (y < H)
    if SPAN:
        at = column[:, None] + v[None, :]
        seen = rows[:, None] & (at >= 0) & (at < W) & (v < T)[None, :]
    else:
        seen = (rows & (column + v >= 0) & (column + v < W))[:, None]
    return tl.load(source[:, None] + e[None, :], mask=seen, other=0.0)


@triton.jit(do_not_specialize=["images", "H", "W", "SH", "SW"])
def _convolve(
    x, w, out, bias, partial, images, H, W, SH, SW, CIN, stride, sk, sa, su, sv, sq, sc, sn,
    COUT: tl.constexpr, SPAN: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    STEPY: tl.constexpr, STEPX: tl.constexpr, Q: tl.constexpr, PHASES: tl.constexpr,
    ADD: tl.constexpr, SUM: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Convolve a tile of pixel groups, as a matrix product with the weights.

    The output pixel (PHASES i + a, Q j + q), with q < Q, is

        sum over u < TY, v < TX - Q + 1, c of
        x[STEPY i + u - 1 + a, STEPX j + v + q - 1, c] w[a sa + u su + (v + q) sv + q sq + ...].

    Each x is read once from memory and TY * TX / STEPX times from cache. Q pixels share one window
    of TX neighbours, which saves reads; a pixel does not see Q - 1 of them: their weights are 0.
    With ADD the result is added to out. With SUM the kernel stores the sums of
    :func:`loupe_lib.cuda.kernels._statistics` of the result. SPAN is CIN if a block of BK elements
    covers several neighbours, else 0.
    """
    k = tl.program_id(1)
    block = tl.program_id(2)
    a = block % PHASES
    column = block // PHASES * BN + tl.arange(0, BN)  # of the output: Q * COUT
    q = column // COUT
    image, i, j, inside = _pixels(images, H, W, TH, TW, tl.program_id(0))
    x += k.to(tl.int64) * images * SH * SW * CIN
    w += k.to(tl.int64) * sk + a * sa
    out += k.to(tl.int64) * images * H * PHASES * W * Q * COUT
    row = ((image * H + i) * PHASES + a) * W + j
    to = out + row[:, None] * (Q * COUT) + column[None, :]
    real = inside[:, None] & (q < Q)[None, :]
    if ADD:
        total = tl.load(to, mask=real, other=0.0).to(tl.float32)
    else:
        total = tl.zeros((TH * TW, BN), tl.float32)
    right = w + q * sq + column % COUT * sn
    steps = tl.cdiv(TX * CIN, BK)
    for step in range(TY * steps):
        u = step // steps
        e = step % steps * BK + tl.arange(0, BK)
        if SPAN:
            v = e // SPAN
            left = u * su + v * sv + e % SPAN * sc
            known = (v[:, None] >= q[None, :]) & (v[:, None] - q[None, :] < TX - Q + 1)
        else:
            v = step % steps * BK // CIN
            left = u * su + v * sv + (e - v * CIN) * sc
            known = ((v >= q) & (v - q < TX - Q + 1))[None, :]
        known = known & (q < Q)[None, :]
        matrix = tl.load(left[:, None] + right[None, :], mask=known, other=0.0)
        y = STEPY * i + a + u - 1
        patch = _patch(x, image, y, STEPX * j - 1, inside, e, v, SH, SW, CIN, TX, SPAN)
        total = tl.dot(patch.to(matrix.dtype), matrix, total)
    z = total.to(out.dtype.element_ty)
    tl.store(to, z, mask=real)
    if SUM:
        b = tl.load(bias + k * stride + column % COUT, mask=q < Q, other=0.0)
        activations = tl.where(real, leaky(z.to(tl.float32) + b[None, :]), 0.0)
        part = ((k * tl.num_programs(0) + tl.program_id(0)) * PHASES + a) * Q + q
        store_statistics(partial, part, column % COUT, COUT, activations, q < Q)


@triton.jit(do_not_specialize=["images", "H", "W", "SH", "SW"])
def _correlate(
    x, g, partial, images, H, W, SH, SW, CX, size, su, sv, sc, sn,
    CG: tl.constexpr, SPAN: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    STEPY: tl.constexpr, STEPX: tl.constexpr, Q: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Compute partial sums of the gradient of the weights: for each q < Q, over some pixels (i, j).

        dw[u, v, c, n] = sum of x[STEPY i + u - 1, STEPX j + v + q - 1, c] g[i, Q j + q, n].

    g is read TY times and x TY * TX / STEPX times, each once from memory and then from cache.
    """
    steps = tl.cdiv(TX * CX, BK)
    u = tl.program_id(0) % TY
    block = tl.program_id(0) // TY
    e = block % steps * BK + tl.arange(0, BK)
    column = block // steps * BN + tl.arange(0, BN)
    q = column // CG
    if SPAN:
        v = e // SPAN
        left = v * sv + e % SPAN * sc
        tap = v[:, None] - q[None, :]
    else:
        v = block % steps * BK // CX
        left = v * sv + (e - v * CX) * sc
        tap = v - q[None, :]
    k = tl.program_id(2)
    x += k.to(tl.int64) * images * SH * SW * CX
    g += k.to(tl.int64) * images * H * W * Q * CG
    total = tl.zeros((BK, BN), tl.float32)
    tiles = tl.cdiv(images * H, TH) * tl.cdiv(W, TW)
    for tile in range(tl.program_id(1), tiles, tl.num_programs(1)):
        image, i, j, inside = _pixels(images, H, W, TH, TW, tile)
        y = STEPY * i + u - 1
        patch = _patch(x, image, y, STEPX * j - 1, inside, e, v, SH, SW, CX, TX, SPAN)
        row = (image * H + i) * W + j
        real = inside[:, None] & (q < Q)[None, :]
        right = tl.load(g + row[:, None] * (Q * CG) + column[None, :], mask=real, other=0.0)
        total = tl.dot(tl.trans(patch.to(right.dtype)), right, total)
    part = (tl.program_id(1) * Q + q) * tl.num_programs(2) + k
    to = partial + part * size + u * su - q * sv + column % CG * sn
    known = (tap >= 0) & (tap < TX - Q + 1) & (q < Q)[None, :]
    tl.store(left[:, None] + to[None, :], total, mask=known)


class PackedConvolutions:
    """Convolutions of K models, by one launch of the Triton kernels for all of them.

    Args:
        models: K.
    """

    def __init__(self, models: int) -> None:
        self.models = models

    def forward(
        self, x: Tensor, w: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Convolve with zero padding; with a bias, also compute the partial sums for batch norm.

        Args:
            x: (K B, H, W, in) activations.
            w: (K, out, 3, 3, in) weights, in the precision of the result.
            bias: (K, out), which is only added within the sums.

        Returns:
            (K B, H, W, out), and the sums of :func:`loupe_lib.cuda.kernels.statistics` or None.
        """
        out = x.new_empty(*x.shape[:3], w.shape[1], dtype=w.dtype)
        sk, sn, su, sv, sc = w.stride()
        q = _group(x, out)
        taps = {"TY": 3, "TX": 2 + q, "STEPY": 1, "STEPX": q, "Q": q, "PHASES": 1}
        return out, self._convolve(x, w, out, (sk, 0, su, sv, -sv, sc, sn), taps, bias)

    def backward(self, x: Tensor, dz: Tensor, w: Tensor, dw: Tensor) -> Tensor:
        """Return the gradient of x, given dz, that of the output; write that of w to dw."""
        c_in = x.shape[3]
        q = _group(x, dz)
        taps = {"TY": 3, "TX": 2 + q, "STEPY": 1, "STEPX": q, "Q": q}
        self._correlate(x, dz, dw, (3 * c_in, c_in, 1, 9 * c_in), taps)
        dx = torch.empty_like(x)
        sk, sc, su, sv, sn = w.stride()
        flipped = (sk, 0, -su, -sv, sv, sc, sn)
        self._convolve(dz, w[:, :, 2:, 2:], dx, flipped, {**taps, "PHASES": 1})
        return dx

    def up_forward(
        self, skip: Tensor, low: Tensor, w: Tensor, w4: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Convolve the concatenation of skip and upsampled low, as :meth:`forward`.

        Args:
            skip: (K B, H, W, c).
            low: (K B, H/2, W/2, in - c).
            w: (K, out, 3, 3, in), of which the first c inputs are used.
            w4: (K, out, 4, 4, in - c), the other inputs' weights after upsampling.spread.
            bias: as in :meth:`forward`.
        """
        out, _ = self.forward(skip, w[..., : skip.shape[3]])
        sk, sn, su, sv, sc = w4.stride()
        # Output row 2 i + a reads rows i + a - 1 and i + a of low, with taps 3 - a and 1 - a of the
        # transposed convolution; columns likewise.
        strides = (sk, -su, -2 * su, -2 * sv, sv, sc, sn)
        taps = {"TY": 2, "TX": 3, "STEPY": 1, "STEPX": 1, "Q": 2, "PHASES": 2}
        return out, self._convolve(low, w4[:, :, 3:, 3:], out, strides, taps, bias, add=True)

    def up_backward(
        self, skip: Tensor, low: Tensor, dz: Tensor, w: Tensor, dw: Tensor, w4: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of skip and low, given dz; write that of w to dw."""
        c = skip.shape[3]
        dskip = self.backward(skip, dz, w[..., :c], dw[..., :c])
        sk, sc, su, sv, sn = w4.stride()
        taps = {"TY": 4, "TX": 4, "STEPY": 2, "STEPX": 2, "Q": 1}
        dw4 = torch.empty(w4.shape, device=w.device)
        self._correlate(dz, low, dw4, (su, sv, sc, sn), taps)
        dw[..., c:].copy_(gather(dw4))
        dlow = torch.empty_like(low)
        self._convolve(dz, w4, dlow, (sk, 0, su, sv, 0, sc, sn), {**taps, "PHASES": 1})
        return dskip, dlow

    def _convolve(
        self, x: Tensor, w: Tensor, out: Tensor, strides: tuple[int, ...], taps: dict[str, int],
        bias: Tensor | None = None, add: bool = False,
    ) -> Tensor | None:  # fmt: skip
        c_in, c_out = x.shape[3], out.shape[3]
        images, height = len(x) // self.models, out.shape[1] // taps["PHASES"]
        width = out.shape[2] // taps["Q"]
        lines = images * height
        blocks, tiles = _blocks(c_in, taps["Q"] * c_out, taps["TX"], lines, width, CONVOLVE)
        columns = triton.cdiv(taps["Q"] * c_out, blocks["BN"])
        partial = None
        if bias is not None:
            parts = tiles * taps["PHASES"] * taps["Q"]
            partial = bias.new_empty(self.models, parts, STATISTICS, c_out)
        launch(
            _convolve, (tiles, self.models, columns * taps["PHASES"]),
            x, w, out, bias, partial, images, height, width, x.shape[1], x.shape[2], c_in,
            0 if bias is None else bias.stride(0), *strides,
            COUT=c_out, ADD=add, SUM=bias is not None, **taps, **blocks, num_warps=4,
            # With SPAN the window is read again from the L1 cache. Longer sums over channels gain
            # from loading the next blocks in advance.
            num_stages=1 if blocks["SPAN"] else 3,
        )  # fmt: skip
        return partial

    def _correlate(
        self, x: Tensor, g: Tensor, dw: Tensor, strides: tuple[int, ...], taps: dict[str, int]
    ) -> None:
        c_x, c_g = x.shape[3], g.shape[3]
        images, height, width = len(x) // self.models, g.shape[1], g.shape[2] // taps["Q"]
        lines = images * height
        blocks, tiles = _blocks(c_x, taps["Q"] * c_g, taps["TX"], lines, width, CORRELATE)
        rows = triton.cdiv(taps["TX"] * c_x, blocks["BK"])
        parts = taps["TY"] * rows * triton.cdiv(taps["Q"] * c_g, blocks["BN"])
        programs = max(1, tiles // REPEAT)
        partial = torch.empty(programs * taps["Q"], *dw.shape, device=dw.device)
        launch(
            _correlate, (parts, programs, self.models),
            x, g, partial, images, height, width, x.shape[1], x.shape[2], c_x,
            dw[0].numel(), *strides, CG=c_g, **taps, **blocks, num_warps=4, num_stages=2,
        )  # fmt: skip
        torch.sum(partial, dim=0, out=dw)


def _group(x: Tensor, y: Tensor) -> int:
    """Pixels per group: pairs save reads, which cost most where channels are few."""
    return 2 if min(x.shape[3], y.shape[3]) <= 32 and x.shape[2] % 2 == 0 else 1


def _power_of_2(size: int) -> int:
    return max(16, triton.next_power_of_2(size))  # the minimum size of a matrix product


def _blocks(
    c_in: int, columns: int, taps: int, lines: int, width: int, depth: int
) -> tuple[dict[str, int], int]:
    """Block sizes for a window of some taps, and the number of tiles for the pixels of a model."""
    window = taps * c_in
    spans = window <= 128 or c_in % 16 != 0  # else a block has some channels of one tap
    th, tw = TILE
    blocks = {
        "SPAN": c_in if spans else 0,
        "BK": min(depth, _power_of_2(window)) if spans else min(64, c_in & -c_in),
        "BN": min(64, _power_of_2(columns)),
        "TH": th,
        "TW": tw,
    }
    return blocks, triton.cdiv(lines, th) * triton.cdiv(width, tw)


class CudnnConvolutions:
    """Convolutions of a single model, by cuDNN, with the methods of PackedConvolutions."""

    def forward(
        self, x: Tensor, w: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        out = _outer(_aten.convolution(_inner(x), _filter(w), *_same))
        return out, None if bias is None else statistics(out, bias)

    def backward(self, x: Tensor, dz: Tensor, w: Tensor, dw: Tensor) -> Tensor:
        both = [True, True, False]
        dx, found, _ = _aten.convolution_backward(_inner(dz), _inner(x), _filter(w), *_same, both)
        dw[0].copy_(found.permute(0, 2, 3, 1))
        return _outer(dx)

    def up_forward(
        self, skip: Tensor, low: Tensor, w: Tensor, w4: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        out, _ = self.forward(skip, w[..., : skip.shape[3]])
        more = _outer(_aten.convolution(_inner(low), _transposed_filter(w4), *_double))
        if bias is None:
            return out.add_(more), None
        return out, statistics(out, bias, more)

    def up_backward(
        self, skip: Tensor, low: Tensor, dz: Tensor, w: Tensor, dw: Tensor, w4: Tensor
    ) -> tuple[Tensor, Tensor]:
        c = skip.shape[3]
        dskip = self.backward(skip, dz, w[..., :c], dw[..., :c])
        both = [True, True, False]
        dlow, dw4, _ = _aten.convolution_backward(
            _inner(dz), _inner(low), _transposed_filter(w4), *_double, both
        )
        dw[..., c:].copy_(gather(dw4.permute(1, 2, 3, 0)[None].float()))
        return dskip, _outer(dlow)


Convolutions = PackedConvolutions | CudnnConvolutions

_aten = torch.ops.aten
# bias, stride, padding, dilation, transposed, output padding, groups
_same = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
_double = (None, [2, 2], [1, 1], [1, 1], True, [0, 0], 1)


def _inner(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W), channels-last in memory


def _outer(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()  # no copy if cuDNN kept channels-last


def _filter(w: Tensor) -> Tensor:
    return w[0].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _transposed_filter(w4: Tensor) -> Tensor:
    # (1, out, 4, 4, in) -> (in, out, 4, 4)
    return w4[0].permute(3, 0, 1, 2).contiguous(memory_format=torch.channels_last)
