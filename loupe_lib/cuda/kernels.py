# Kernels are Triton's language: no types to check.
# mypy: allow-untyped-defs, allow-incomplete-defs
# mypy: disable-error-code="import-not-found, import-untyped"
"""Triton kernels of the CUDA training step: everything but the convolutions and the FFT.

Activations of K models are contiguous tensors (K * B, H, W, C): channels are innermost, and the
B images of one model are adjacent. A row is one pixel; each model has ``count`` = B * H * W rows.
Convolutions omit their bias: the kernel that reads their output adds it. Parameters are views of
one buffer; those of two models are ``stride`` elements apart. All arithmetic is in float32.
Sums use a fixed order and no atomics, so that equal inputs give equal bits.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from loupe_lib.unet import LEAK

TILE = 2048  # elements of one tensor that a program holds at a time
WARPS = 8
FINISH_CHANNELS = 8  # channels per program that adds partial sums: few, so that many programs run
REPEAT = 8  # minimum number of tiles per program
PROGRAMS = 1024  # maximum number of programs for the rows of one model
BLOCK = 1024  # elements per program where nothing is summed
BETA1, BETA2 = 0.9, 0.999  # defaults of torch.optim.Adam
LEAKY = tl.constexpr(LEAK)
STATISTICS = tl.constexpr(4)  # number of sums that _statistics computes


@triton.jit
def leaky(v):
    return tl.where(v > 0, v, LEAKY * v)


@triton.jit
def store_statistics(partial, part, c, C, a, mask):
    """Store the sums of _statistics over one tile as the ``part``-th partial sums of channels c."""
    to = partial + part * STATISTICS * C + c
    tl.store(to, tl.sum(a, 0), mask=mask)
    tl.store(to + C, tl.sum(a * a, 0), mask=mask)
    tl.store(to + 2 * C, tl.sum(tl.where(a > 0, 1.0, 0.0), 0), mask=mask)
    tl.store(to + 3 * C, tl.sum(tl.maximum(a, 0.0), 0), mask=mask)


@triton.jit(do_not_specialize=["count"])
def _statistics(
    z, extra, bias, partial, stride, count, C,
    ADD: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Partial sums over some rows of a model, where a = leaky(z + bias); z is read once.

    The sums are those of a and a * a over all rows, and of 1 and a over rows with a > 0. With ADD,
    z is first replaced by z + extra.
    """
    k = tl.program_id(2)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.load(bias + k * stride + c)
    first = k.to(tl.int64) * count * C
    z += first
    if ADD:
        extra += first
    s0 = tl.zeros((ROWS, BC), tl.float32)
    s1 = tl.zeros((ROWS, BC), tl.float32)
    s2 = tl.zeros((ROWS, BC), tl.float32)
    s3 = tl.zeros((ROWS, BC), tl.float32)
    for start in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = start + tl.arange(0, ROWS)
        at = row[:, None] * C + c[None, :]
        inside = (row < count)[:, None]
        v = tl.load(z + at, mask=inside, other=0.0)
        if ADD:
            v = (v.to(tl.float32) + tl.load(extra + at, mask=inside, other=0.0)).to(v.dtype)
            tl.store(z + at, v, mask=inside)
        a = tl.where(inside, leaky(v.to(tl.float32) + b[None, :]), 0.0)
        s0 += a
        s1 += a * a
        s2 += tl.where(a > 0, 1.0, 0.0)
        s3 += tl.maximum(a, 0.0)
    to = partial + ((k * tl.num_programs(0) + tl.program_id(0)) * 4) * C + c
    tl.store(to, tl.sum(s0, 0))
    tl.store(to + C, tl.sum(s1, 0))
    tl.store(to + 2 * C, tl.sum(s2, 0))
    tl.store(to + 3 * C, tl.sum(s3, 0))


