"""Forward and backward pass of K U-Nets and the loss, without autograd.

The network is :class:`loupe_lib.unet.UNet`. Its hand-written backward pass needs fewer passes over
memory than autograd. The gradient of a convolution's output overwrites that output.
"""

import torch
from torch import Tensor, nn

from loupe_lib.cuda import kernels
from loupe_lib.cuda.convolutions import Convolutions, CudnnConvolutions, PackedConvolutions
from loupe_lib.cuda.kernels import launch
from loupe_lib.cuda.memory import PackedModels
from loupe_lib.cuda.upsampling import spread
from loupe_lib.unet import LEVELS


class Layer:
    """A convolution, LeakyReLU and batch norm of K models.

    Args:
        packed: the models.
        half: their parameters in the precision of the activations, by name.
        block: name of a pair of layers, such as ``decoder.unet.down.0``.
        index: 0 or 1, the layer of this pair.
        convolutions: the implementation of convolutions.
    """

    def __init__(
        self, packed: PackedModels, half: dict[str, Tensor],
        block: str, index: int, convolutions: Convolutions,
    ) -> None:  # fmt: skip
        convolution, norm = f"{block}.{3 * index}", f"{block}.{3 * index + 2}"
        self.convolutions = convolutions
        self.stride = packed.parameter.shape[1]  # elements between two models
        self.weight = packed.values[f"{convolution}.weight"]
        self.half = half[f"{convolution}.weight"]
        self.dweight = packed.gradients[f"{convolution}.weight"]
        self.bias = packed.values[f"{convolution}.bias"]
        self.dbias = packed.gradients[f"{convolution}.bias"]
        self.gamma = packed.values[f"{norm}.weight"]
        self.dgamma = packed.gradients[f"{norm}.weight"]
        self.beta = packed.values[f"{norm}.bias"]
        self.dbeta = packed.gradients[f"{norm}.bias"]
        self.running_mean = packed.buffers[f"{norm}.running_mean"]
        self.running_var = packed.buffers[f"{norm}.running_var"]
        self.models, self.channels = self.gamma.shape
        module = packed.models[0].get_submodule(norm)
        assert isinstance(module, nn.BatchNorm2d)
        self.eps, self.momentum = module.eps, module.momentum

    def convolve(self, x: Tensor, training: bool) -> None:
        """Convolve (K B, H, W, in); keep the result and its statistics for :meth:`normalize`."""
        self.training = training
        if training:
            self.x = x
        bias = self.bias if training else None
        self.z, sums = self.convolutions.forward(x, self.half, bias)
        self.norm = self._finish_statistics(sums)

    def convolve_up(self, skip: Tensor, low: Tensor, training: bool) -> None:
        """Convolve the concatenation of skip and upsampled low instead."""
        self.training = training
        w4 = spread(self.weight[..., skip.shape[3] :]).to(skip.dtype)
        if training:
            self.skip, self.low, self.w4 = skip, low, w4
        bias = self.bias if training else None
        self.z, sums = self.convolutions.up_forward(skip, low, self.half, w4, bias)
        self.norm = self._finish_statistics(sums)

    def _finish_statistics(self, sums: Tensor | None) -> Tensor:
        """(K, 4, C): mean, 1/std and more of each channel: see kernels._finish_statistics."""
        norm = self.bias.new_zeros(self.models, 4, self.channels)
        if sums is None:  # inference
            norm[:, 0] = self.running_mean
            norm[:, 1] = (self.running_var + self.eps).rsqrt()
            return norm
        if sums.shape[1] > 4096 and sums.shape[1] % 32 == 0:  # the kernel has few programs
            sums = sums.unflatten(1, (-1, 32)).sum(2)
        rows, block, grid = self._finish_grid()
        launch(
            kernels._finish_statistics, grid,
            sums, norm, self.running_mean, self.running_var, sums.shape[1], self.count,
            self.momentum, self.eps, self.channels, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return norm

    def _finish_grid(self) -> tuple[int, int, tuple[int, ...]]:
        """Rows and channels per tile, and the grid, of the kernels that add partial sums."""
        block = kernels.channel_block(self.channels, kernels.FINISH_CHANNELS)
        return kernels.TILE // block, block, (self.channels // block, self.models)

    @property
    def count(self) -> int:
        """Number of pixels of one model, B * H * W."""
        return self.z.shape[:3].numel() // self.models

    def _row_grid(self) -> tuple[int, int, tuple[int, ...]]:
        return kernels.row_grid(self.models, self.count, self.channels)

    def normalize(self, pool: bool = False) -> tuple[Tensor, Tensor | None]:
        """Output of LeakyReLU and batch norm, (K B, H, W, C); with pool also its 2 x 2 averages."""
        rows, block, grid = self._row_grid()
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
        """Gradient of the convolution's output, given those of :meth:`normalize`'s results."""
        rows, block, grid = self._row_grid()
        partial = self.bias.new_empty(self.models, grid[0], 3, self.channels)
        launch(
            kernels._gradient_sums, grid,
            self.z, dy, dpool, self.bias, partial, self.stride, self.count, self.channels,
            self.z.shape[2],
            POOL=dpool is not None, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return self.finish_backward(dy, dpool, partial)

    def finish_backward(
        self, dy: Tensor, dpool: Tensor | None, partial: Tensor,
        head: Tensor | None = None, dhead: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The same, given the partial sums; with a head, dy is the gradient of the output image."""
        means = self.bias.new_empty(self.models, 2, self.channels)
        rows, block, grid = self._finish_grid()
        launch(
            kernels._finish_gradient, grid,
            partial, self.gamma, self.beta, self.norm, head, self.dbias, self.dgamma, self.dbeta,
            dhead, means, self.stride, partial.shape[1], self.count, self.channels,
            HEAD=head is not None, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        rows, block, grid = self._row_grid()
        launch(
            kernels._input_gradient, grid,
            self.z, dy, dpool, head, self.bias, self.gamma, self.norm, means, self.z,
            self.stride, self.count, self.channels, self.z.shape[2],
            POOL=dpool is not None, HEAD=head is not None, ROWS=rows, BC=block,
            num_warps=kernels.WARPS,
        )  # fmt: skip
        return self.z

    def convolve_backward(self, dz: Tensor) -> Tensor:
        """Return the gradient of :meth:`convolve`'s input; write that of the weights."""
        dx = self.convolutions.backward(self.x, dz, self.half, self.dweight)
        del self.x, self.z
        return dx

    def convolve_up_backward(self, dz: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of :meth:`convolve_up`'s inputs; write that of the weights."""
        both = self.convolutions.up_backward(
            self.skip, self.low, dz, self.half, self.dweight, self.w4
        )
        del self.skip, self.low, self.z, self.w4
        return both


class Network:
    """The decoders of K models.

    Args:
        packed: the models.
        half: their parameters in the precision of the activations, by name.
    """

    def __init__(self, packed: PackedModels, half: dict[str, Tensor]) -> None:
        self.models = len(packed.models)
        triton_convolutions = PackedConvolutions(self.models)
        default: Convolutions = CudnnConvolutions() if self.models == 1 else triton_convolutions

        def pair(name: str, level: int, first: Convolutions = default) -> tuple[Layer, Layer]:
            block = f"decoder.unet.{name}.{level}"
            return Layer(packed, half, block, 0, first), Layer(packed, half, block, 1, default)

        # The first layer reads float32 (real, imaginary) and writes bfloat16; cuDNN cannot.
        self.down = [pair("down", 0, triton_convolutions)]
        self.down += [pair("down", level) for level in range(1, LEVELS)]
        self.up = [pair("up", level) for level in range(LEVELS - 1)]
        weight, bias = "decoder.unet.head.weight", "decoder.unet.head.bias"
        self.head, self.head_bias = packed.values[weight], packed.values[bias]
        self.dhead, self.dhead_bias = packed.gradients[weight], packed.gradients[bias]

    def forward(self, z: Tensor, training: bool) -> Layer:
        """(K B, N, N, 2) float32 -> the last layer, which has convolved but not normalized."""
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
        """Gradient of the last convolution's output -> that of the (K B, N, N, 2) input."""
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
        """L1 loss of ``|z| + D(z)`` and its gradients; those of the parameters are written.

        Args:
            z: (K, B, N, N) complex64 zero-filled images.
            images: (n, N, N) float32 target images.
            indices: (K, B) int64 indices of the target images.

        Returns:
            (K,) losses, and (K, B, N, N) complex64, the gradient with respect to z.
        """
        channels = torch.view_as_real(z).flatten(0, 1)  # (K B, N, N, 2)
        last = self.forward(channels, training=True)
        sign, partial, sums = self._head(last, channels, images, indices)
        loss = sums.sum(1) / last.count
        self.dhead_bias.copy_(sign.flatten(1).sum(1, keepdim=True))
        dz = last.finish_backward(sign, None, partial, self.head, self.dhead)
        gradient = torch.view_as_complex(self.backward(dz)).view_as(z)
        return loss, gradient + sign.view(z.shape) * torch.sgn(z)

    def infer(self, z: Tensor) -> Tensor:
        """Compute ``|z| + D(z)`` with running statistics: (K, n, N, N) complex64 -> float32."""
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
        programs = kernels.row_programs(pixels, rows)
        partial = last.bias.new_empty(self.models, batch * programs, 3, last.channels)
        loss = last.bias.new_empty(self.models, batch * programs)
        output = last.bias.new_empty(self.models, last.count)
        launch(
            kernels._head, (programs, len(channels)),
            last.z, channels, images, indices, last.bias, last.gamma, last.beta, last.norm,
            self.head, self.head_bias, output, partial, loss,
            last.stride, batch, pixels, last.channels,
            EVALUATE=evaluate, ROWS=rows, BC=block, num_warps=kernels.WARPS,
        )  # fmt: skip
        return output, partial, loss
