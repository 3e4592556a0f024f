"""3x3 convolutions of K models side by side, forwards and backwards, without bias.

Activations are (K * B, H, W, C) as in :mod:`loupe_lib.fast_kernels`, weights
(K, out, 3, 3, in) with any strides. A single model is left to cuDNN. Many small ones would leave
the card idle one by one, and cuDNN's grouped convolutions are slow for few channels a group: a
pack has two Triton kernels of its own.

Where a skip connection and an upsampled map are concatenated, half of the work is avoidable: a
3x3 convolution of a map upsampled by nearest neighbours is a transposed 4x4 convolution with
stride 2 of the small map, its weights sums of the 3x3 ones. That is 4 products an output instead
of 9, and neither the upsampled map nor the concatenation is ever stored.
"""

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PATCH = 128  # pixels a program takes at a time
PROGRAMS = 1024  # about; a sum over pixels is shared among so many

# Rows: taps of the transposed 4-tap convolution; columns: taps of the 3-tap one that they sum.
SPREAD = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))


@triton.jit
def _pixels(images, H, W, TH: tl.constexpr, TW: tl.constexpr, tile):
    """Image, row and column of each pixel of a TH x TW tile, and whether it exists."""
    across = tl.cdiv(W, TW)
    pixel = tl.arange(0, TH * TW)
    line = tile // across * TH + pixel // TW  # counted over the images of a model
    j = tile % across * TW + pixel % TW
    return line // H, line % H, j, (line < images * H) & (j < W)


@triton.jit
def _patch(x, image, y, column, inside, e, v, H, W, C, T: tl.constexpr, SPAN: tl.constexpr):
    """(pixels, elements): elements e of the T neighbours of C channels from (y, column) on.

    SPAN: the elements lie in several neighbours, v of each; else v is the one they all lie in.
    """
    source = x + ((image * H + y) * W + column) * C
    rows = inside & (y >= 0) & (y < H)
    if SPAN:
        at = column[:, None] + v[None, :]
        seen = rows[:, None] & (at >= 0) & (at < W) & (v < T)[None, :]
    else:
        seen = (rows & (column + v >= 0) & (column + v < W))[:, None]
    return tl.load(source[:, None] + e[None, :], mask=seen, other=0.0)


