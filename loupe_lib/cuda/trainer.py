"""The training step for NVIDIA GPUs: K models of one shape are trained as one network.

It computes the same as the reference, :class:`loupe_lib.training.trainer.PlainTrainer`, with
activations and convolutions in bfloat16. Weights are cast to bfloat16 once per step. Parameters,
Adam, masks, Fourier transforms, statistics and loss stay in float32. A whole step is one CUDA
graph: the CPU only launches the random number generators and this graph.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from loupe_lib.cuda import kernels
from loupe_lib.cuda.encoders import TorchEncoder, draw_shape
from loupe_lib.cuda.fused_encoder import FusedEncoder
from loupe_lib.cuda.memory import PackedModels
from loupe_lib.cuda.network import Network
from loupe_lib.loupe import Loupe
from loupe_lib.mask import ProbabilityMask
from loupe_lib.metrics import target
from loupe_lib.training.trainer import ADAM_EPS

EVALUATION_BATCH = 16
# cuDNN chooses deterministic algorithms, the same each time: without benchmarks.
deterministic_cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


class CudaTrainer(PackedModels):
    """A :class:`~loupe_lib.training.trainer.Trainer` on a GPU, in bfloat16 (Ampere, 2020, on).

    The same models trained together give the same bits again on one kind of GPU, because all sums
    use a fixed order. The results of a model depend by rounding on which models train with it.

    Args:
        models: models of one size and width on the current CUDA device, each with its encoder's
            generator set; their tensors become views, see :class:`PackedModels`.
        images: (n, N, N) float32 or complex64 training images on that device.
        learning_rates: one per model.
        precision: data type of activations and convolutions.
        eps: Adam's.
    """

    def __init__(
        self,
        models: Sequence[Loupe],
        images: Tensor,
        learning_rates: Sequence[float],
        precision: torch.dtype = torch.bfloat16,
        *,
        eps: float = ADAM_EPS,
    ) -> None:
        super().__init__(models, learning_rates)
        self.eps = eps
        self.targets = target(images).contiguous()
        self.kspace = torch.cat(
            [torch.fft.fft2(x, norm="ortho") for x in images.split(EVALUATION_BATCH)]
        )
        self._some = images[:EVALUATION_BATCH].clone()  # used to compile the kernels
        self.half = torch.zeros_like(self.parameter, dtype=precision)
        self.network = Network(self, self.cut(self.half))
        masks = [model.mask for model in self.models]
        # The paper's masks have their own kernels; others use autograd.
        fused = all(type(mask) is ProbabilityMask and not mask.lines for mask in masks)
        self.encoder = (FusedEncoder if fused else TorchEncoder)(self.kspace)
        self._indices: Tensor
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, indices: Tensor) -> Tensor:
        """One Adam step of every model: see :class:`loupe_lib.training.trainer.Trainer`."""
        if self._graph is None or self._indices.shape != indices.shape:
            # The kernels read contiguous indices.
            self._indices = indices.clone(memory_format=torch.contiguous_format)
            self._u = self.targets.new_zeros(*indices.shape, *draw_shape(self.models[0].mask))
            self._graph = self._record()
        self._indices.copy_(indices)
        for model, u in zip(self.models, self._u.unbind(), strict=True):
            torch.rand(u.shape, generator=model.encoder.generator, out=u)
        self._graph.replay()
        return self._losses.clone()

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record a step on batches of this size; models, Adam and generators do not change."""
        packed = [self.parameter, self.average, self.square, self.steps, self.slopes]
        lasting = [*packed, *self.buffers.values()]
        before = [tensor.clone() for tensor in lasting]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            with kernels.compiling():
                self._run()
                self.evaluate(self._some)
            self._run()  # loads the compiled kernels, which is not allowed during recording
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, value in zip(lasting, before, strict=True):
            tensor.copy_(value)
        del before
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._losses = self._run()
        return graph

    @torch.no_grad()
    @deterministic_cudnn
    def _run(self) -> Tensor:
        """One step with the current ``_indices`` and ``_u``; returns (K,) losses."""
        self.half.copy_(self.parameter)
        z = self.encoder.forward(self, self._u, self._indices)  # (K, B, N, N) complex64
        losses, dz = self.network.loss_and_gradient(z, self.targets, self._indices)
        self.encoder.backward(self, dz)
        self.steps += 1
        self.tracked += 1
        moments = self.average, self.square
        kernels.adam(self.parameter, self.gradient, *moments, self.rates, self.steps, self.eps)
        return losses

    @torch.no_grad()
    @deterministic_cudnn
    def evaluate(self, images: Tensor, relaxed: bool = False) -> tuple[Tensor, Tensor]:
        """Errors of the inference models: see :class:`loupe_lib.training.trainer.Trainer`."""
        self.half.copy_(self.parameter)
        hard = self.encoder.binarize(self)
        masks = torch.fft.ifftshift(hard, dim=(-2, -1))[:, None]  # (K, 1, N, N)
        found = []
        for x in images.split(EVALUATION_BATCH):
            if relaxed:
                drawn = [m.mask.sample(len(x), m.encoder.generator) for m in self.models]
                masks = torch.fft.ifftshift(torch.stack(drawn), dim=(-2, -1))  # (K, B, N, N)
            z = torch.fft.ifft2(masks * torch.fft.fft2(x, norm="ortho"), norm="ortho")
            error = self.network.infer(z) - target(x)  # (K, B, N, N)
            both = error.abs().mean(dim=(-2, -1)), error.square().mean(dim=(-2, -1))
            found.append(torch.stack(both))
        absolute, square = torch.cat(found, dim=2).unbind()
        return absolute, square
