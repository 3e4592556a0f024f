"""Forward and backward pass of K U-Nets side by side, and the loss, written out by hand.

The network is :class:`loupe_lib.unet.UNet`; what autograd would do is done here in fewer passes
over memory. The backward pass writes the gradient of a convolution's output over that output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from loupe_lib.cuda import kernels
from loupe_lib.cuda.convolutions import Convolutions, CudnnConvolutions, PackedConvolutions
from loupe_lib.cuda.kernels import launch
from loupe_lib.cuda.upsampling import spread
from loupe_lib.unet import LEVELS

EPS, MOMENTUM = 1e-5, 0.1  # of torch's BatchNorm2d


@dataclass(frozen=True)
class Store:
    """Parameters of K models by the names of :class:`loupe_lib.Loupe`, a row of memory a model.

    Convolution weights are (K, out, height, width, in), others (K, *shape).
    """

    value: Mapping[str, Tensor]  # float32
    gradient: Mapping[str, Tensor]  # float32
    half: Mapping[str, Tensor]  # in the precision of the activations
    statistics: Mapping[str, Tensor]  # running mean and variance of batch norms, (K, C)
    stride: int  # elements between two models, of value and gradient


class Layer:
    """LeakyReLU and batch norm of K models, with the convolution whose output they take.

    Args:
        store: parameters.
        block: name of the pair of convolutions, such as ``decoder.unet.down.0``.
        index: 0 or 1, which of the pair.
        convolutions: what does the convolution.
    """

    def __init__(
        self,
        store: Store,
        block: str,
        index: int,
        convolutions: Convolutions,
    ) -> None:
        convolution, norm = f"{block}.{3 * index}", f"{block}.{3 * index + 2}"
        self.convolutions = convolutions
        self.stride = store.stride
        self.weight = store.value[f"{convolution}.weight"]
        self.half = store.half[f"{convolution}.weight"]
        self.dweight = store.gradient[f"{convolution}.weight"]
        self.bias = store.value[f"{convolution}.bias"]
        self.dbias = store.gradient[f"{convolution}.bias"]
        self.gamma = store.value[f"{norm}.weight"]
        self.dgamma = store.gradient[f"{norm}.weight"]
        self.beta = store.value[f"{norm}.bias"]
        self.dbeta = store.gradient[f"{norm}.bias"]
        self.running_mean = store.statistics[f"{norm}.running_mean"]
        self.running_var = store.statistics[f"{norm}.running_var"]
        self.models, self.channels = self.gamma.shape

    def convolve(self, x: Tensor, training: bool) -> None:
        """Take (K B, H, W, in); keep the convolution and its statistics for what follows."""
        self.training = training
        if training:
            self.x = x
        bias = self.bias if training else None
        self.z, sums = self.convolutions.forward(x, self.half, bias)
        self.norm = self._measure(sums)

    def convolve_up(self, skip: Tensor, low: Tensor, training: bool) -> None:
        """The same of skip and upsampled low, concatenated."""
        self.training = training
        w4 = spread(self.weight[..., skip.shape[3] :]).to(skip.dtype)
        if training:
            self.skip, self.low, self.w4 = skip, low, w4
        bias = self.bias if training else None
        self.z, sums = self.convolutions.up_forward(skip, low, self.half, w4, bias)
        self.norm = self._measure(sums)

    def _measure(self, sums: Tensor | None) -> Tensor:
        """(K, 4, C): mean, 1/std and more of each channel (see _finish_statistics)."""
        norm = self.bias.new_zeros(self.models, 4, self.channels)
        if sums is None:  # inference
            norm[:, 0] = self.running_mean
            norm[:, 1] = (self.running_var + EPS).rsqrt()
            return norm
        if sums.shape[1] > 4096 and sums.shape[1] % 32 == 0:  # few programs would read them all
            sums = sums.unflatten(1, (-1, 32)).sum(2)
        rows, block, grid = self._finish()
        launch(
            kernels._finish_statistics, grid,
            sums, norm, self.running_mean, self.running_var, sums.shape[1], self.count,
            MOMENTUM, EPS, self.channels, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return norm

    def _finish(self) -> tuple[int, int, tuple[int, ...]]:
        """Rows, channel block and grid of the kernels that add up partial sums."""
        block = kernels.channel_block(self.channels, kernels.FINISH_CHANNELS)
        return kernels.TILE // block, block, (self.channels // block, self.models)

    @property
    def count(self) -> int:
        """Pixels of one model: B H W."""
        return self.z.shape[:3].numel() // self.models

    def _rows(self) -> tuple[int, int, tuple[int, ...]]:
        return kernels.row_grid(self.models, self.count, self.channels)

    def normalize(self, pool: bool = False) -> tuple[Tensor, Tensor | None]:
        """LeakyReLU and batch norm: (K B, H, W, C), and with ``pool`` its 2 x 2 averages."""
        rows, block, grid = self._rows()
        n, h, w, c = self.z.shape
        y = torch.empty_like(self.z)
        pooled = self.z.new_empty(n, h // 2, w // 2, c) if pool else None
        launch(
            kernels._normalize, grid,
            self.z, self.bias, self.gamma, self.beta, self.norm, y, pooled,
            self.stride, self.count, c, w, POOL=pool, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        if not self.training:
            del self.z
        return y, pooled

    def normalize_backward(self, dy: Tensor, dpool: Tensor | None = None) -> Tensor:
        """Gradient of the convolution's output from that of :meth:`normalize`'s."""
        rows, block, grid = self._rows()
        partial = self.bias.new_empty(self.models, grid[0], 3, self.channels)
        launch(
            kernels._gradient_sums, grid,
            self.z, dy, dpool, self.bias, partial, self.stride, self.count, self.channels,
            self.z.shape[2],
            POOL=dpool is not None, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return self.finish_backward(dy, dpool, partial, None, None)

    def finish_backward(
        self,
        dy: Tensor,
        dpool: Tensor | None,
        partial: Tensor,
        head: Tensor | None,
        dhead: Tensor | None,
    ) -> Tensor:
        """The same once the sums over rows are known; dy may be an image's (see _head)."""
        means = self.bias.new_empty(self.models, 2, self.channels)
        rows, block, grid = self._finish()
        launch(
            kernels._finish_gradient, grid,
            partial, self.gamma, self.beta, self.norm, head, self.dbias, self.dgamma, self.dbeta,
            dhead, means, self.stride, partial.shape[1], self.count, self.channels,
            HEAD=head is not None, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        rows, block, grid = self._rows()
        launch(
            kernels._input_gradient, grid,
            self.z, dy, dpool, head, self.bias, self.gamma, self.norm, means, self.z,
            self.stride, self.count, self.channels, self.z.shape[2],
            POOL=dpool is not None, HEAD=head is not None, ROWS=rows, BC=block,
            num_warps=kernels.WARPS,
        )  # fmt: skip
        return self.z

    def convolve_backward(self, dz: Tensor) -> Tensor:
        """Gradient of :meth:`convolve`'s input; fills that of the weights."""
        dx = self.convolutions.backward(self.x, dz, self.half, self.dweight)
        del self.x, self.z
        return dx

    def convolve_up_backward(self, dz: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of :meth:`convolve_up`'s inputs; fills that of the weights."""
        both = self.convolutions.up_backward(
            self.skip, self.low, dz, self.half, self.dweight, self.w4
        )
        del self.skip, self.low, self.z, self.w4
        return both


class Network:
    """The decoders of K models.

    Args:
        store: their parameters.
        models: K.
    """

    def __init__(self, store: Store, models: int) -> None:
        packed = PackedConvolutions(models)
        many: Convolutions = CudnnConvolutions() if models == 1 else packed

        def pair(name: str, level: int, first: Convolutions = many) -> tuple[Layer, Layer]:
            block = f"decoder.unet.{name}.{level}"
            return Layer(store, block, 0, first), Layer(store, block, 1, many)

        self.store, self.models = store, models
        # The first layer's input is complex float32, two channels: not for cuDNN.
        self.down = [pair("down", level, packed if level == 0 else many) for level in range(LEVELS)]
        self.up = [pair("up", level) for level in range(LEVELS - 1)]

    def forward(self, z: Tensor, training: bool) -> Layer:
        """(K B, N, N, 2) float32 -> the last layer, before its normalization."""
        x, skips = z, []
        for level, (first, second) in enumerate(self.down):
            first.convolve(x, training)
            second.convolve(first.normalize()[0], training)
            bottom = level == LEVELS - 1
            y, pooled = second.normalize(pool=not bottom)
            skips.append(y)
            x = y if pooled is None else pooled
        low = skips.pop()
        for first, second in self.up:
            first.convolve_up(skips.pop(), low, training)
            second.convolve(first.normalize()[0], training)
            if second is not self.up[-1][1]:
                low = second.normalize()[0]
        return second

    def backward(self, dz: Tensor) -> Tensor:
        """Gradient of the last layer's convolution -> that of (K B, N, N, 2) float32."""
        dskips = []
        lower = [second for _, second in [self.down[-1], *self.up[:-1]]]
        for (first, second), below in zip(reversed(self.up), reversed(lower), strict=True):
            dz = first.normalize_backward(second.convolve_backward(dz))
            dskip, dlow = first.convolve_up_backward(dz)
            dskips.append(dskip)
            dz = below.normalize_backward(dlow)
        for level in reversed(range(LEVELS)):
            first, second = self.down[level]
            dz = first.normalize_backward(second.convolve_backward(dz))
            dx = first.convolve_backward(dz)
            if level > 0:
                dz = self.down[level - 1][1].normalize_backward(dskips.pop(), dx)
        return dx

    def loss_and_gradient(
        self, z: Tensor, images: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both passes of ``|z| + D(z)`` and its L1 distance to images.

        Args:
            z: (K, B, N, N) complex64, the zero-filled images.
            images: (n, N, N) float32.
            indices: (K, B) int64, the image that each z is of.

        Returns:
            (K,) mean distances, and (K, B, N, N) complex64, the gradient by z.
        """
        channels = torch.view_as_real(z).flatten(0, 1)  # (K B, N, N, 2)
        last = self.forward(channels, training=True)
        sign, partial, sums = self._head(last, channels, images, indices)
        loss = sums.sum(1) / last.count
        head = "decoder.unet.head"
        self.store.gradient[f"{head}.bias"].copy_(sign.flatten(1).sum(1, keepdim=True))
        dz = last.finish_backward(
            sign, None, partial,
            self.store.value[f"{head}.weight"], self.store.gradient[f"{head}.weight"],
        )  # fmt: skip
        gradient = torch.view_as_complex(self.backward(dz)).view_as(z)
        return loss, gradient + sign.view(z.shape) * torch.sgn(z)

    def infer(self, z: Tensor) -> Tensor:
        """``|z| + D(z)`` with the running statistics: (K, n, N, N) complex64 -> float32."""
        channels = torch.view_as_real(z).flatten(0, 1)
        last = self.forward(channels, training=False)
        output, _, _ = self._head(last, channels, None, None)
        del last.z
        return output.view(z.shape)

    def _head(
        self, last: Layer, channels: Tensor, images: Tensor | None, indices: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        evaluate = images is None
        batch, pixels = len(channels) // self.models, channels.shape[1] ** 2
        rows, block = kernels.head_blocks(last.channels)
        shares = kernels.share(pixels, rows)
        partial = last.bias.new_empty(self.models, batch * shares, 3, last.channels)
        loss = last.bias.new_empty(self.models, batch * shares)
        output = last.bias.new_empty(self.models, last.count)
        head = "decoder.unet.head"
        launch(
            kernels._head, (shares, len(channels)),
            last.z, channels, images, indices, last.bias, last.gamma, last.beta, last.norm,
            self.store.value[f"{head}.weight"], self.store.value[f"{head}.bias"],
            output, partial, loss, last.stride, batch, pixels, last.channels,
            EVALUATE=evaluate, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return output, partial, loss