@triton.jit
def _convolve(
    x, w, out, images, H, W, SH, SW, CIN, COUT, sk, su, sv, sc, sn, sa, sb,
    STEP: tl.constexpr, T: tl.constexpr, PHASES: tl.constexpr, ADD: tl.constexpr,
    SPAN: tl.constexpr, TH: tl.constexpr, TW: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """out[i, j, n] = sum over u, v, c of x[STEP i + u - 1, STEP j + v - 1, c] w[u, v, c, n].

    A matrix product of a tile of pixels and BN outputs: reads x once from memory, T * T times
    from cache, and writes out once. With PHASES = 2, out is twice as large, and its pixel
    (2i + a, 2j + b) sees x from (i + a - 1, j + b - 1) on, with weights of its own. ADD: adds to
    what out holds. SPAN, if not 0, is CIN, of which several taps fit into BK.
    """
    k = tl.program_id(1)
    block = tl.program_id(2)
    a = block % (PHASES * PHASES) // PHASES
    b = block % PHASES
    n = block // (PHASES * PHASES) * BN + tl.arange(0, BN)
    image, i, j, inside = _pixels(images, H, W, TH, TW, tl.program_id(0))
    x += k.to(tl.int64) * images * SH * SW * CIN
    w += k.to(tl.int64) * sk + a * sa + b * sb
    out += k.to(tl.int64) * images * H * W * PHASES * PHASES * COUT
    row = ((image * H + i) * PHASES + a) * (W * PHASES) + j * PHASES + b
    to = out + row[:, None] * COUT + n[None, :]
    real = inside[:, None] & (n < COUT)[None, :]
    if ADD:
        total = tl.load(to, mask=real, other=0.0).to(tl.float32)
    else:
        total = tl.zeros((TH * TW, BN), tl.float32)
    steps = tl.cdiv(T * CIN, BK)
    for step in range(T * steps):
        u = step // steps
        e = step % steps * BK + tl.arange(0, BK)
        if SPAN:
            v = e // SPAN
        else:
            v = step % steps * BK // CIN
        weight = w + u * su + v * sv + (e - v * CIN) * sc
        known = (e < T * CIN)[:, None] & (n < COUT)[None, :]
        matrix = tl.load(weight[:, None] + n[None, :] * sn, mask=known, other=0.0)
        y = STEP * i + a + u - 1
        column = STEP * j + b - 1
        patch = _patch(x, image, y, column, inside, e, v, SH, SW, CIN, T, SPAN)
        total = tl.dot(patch.to(matrix.dtype), matrix, total)
    tl.store(to, total.to(out.dtype.element_ty), mask=real)


@triton.jit
def _correlate(
    x, g, partial, images, H, W, SH, SW, CX, CG, size, su, sv, sc, sn,
    STEP: tl.constexpr, T: tl.constexpr, SPAN: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """dw[u, v, c, n] = sum over i, j of x[STEP i + u - 1, STEP j + v - 1, c] g[i, j, n].

    The gradient of weights, as partial sums over shares of the pixels; reads g T times, x T * T
    times, all but the first from cache.
    """
    steps = tl.cdiv(T * CX, BK)
    u = tl.program_id(0) % T
    block = tl.program_id(0) // T
    e = block % steps * BK + tl.arange(0, BK)
    n = block // steps * BN + tl.arange(0, BN)
    if SPAN:
        v = e // SPAN
    else:
        v = block % steps * BK // CX
    k = tl.program_id(2)
    x += k.to(tl.int64) * images * SH * SW * CX
    g += k.to(tl.int64) * images * H * W * CG
    total = tl.zeros((BK, BN), tl.float32)
    tiles = tl.cdiv(images * H, TH) * tl.cdiv(W, TW)
    for tile in range(tl.program_id(1), tiles, tl.num_programs(1)):
        image, i, j, inside = _pixels(images, H, W, TH, TW, tile)
        patch = _patch(
            x, image, STEP * i + u - 1, STEP * j - 1, inside, e, v, SH, SW, CX, T, SPAN
        )
        row = (image * H + i) * W + j
        real = inside[:, None] & (n < CG)[None, :]
        right = tl.load(g + row[:, None] * CG + n[None, :], mask=real, other=0.0)
        total = tl.dot(tl.trans(patch.to(right.dtype)), right, total)
    share = (tl.program_id(1) * tl.num_programs(2) + k).to(tl.int64) * size
    to = partial + share + u * su + v * sv + (e - v * CX) * sc
    known = (e < T * CX)[:, None] & (n < CG)[None, :]
    tl.store(to[:, None] + n[None, :] * sn, total, mask=known)


def _blocks(taps: int, channels: int, columns: int) -> dict[str, int]:
    """Block sizes: a row of taps at once where it is short, else at most 64 channels of one."""
    span = taps * channels <= 64
    height, width = _tile(columns)
    return {
        "SPAN": channels if span else 0,
        "BK": max(16, triton.next_power_of_2(taps * channels))
        if span
        else min(64, channels & -channels),
        "TH": height,
        "TW": width,
    }


def _tile(columns: int) -> tuple[int, int]:
    width = min(16, triton.next_power_of_2(columns))
    return PATCH // width, width


class PackedConvolutions:
    """Convolutions of K models in one launch each, by the kernels above.

    Args:
        models: K.
    """

    def __init__(self, models: int) -> None:
        self.models = models

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(K B, H, W, in) and (K, out, 3, 3, in) -> (K B, H, W, out), zero beyond the border."""
        out = x.new_empty(*x.shape[:3], w.shape[1], dtype=w.dtype)
        sk, sn, su, sv, sc = w.stride()
        self._convolve(x, w, out, (sk, su, sv, sc, sn), taps=3)
        return out

    def backward(self, x: Tensor, dz: Tensor, w: Tensor, dw: Tensor) -> Tensor:
        """Fill dw (as w, float32) and return the gradient of x, both from that of the output."""
        shape = (w.shape[1], 3, 3, w.shape[4])  # out, u, v, in
        self._correlate(x, dz, dw, 3, (3 * shape[3], shape[3], 1, 9 * shape[3]))
        dx = torch.empty_like(x)
        sk, sc, su, sv, sn = w.stride()
        self._convolve(dz, w[:, :, 2:, 2:], dx, (sk, -su, -sv, sc, sn), taps=3)
        return dx

    def up_forward(self, skip: Tensor, low: Tensor, w: Tensor, w4: Tensor) -> tuple[Tensor, None]:
        """The convolution of (skip, upsampled low) concatenated.

        Args:
            skip: (K B, H, W, c).
            low: (K B, H/2, W/2, in - c).
            w: (K, out, 3, 3, in), of which the first c inputs are used.
            w4: (K, out, 4, 4, in - c) from :func:`spread`.

        Returns:
            (K B, H, W, out), and what has to be added to it or None.
        """
        out = self.forward(skip, w[..., : skip.shape[3]])
        sk, sn, su, sv, sc = w4.stride()
        strides = (sk, -2 * su, -2 * sv, sc, sn, -su, -sv)
        self._convolve(low, w4[:, :, 3:, 3:], out, strides, taps=2, phases=2, add=True)
        return out, None

    def up_backward(
        self, skip: Tensor, low: Tensor, dz: Tensor, w: Tensor, dw: Tensor, w4: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill dw and return the gradients of skip and low."""
        c = skip.shape[3]
        dskip = self.backward(skip, dz, w[..., :c], dw[..., :c])
        dw4 = torch.empty(w4.shape, device=w.device)
        _, sc, su, sv, sn = w4.stride()
        self._correlate(dz, low, dw4, 4, (su, sv, sc, sn), step=2)
        gather(dw4, dw[..., c:])
        dlow = torch.empty_like(low)
        self._convolve(dz, w4, dlow, (w4.stride(0), su, sv, sc, sn), taps=4, step=2)
        return dskip, dlow

    def _convolve(
        self, x: Tensor, w: Tensor, out: Tensor, strides: tuple[int, ...], taps: int,
        step: int = 1, phases: int = 1, add: bool = False,
    ) -> None:  # fmt: skip
        _, sh, sw, c_in = x.shape
        h, w_ = out.shape[1] // phases, out.shape[2] // phases
        images, c_out = len(x) // self.models, out.shape[3]
        blocks = _blocks(taps, c_in, w_)
        bn = min(64, max(16, triton.next_power_of_2(c_out)))
        tiles = triton.cdiv(images * h, blocks["TH"]) * triton.cdiv(w_, blocks["TW"])
        grid = (tiles, self.models, triton.cdiv(c_out, bn) * phases**2)
        sa_sb = strides[5:] or (0, 0)
        _convolve[grid](
            x, w, out, images, h, w_, sh, sw, c_in, c_out, *strides[:5], *sa_sb,
            STEP=step, T=taps, PHASES=phases, ADD=add, BN=bn, **blocks, **convolve_options(taps * c_in),
        )  # fmt: skip

    def _correlate(
        self, x: Tensor, g: Tensor, dw: Tensor, taps: int, strides: tuple[int, ...], step: int = 1
    ) -> None:
        _, sh, sw, c_x = x.shape
        _, h, w, c_g = g.shape
        images = len(x) // self.models
        blocks = _blocks(taps, c_x, w)
        bn = min(64, max(16, triton.next_power_of_2(c_g)))
        parts = taps * triton.cdiv(taps * c_x, blocks["BK"]) * triton.cdiv(c_g, bn)
        tiles = triton.cdiv(images * h, blocks["TH"]) * triton.cdiv(w, blocks["TW"])
        shares = max(1, min(tiles, PROGRAMS // (parts * self.models)))
        partial = torch.empty(shares, *dw.shape, device=dw.device)
        _correlate[(parts, shares, self.models)](
            x, g, partial, images, h, w, sh, sw, c_x, c_g, dw[0].numel(), *strides,
            STEP=step, T=taps, BN=bn, **blocks, **correlate_options(),
        )  # fmt: skip
        torch.sum(partial, dim=0, out=dw)


def convolve_options(depth: int) -> dict[str, Any]:
    return {"num_warps": 4, "num_stages": 3}


def correlate_options() -> dict[str, Any]:
    return {"num_warps": 4, "num_stages": 3}


class CudnnConvolutions:
    """The same, of a single model, by cuDNN. The methods are those of PackedConvolutions."""

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return _outer(_aten.convolution(_inner(x), _filter(w), *_same))

    def backward(self, x: Tensor, dz: Tensor, w: Tensor, dw: Tensor) -> Tensor:
        both = [True, True, False]
        dx, found, _ = _aten.convolution_backward(
            _inner(dz), _inner(x), _filter(w), *_same, both
        )
        dw[0].copy_(found.permute(0, 2, 3, 1))
        return _outer(dx)

    def up_forward(
        self, skip: Tensor, low: Tensor, w: Tensor, w4: Tensor
    ) -> tuple[Tensor, Tensor]:
        out = self.forward(skip, w[..., : skip.shape[3]])
        return out, _outer(_aten.convolution(_inner(low), _transposed_filter(w4), *_double))

    def up_backward(
        self, skip: Tensor, low: Tensor, dz: Tensor, w: Tensor, dw: Tensor, w4: Tensor
    ) -> tuple[Tensor, Tensor]:
        c = skip.shape[3]
        dskip = self.backward(skip, dz, w[..., :c], dw[..., :c])
        both = [True, True, False]
        dlow, dw4, _ = _aten.convolution_backward(
            _inner(dz), _inner(low), _transposed_filter(w4), *_double, both
        )
        gather(dw4.permute(1, 2, 3, 0)[None], dw[..., c:])
        return dskip, _outer(dlow)


_aten = torch.ops.aten
# bias, stride, padding, dilation, transposed, output padding, groups
_same = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
_double = (None, [2, 2], [1, 1], [1, 1], True, [0, 0], 1)


def _inner(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W), channels-last in memory


def _outer(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()  # nothing is moved if cuDNN kept channels-last


def _filter(w: Tensor) -> Tensor:
    return w[0].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _transposed_filter(w4: Tensor) -> Tensor:
    # (1, out, 4, 4, in) -> (in, out, 4, 4)
    return w4[0].permute(3, 0, 1, 2).contiguous(memory_format=torch.channels_last)


def spread(w: Tensor) -> Tensor:
    """(K, out, 3, 3, in) float32 -> (K, out, 4, 4, in): weights of the transposed convolution."""
    matrix = _spread_matrix(w.device)
    return torch.matmul(matrix, w.flatten(2, 3)).unflatten(2, (4, 4))


def gather(dw4: Tensor, dw: Tensor) -> None:
    """The adjoint of :func:`spread`: gradients of the 3x3 weights from those of the 4x4 ones."""
    matrix = _spread_matrix(dw4.device)
    dw.copy_(torch.matmul(matrix.T, dw4.float().flatten(2, 3)).unflatten(2, (3, 3)))


@cache
def _spread_matrix(device: torch.device) -> Tensor:
    one = torch.tensor(SPREAD, dtype=torch.float32)
    return torch.kron(one, one).to(device)  # (16, 9)
