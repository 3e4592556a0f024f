"""The training step for NVIDIA GPUs: K models of one shape trained as one network.

The same mathematics as :class:`loupe_lib.learner.PlainLearner`, the definition, in other
arithmetic: activations and convolutions in bfloat16, weights cast to it once a step. Parameters,
Adam, masks, Fourier transforms, statistics and loss stay float32. A whole step is one CUDA graph,
so that the processor has no more to do than to draw the random numbers and to start it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from loupe_lib import fast_kernels as kernels
from loupe_lib.fast_network import Network, Store
from loupe_lib.learner import State
from loupe_lib.loupe import Loupe
from loupe_lib.mask import binarize

ALIGNMENT = 64  # elements between parameters are a multiple of it, for whole vectors of memory
EVALUATION_BATCH = 16


class FastLearner:
    """A :class:`loupe_lib.learner.Learner` on a GPU.

    Parameters, buffers and slopes of the models become views of memory that the models share: a
    change in place by either side is seen by the other.

    Args:
        models: models of one size and width on one device, each with its encoder's generator set.
        images: (n, N, N) float32 training images, on that device.
        learning_rates: one a model.
        precision: of activations and convolutions.
    """

    def __init__(
        self,
        models: Sequence[Loupe],
        images: Tensor,
        learning_rates: Sequence[float],
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        self.models = list(models)
        self.images = images.contiguous()
        self.kspace = torch.cat(
            [torch.fft.fft2(x, norm="ortho") for x in self.images.split(EVALUATION_BATCH)]
        )
        count, device = len(self.models), images.device
        self.rates = torch.tensor(list(learning_rates), device=device)  # (K,)
        self.steps = torch.zeros(count, device=device)  # (K,) of Adam
        masks = [model.mask for model in self.models]
        self.slopes = torch.stack([mask.slope for mask in masks])  # (K,)
        self.t = torch.tensor([mask.t for mask in masks], device=device)
        self.r = torch.tensor([1 / mask.acceleration for mask in masks], device=device)

        shapes = {name: p.shape for name, p in self.models[0].named_parameters()}
        size = sum(_padded(shape) for shape in shapes.values())
        self.parameter, self.gradient, self.average, self.square = (
            torch.zeros(count, size, device=device) for _ in range(4)
        )
        self.half = torch.zeros(count, size, device=device, dtype=precision)
        self.views = _views(self.parameter, shapes)
        self.gradients = _views(self.gradient, shapes)
        self.moments = {
            "exp_avg": _views(self.average, shapes),
            "exp_avg_sq": _views(self.square, shapes),
        }
        self.buffers = {
            name: torch.stack([model.get_buffer(name) for model in self.models])
            for name, _ in self.models[0].decoder.named_buffers(prefix="decoder")
        }
        for k, model in enumerate(self.models):
            model.mask.slope.data = self.slopes[k]
            for name, parameter in model.named_parameters():
                view = _plain(self.views[name][k])
                view.copy_(parameter.detach())
                parameter.data = view
            for name, value in self.buffers.items():
                model.get_buffer(name).data = value[k]

        halves = _views(self.half, shapes)
        self.network = Network(
            Store(self.views, self.gradients, halves, self.buffers, size), count
        )
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, indices: Tensor) -> Tensor:
        if self._graph is None or self._indices.shape != indices.shape:
            self._capture(indices)
        assert self._graph is not None
        self._indices.copy_(indices)
        for model, u in zip(self.models, self._u.unbind(), strict=True):
            torch.rand(u.shape, generator=model.encoder.generator, out=u)
        self._graph.replay()
        return self._losses.clone()

    def _capture(self, indices: Tensor) -> None:
        """Record a step on batches of this size; changes nothing that lasts."""
        size = self.images.shape[-1]
        self._indices = indices.clone()
        self._u = self.images.new_zeros(*indices.shape, size, size)
        lasting = [self.parameter, self.average, self.square, self.steps, *self.buffers.values()]
        before = [tensor.clone() for tensor in lasting]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._run()  # compiles the kernels
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, value in zip(lasting, before, strict=True):
            tensor.copy_(value)
        del before
        torch.cuda.empty_cache()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses = self._run()

    @torch.no_grad()
    def _run(self) -> Tensor:
        """One step on what ``_indices`` and ``_u`` hold; returns (K,) losses."""
        self.half.copy_(self.parameter)
        gamma = self.views["encoder.mask.gamma"].detach().requires_grad_()
        with torch.enable_grad():
            p = _probabilities(gamma, self.t, self.r)
        draw = (p.detach(), self._u, self.slopes, self.kspace, self._indices)
        z = torch.fft.ifft2(kernels.encode(*draw), norm="ortho")  # (K, B, N, N) complex64
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            losses, dz = self.network.loss_and_gradient(z, self.images, self._indices)
        dp = kernels.encode_gradient(*draw, torch.fft.fft2(dz, norm="ortho"))
        (dgamma,) = torch.autograd.grad(p, gamma, dp)
        self.gradients["encoder.mask.gamma"].copy_(dgamma)
        self.steps += 1
        for name, value in self.buffers.items():
            if name.endswith("num_batches_tracked"):
                value += 1
        kernels.adam(
            self.parameter, self.gradient, self.average, self.square, self.rates, self.steps
        )
        return losses

    @torch.no_grad()
    def evaluate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.half.copy_(self.parameter)
        p = _probabilities(self.views["encoder.mask.gamma"], self.t, self.r)
        masks = torch.fft.ifftshift(binarize(p), dim=(-2, -1))[:, None]  # (K, 1, N, N)
        errors = []
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for x in images.split(EVALUATION_BATCH):
                z = torch.fft.ifft2(masks * torch.fft.fft2(x, norm="ortho"), norm="ortho")
                error = self.network.infer(z) - x  # (K, B, N, N)
                moments = error.abs().mean(dim=(-2, -1)), error.square().mean(dim=(-2, -1))
                errors.append(torch.stack(moments))
        absolute, square = torch.cat(errors, dim=2).unbind()
        return absolute, square

    def set_learning_rate(self, k: int, learning_rate: float) -> None:
        self.rates[k] = learning_rate

    def weights(self, k: int) -> State:
        return {name: value.clone() for name, value in self.models[k].state_dict().items()}

    def state(self, k: int) -> State:
        state = {f"model.{name}": value for name, value in self.weights(k).items()}
        steps = self.steps[k].cpu()
        if steps > 0:
            for name in self.views:
                state[f"adam.step.{name}"] = steps.clone()
                for key, views in self.moments.items():
                    state[f"adam.{key}.{name}"] = _plain(views[name][k]).clone()
        generator = self.models[k].encoder.generator
        assert generator is not None
        state["generator"] = generator.get_state()
        return state

    def load(self, k: int, state: State) -> None:
        model = self.models[k]
        model.load_state_dict(
            {name[6:]: value for name, value in state.items() if name.startswith("model.")}
        )
        self.steps[k] = 0
        for name in self.views:
            for key, views in self.moments.items():
                view, value = _plain(views[name][k]), state.get(f"adam.{key}.{name}")
                view.zero_() if value is None else view.copy_(value)
            if f"adam.step.{name}" in state:
                self.steps[k] = float(state[f"adam.step.{name}"])
        if "generator" in state and model.encoder.generator is not None:
            model.encoder.generator.set_state(state["generator"].cpu())


def _padded(shape: torch.Size) -> int:
    return -(-shape.numel() // ALIGNMENT) * ALIGNMENT


def _views(memory: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Cut (K, size) into parameters: (K, *shape), or (K, out, height, width, in)."""
    views, start = {}, 0
    for name, shape in shapes.items():
        stored = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)
        views[name] = memory[:, start : start + shape.numel()].unflatten(1, stored)
        start += _padded(shape)
    return views


def _plain(view: Tensor) -> Tensor:
    """One model's part of a view, in PyTorch's order of dimensions."""
    return view.permute(0, 3, 1, 2) if view.dim() == 4 else view


def _probabilities(gamma: Tensor, t: Tensor, r: Tensor) -> Tensor:
    """P of K models (:func:`loupe_lib.rescale`, eq. 5, whose comments hold here): (K, N, N)."""
    t, r = t[:, None, None], r[:, None, None]
    s = torch.sigmoid(t * gamma)
    mean = s.mean(dim=(-2, -1), keepdim=True)
    down = s * (r / mean.maximum(r))
    rest = (1 - r).clamp(min=torch.finfo(s.dtype).tiny)
    up = 1 - (1 - s) * ((1 - r) / (1 - mean).maximum(rest))
    return torch.where(mean >= r, down, up)