@triton.jit(do_not_specialize=["parts", "count"])
def _finish_statistics(
    partial, norm, running_mean, running_var, parts, count, momentum, eps, C,
    ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Add partial sums: compute norm (K, 4, C) and update the running statistics of BatchNorm2d.

    norm holds the mean of a, 1 / std, the number of rows with a > 0, and the sum over these rows of
    n = (a - mean) / std.
    """
    k = tl.program_id(1)
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    s0 = tl.zeros((ROWS, BC), tl.float32)
    s1 = tl.zeros((ROWS, BC), tl.float32)
    s2 = tl.zeros((ROWS, BC), tl.float32)
    s3 = tl.zeros((ROWS, BC), tl.float32)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        at = partial + ((k * parts + part)[:, None] * 4) * C + c[None, :]
        inside = (part < parts)[:, None]
        s0 += tl.load(at, mask=inside, other=0.0)
        s1 += tl.load(at + C, mask=inside, other=0.0)
        s2 += tl.load(at + 2 * C, mask=inside, other=0.0)
        s3 += tl.load(at + 3 * C, mask=inside, other=0.0)
    mean = tl.sum(s0, 0) / count
    var = tl.maximum(tl.sum(s1, 0) / count - mean * mean, 0.0)
    inverse = 1 / tl.sqrt(var + eps)
    positive = tl.sum(s2, 0)
    to = norm + (k * 4) * C + c
    tl.store(to, mean)
    tl.store(to + C, inverse)
    tl.store(to + 2 * C, positive)
    tl.store(to + 3 * C, (tl.sum(s3, 0) - mean * positive) * inverse)
    mean_at = running_mean + k * C + c
    var_at = running_var + k * C + c
    unbiased = var * (count / (count - 1.0))
    tl.store(mean_at, tl.load(mean_at) * (1 - momentum) + mean * momentum)
    tl.store(var_at, tl.load(var_at) * (1 - momentum) + unbiased * momentum)


@triton.jit(do_not_specialize=["count", "W"])
def _normalize(
    z, bias, gamma, beta, norm, y, pooled, stride, count, C, W,
    POOL: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Compute y = gamma * (leaky(z + bias) - mean) / std + beta; z is read once.

    With POOL a program processes squares of 2 x 2 pixels and also writes their averages.
    """
    k = tl.program_id(2)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.load(bias + k * stride + c)
    scale = tl.load(gamma + k * stride + c) * tl.load(norm + (k * 4 + 1) * C + c)
    shift = tl.load(beta + k * stride + c) - tl.load(norm + (k * 4) * C + c) * scale
    first = k.to(tl.int64) * count * C
    z += first
    y += first
    if POOL:
        pooled += first // 4
    squares = count // 4 if POOL else count
    for start in range(tl.program_id(0) * ROWS, squares, tl.num_programs(0) * ROWS):
        square = start + tl.arange(0, ROWS)
        inside = (square < squares)[:, None]
        average = tl.zeros((ROWS, BC), tl.float32)
        for corner in tl.static_range(4 if POOL else 1):
            row = square
            if POOL:
                half = W // 2
                row = (square // half * 2 + corner // 2) * W + square % half * 2 + corner % 2
            at = row[:, None] * C + c[None, :]
            a = leaky(tl.load(z + at, mask=inside).to(tl.float32) + b[None, :])
            v = a * scale[None, :] + shift[None, :]
            tl.store(y + at, v.to(y.dtype.element_ty), mask=inside)
            average += v
        if POOL:
            at = square[:, None] * C + c[None, :]
            tl.store(pooled + at, (average / 4).to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["count", "W"])
def _gradient_sums(
    z, dy, dpool, bias, partial, stride, count, C, W,
    POOL: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Partial sums over some rows of a model, where a = leaky(z + bias); z and dy are read once.

    The sums are those of dy and dy * a over all rows, and of dy over rows with a > 0. With POOL, a
    quarter of dpool, the gradient of the 2 x 2 average, is added to dy.
    """
    k = tl.program_id(2)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.load(bias + k * stride + c)[None, :]
    first = k.to(tl.int64) * count * C
    z += first
    dy += first
    if POOL:
        dpool += first // 4
    s0 = tl.zeros((ROWS, BC), tl.float32)
    s1 = tl.zeros((ROWS, BC), tl.float32)
    s2 = tl.zeros((ROWS, BC), tl.float32)
    for start in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < count)[:, None]
        at = row[:, None] * C + c[None, :]
        g = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
        if POOL:
            square = row // (2 * W) * (W // 2) + row % W // 2
            to = square[:, None] * C + c[None, :]
            g += tl.load(dpool + to, mask=inside, other=0.0).to(tl.float32) / 4
        a = leaky(tl.load(z + at, mask=inside, other=0.0).to(tl.float32) + b)
        s0 += g
        s1 += g * a
        s2 += tl.where(a > 0, g, 0.0)
    to = partial + ((k * tl.num_programs(0) + tl.program_id(0)) * 3) * C + c
    tl.store(to, tl.sum(s0, 0))
    tl.store(to + C, tl.sum(s1, 0))
    tl.store(to + 2 * C, tl.sum(s2, 0))


@triton.jit(do_not_specialize=["parts", "count"])
def _finish_gradient(
    partial, gamma, beta, norm, head, dbias, dgamma, dbeta, dhead, means, stride, parts, count, C,
    HEAD: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Add partial sums: compute the gradients of bias, gamma and beta, and means of dy and dy * n.

    With HEAD the sums are those of the gradient g of the output image: dy = g * head weight.
    """
    k = tl.program_id(1)
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    s0 = tl.zeros((ROWS, BC), tl.float32)
    s1 = tl.zeros((ROWS, BC), tl.float32)
    s2 = tl.zeros((ROWS, BC), tl.float32)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        at = partial + ((k * parts + part)[:, None] * 3) * C + c[None, :]
        inside = (part < parts)[:, None]
        s0 += tl.load(at, mask=inside, other=0.0)
        s1 += tl.load(at + C, mask=inside, other=0.0)
        s2 += tl.load(at + 2 * C, mask=inside, other=0.0)
    mean = tl.load(norm + (k * 4) * C + c)
    inverse = tl.load(norm + (k * 4 + 1) * C + c)
    dy = tl.sum(s0, 0)
    dy_n = (tl.sum(s1, 0) - mean * dy) * inverse
    positive_dy = tl.sum(s2, 0)
    at = k * stride + c
    weight = tl.load(gamma + at)
    if HEAD:
        tl.store(dhead + at, weight * dy_n + tl.load(beta + at) * dy)
        h = tl.load(head + at)
        dy *= h
        dy_n *= h
        positive_dy *= h
    tl.store(dbeta + at, dy)
    tl.store(dgamma + at, dy_n)
    tl.store(means + (k * 2) * C + c, dy / count)
    tl.store(means + (k * 2 + 1) * C + c, dy_n / count)
    # dbias is the sum of dz = leaky' * d over all rows, where the sum of d is 0, because batch norm
    # subtracts the mean. So leaky' may be replaced by leaky' - LEAKY, which is 0 where a <= 0.
    positive = tl.load(norm + (k * 4 + 2) * C + c)
    positive_n = tl.load(norm + (k * 4 + 3) * C + c)
    rest = positive_dy - dy / count * positive - dy_n / count * positive_n
    tl.store(dbias + at, weight * (1 - LEAKY) * inverse * rest)


@triton.jit(do_not_specialize=["count", "W"])
def _input_gradient(
    z, dy, dpool, head, bias, gamma, norm, means, dz, stride, count, C, W,
    POOL: tl.constexpr, HEAD: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Compute dz = leaky' * gamma / std * (dy - mean(dy) - n * mean(dy * n)) of each row.

    z and dy are read once; dz may be z. With HEAD, ``dy`` holds the gradient g of the output image,
    one number per row, and dy = g * head weight.
    """
    k = tl.program_id(2)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.load(bias + k * stride + c)[None, :]
    mean = tl.load(norm + (k * 4) * C + c)[None, :]
    inverse = tl.load(norm + (k * 4 + 1) * C + c)[None, :]
    scale = tl.load(gamma + k * stride + c)[None, :] * inverse
    mean_dy = tl.load(means + (k * 2) * C + c)[None, :]
    mean_dy_n = tl.load(means + (k * 2 + 1) * C + c)[None, :]
    first = k.to(tl.int64) * count * C
    z += first
    dz += first
    dy += k.to(tl.int64) * count if HEAD else first
    if POOL:
        dpool += first // 4
    for start in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < count)[:, None]
        at = row[:, None] * C + c[None, :]
        if HEAD:
            h = tl.load(head + k * stride + c)[None, :]
            image = tl.load(dy + row, mask=row < count, other=0.0)
            g = image[:, None] * h
        else:
            g = tl.load(dy + at, mask=inside).to(tl.float32)
        if POOL:
            square = row // (2 * W) * (W // 2) + row % W // 2
            to = square[:, None] * C + c[None, :]
            g += tl.load(dpool + to, mask=inside).to(tl.float32) / 4
        v = tl.load(z + at, mask=inside).to(tl.float32) + b
        n = (leaky(v) - mean) * inverse
        g = scale * (g - mean_dy - n * mean_dy_n)
        tl.store(dz + at, tl.where(v > 0, g, LEAKY * g).to(dz.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["batch", "pixels"])
def _head(
    z, zero_filled, images, indices, bias, gamma, beta, norm, head, head_bias,
    output, partial, loss, stride, batch, pixels, C,
    EVALUATE: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Compute x_hat = |zero-filled| + head(normalize(z)), the L1 loss and its gradient.

    output is sign(x_hat - x) / (batch * pixels), the gradient of the loss with respect to x_hat;
    partial holds the sums of :func:`_gradient_sums` for dy = output. With EVALUATE, output is
    x_hat and nothing else is computed. A program processes some rows of one image, each once.
    """
    image = tl.program_id(1)
    k = image // batch
    c = tl.arange(0, BC)
    real = c < C
    at = k * stride + c
    b = tl.load(bias + at, mask=real, other=0.0)[None, :]
    mean = tl.load(norm + (k * 4) * C + c, mask=real, other=0.0)
    inverse = tl.load(norm + (k * 4 + 1) * C + c, mask=real, other=0.0)
    h = tl.load(head + at, mask=real, other=0.0)
    scale = tl.load(gamma + at, mask=real, other=0.0) * inverse
    shift = tl.load(beta + at, mask=real, other=0.0) - mean * scale
    constant = tl.sum(h * shift, 0) + tl.load(head_bias + k * stride)
    weight = (h * scale)[None, :]
    s0 = tl.zeros((ROWS,), tl.float32)
    s1 = tl.zeros((ROWS, BC), tl.float32)
    s2 = tl.zeros((ROWS, BC), tl.float32)
    distance = tl.zeros((ROWS,), tl.float32)
    first = image.to(tl.int64) * pixels
    z += first * C
    zero_filled += first * 2
    output += first
    if not EVALUATE:
        images += tl.load(indices + image) * pixels
    for start in range(tl.program_id(0) * ROWS, pixels, tl.num_programs(0) * ROWS):
        row = start + tl.arange(0, ROWS)
        rows = row < pixels
        inside = rows[:, None] & real[None, :]
        v = tl.load(z + row[:, None] * C + c[None, :], mask=inside, other=0.0)
        a = leaky(v.to(tl.float32) + b)
        re = tl.load(zero_filled + row * 2, mask=rows, other=0.0)
        im = tl.load(zero_filled + row * 2 + 1, mask=rows, other=0.0)
        estimate = tl.sqrt(re * re + im * im) + tl.sum(a * weight, 1) + constant
        if EVALUATE:
            tl.store(output + row, estimate, mask=rows)
        else:
            d = tl.where(rows, estimate - tl.load(images + row, mask=rows, other=0.0), 0.0)
            g = tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, 0.0)) / (batch * pixels)
            tl.store(output + row, g, mask=rows)
            distance += tl.abs(d)
            s0 += g
            s1 += g[:, None] * a
            s2 += tl.where(a > 0, g[:, None], 0.0)
    if not EVALUATE:
        part = image * tl.num_programs(0) + tl.program_id(0)
        tl.store(loss + part, tl.sum(distance, 0))
        to = partial + (part * 3) * C + c
        tl.store(to, tl.zeros((BC,), tl.float32) + tl.sum(s0, 0), mask=real)
        tl.store(to + C, tl.sum(s1, 0), mask=real)
        tl.store(to + 2 * C, tl.sum(s2, 0), mask=real)


@triton.jit
def _encode(p, u, slopes, kspace, indices, y, B, N, BLOCK: tl.constexpr):
    """Compute y = ifftshift(sigmoid(s (P - U))) * F(x), with complex numbers as pairs of floats."""
    image = tl.program_id(1).to(tl.int64)
    k = image // B
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < N * N
    centred = (at // N + N // 2) % N * N + (at % N + N // 2) % N
    s = tl.load(slopes + k)
    probability = tl.load(p + k * N * N + centred, mask=inside)
    m = tl.sigmoid(s * (probability - tl.load(u + image * N * N + centred, mask=inside)))
    source = kspace + (tl.load(indices + image) * N * N + at) * 2
    to = y + (image * N * N + at) * 2
    tl.store(to, m * tl.load(source, mask=inside), mask=inside)
    tl.store(to + 1, m * tl.load(source + 1, mask=inside), mask=inside)


@triton.jit
def _encode_gradient(p, u, slopes, kspace, indices, dy, dp, B, N, BLOCK: tl.constexpr):
    """Compute dP, the sum over the images of a model of s M (1 - M) Re(conj(F(x)) dy)."""
    k = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < N * N
    centred = (at // N + N // 2) % N * N + (at % N + N // 2) % N
    s = tl.load(slopes + k)
    probability = tl.load(p + k * N * N + centred, mask=inside)
    total = tl.zeros((BLOCK,), tl.float32)
    for b in range(B):
        image = k * B + b
        m = tl.sigmoid(s * (probability - tl.load(u + image * N * N + centred, mask=inside)))
        source = kspace + (tl.load(indices + image) * N * N + at) * 2
        g = dy + (image * N * N + at) * 2
        dm = tl.load(source, mask=inside) * tl.load(g, mask=inside)
        dm += tl.load(source + 1, mask=inside) * tl.load(g + 1, mask=inside)
        total += s * m * (1 - m) * dm
    tl.store(dp + k * N * N + centred, total, mask=inside)


@triton.jit
def _adam(
    parameter, gradient, average, square, rates, corrections, size, beta1, beta2, eps,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of Adam on all parameters of all models; corrections are 1 - beta^steps, (K, 2)."""
    k = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    at = k.to(tl.int64) * size + i
    g = tl.load(gradient + at, mask=inside)
    m = tl.load(average + at, mask=inside)
    m += (1 - beta1) * (g - m)
    v = beta2 * tl.load(square + at, mask=inside) + (1 - beta2) * g * g
    rate = tl.load(rates + k) / tl.load(corrections + 2 * k)
    root = tl.sqrt(v) / tl.sqrt(tl.load(corrections + 2 * k + 1)) + eps
    p = tl.load(parameter + at, mask=inside) - rate * m / root
    tl.store(parameter + at, p, mask=inside)
    tl.store(average + at, m, mask=inside)
    tl.store(square + at, v, mask=inside)


_compiling = False


@contextmanager
def compiling() -> Iterator[None]:
    """Make :func:`launch` compile kernels, many in parallel, instead of running them."""
    global _compiling
    try:
        from triton.runtime._async_compile import AsyncCompileMode
    except ImportError:  # Triton before 3.5 compiles each kernel when it first runs
        yield
        return
    with ThreadPoolExecutor() as pool, AsyncCompileMode(pool):
        _compiling = True
        try:
            yield
        finally:
            _compiling = False


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, **options: Any) -> None:
    """Run a kernel on a grid of programs, or compile it: see :func:`compiling`."""
    if _compiling:
        kernel.warmup(*args, grid=grid, **options)
    else:
        kernel[grid](*args, **options)


def statistics(z: Tensor, bias: Tensor, extra: Tensor | None = None) -> Tensor:
    """Partial sums for batch norm, (K, parts, STATISTICS, C): see _statistics.

    z holds (K B, H, W, C) convolutions; if extra is given, z is replaced by z + extra.
    """
    models, channels = bias.shape
    count = z.shape[:3].numel() // models
    rows, block, grid = row_grid(models, count, channels)
    partial = bias.new_empty(models, grid[0], STATISTICS, channels)
    launch(
        _statistics, grid,
        z, extra, bias, partial, bias.stride(0), count, channels,
        ADD=extra is not None, ROWS=rows, BC=block, num_warps=WARPS,
    )  # fmt: skip
    return partial


def channel_block(channels: int, most: int = 64) -> int:
    """Channels per program: the largest power of two, at most ``most``, that divides them."""
    return min(most, channels & -channels)


def head_blocks(channels: int) -> tuple[int, int]:
    """Rows per tile of _head, and the smallest power of two not below the number of channels."""
    block = triton.next_power_of_2(channels)
    return max(1, TILE // block), block


def row_programs(count: int, rows: int) -> int:
    """Number of programs for ``count`` rows of one model, in tiles of ``rows``.

    It does not depend on the number of models, because it determines how sums are rounded.
    """
    return max(1, min(PROGRAMS, count // (rows * REPEAT)))


def row_grid(models: int, count: int, channels: int) -> tuple[int, int, tuple[int, ...]]:
    """Rows and channels per tile, and the grid of programs."""
    block = channel_block(channels)
    rows = TILE // block
    return rows, block, (row_programs(count, rows), channels // block, models)


def encode(p: Tensor, u: Tensor, slopes: Tensor, kspace: Tensor, indices: Tensor) -> Tensor:
    """Undersample images, each with its own relaxed mask (eqs. 1 and 6): (K, B, N, N) complex64.

    Args:
        p: (K, N, N) probabilities, centred.
        u: (K, B, N, N) uniform random numbers, centred.
        slopes: (K,).
        kspace: (n, N, N) complex64 Fourier transforms of the images, in FFT order.
        indices: (K, B) int64 indices into kspace.
    """
    y = torch.empty(u.shape, dtype=torch.complex64, device=u.device)
    _, batch, size, _ = u.shape
    grid = (triton.cdiv(size * size, BLOCK), indices.numel())
    data, out = torch.view_as_real(kspace), torch.view_as_real(y)
    launch(_encode, grid, p, u, slopes, data, indices, out, batch, size, BLOCK=BLOCK)
    return y


def encode_gradient(
    p: Tensor, u: Tensor, slopes: Tensor, kspace: Tensor, indices: Tensor, dy: Tensor
) -> Tensor:
    """Gradient with respect to p, (K, N, N), from dy, that with respect to :func:`encode`'s y."""
    dp = torch.empty_like(p)
    _, batch, size, _ = u.shape
    grid = (triton.cdiv(size * size, BLOCK), len(p))
    data, dy = torch.view_as_real(kspace), torch.view_as_real(dy)
    launch(_encode_gradient, grid, p, u, slopes, data, indices, dy, dp, batch, size, BLOCK=BLOCK)
    return dp


def adam(
    parameter: Tensor,
    gradient: Tensor,
    average: Tensor,
    square: Tensor,
    rates: Tensor,
    steps: Tensor,
    eps: float,
) -> None:
    """One step of Adam on K models, in place, with torch's decay rates of the moments.

    The tensors are float32: (K, size) parameters, gradients and moments, (K,) learning rates, and
    (K,) numbers of steps, this one included.
    """
    models, size = parameter.shape
    corrections = torch.stack([1 - b ** steps.double() for b in (BETA1, BETA2)], 1).float()
    launch(
        _adam, (triton.cdiv(size, BLOCK), models),
        parameter, gradient, average, square, rates, corrections, size, BETA1, BETA2, eps,
        BLOCK=BLOCK,
    )  # fmt: skip
