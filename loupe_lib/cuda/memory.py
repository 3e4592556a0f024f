"""Parameters, gradients, Adam's moments and buffers of K models, each kind in one tensor."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from loupe_lib.loupe import Loupe
from loupe_lib.mask import ProbabilityMask, rescale_from
from loupe_lib.training.trainer import State

ALIGNMENT = 64  # parameters start at multiples of it, so that loads and stores are vectorized


class PackedModels:
    """Parameters, Adam's moments and buffers of K models of one shape, stacked.

    The models' own tensors become views of the stacked ones, so that a change in place on either
    side is a change of both. The parameters of a model are a row of a (K, size) matrix. Views of it
    have shape (K, *shape), or for convolutions (K, out, height, width, in): channels last.

    Args:
        models: models of one size and width on one device; their masks have parameters of one
            shape.
        learning_rates: one per model.
    """

    def __init__(self, models: Sequence[Loupe], learning_rates: Sequence[float]) -> None:
        self.models = list(models)
        masks = [model.mask for model in self.models]
        device = masks[0].slope.device
        self.rates = torch.tensor(list(learning_rates), device=device)  # (K,)
        self.steps = torch.zeros(len(masks), device=device)  # (K,) steps of Adam
        self.slopes = torch.stack([mask.slope for mask in masks])  # (K,)
        t = [mask.t if isinstance(mask, ProbabilityMask) else math.nan for mask in masks]
        self._t = torch.tensor(t, device=device)[:, None, None]
        r = [mask.rest_fraction for mask in masks]
        self._r = torch.tensor(r, device=device)[:, None, None]
        rest = [1 - mask.center_fraction for mask in masks]
        self._rest = torch.tensor(rest, device=device)[:, None, None]
        self.in_center = torch.stack([mask.in_center for mask in masks])  # (K, N, N) or (K, N)

        self._shapes = {name: p.shape for name, p in self.models[0].named_parameters()}
        size = sum(_padded(shape) for shape in self._shapes.values())
        # Separate tensors, because the models keep the first in memory after training.
        self.parameter, self.gradient, self.average, self.square = (
            torch.zeros(len(masks), size, device=device) for _ in range(4)
        )
        self.values = self.cut(self.parameter)
        self.gradients = self.cut(self.gradient)
        self.moments = {"exp_avg": self.cut(self.average), "exp_avg_sq": self.cut(self.square)}
        self.buffers = {
            name: torch.stack([model.get_buffer(name) for model in self.models])
            for name, _ in self.models[0].decoder.named_buffers(prefix="decoder")
        }
        # All batch norms of a model have seen the same number of batches: they share a counter.
        counters = [name for name in self.buffers if name.endswith("num_batches_tracked")]
        self.tracked = self.buffers[counters[0]]  # (K,)
        self.buffers |= dict.fromkeys(counters, self.tracked)

        for k, model in enumerate(self.models):
            model.mask.slope.data = self.slopes[k]  # .data: a callback may hold this buffer
            for name, parameter in model.named_parameters():
                view = plain(self.values[name][k])
                parameter.data = view.copy_(parameter.detach())
            for name, value in self.buffers.items():
                model.get_buffer(name).data = value[k]

    def cut(self, memory: Tensor) -> dict[str, Tensor]:
        """Views of a (K, size) matrix, by the names of the parameters."""
        views, start = {}, 0
        for name, shape in self._shapes.items():
            stored = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)
            views[name] = memory[:, start : start + shape.numel()].view(len(memory), *stored)
            start += _padded(shape)
        return views

    def probabilities(self, gamma: Tensor) -> Tensor:
        """P of K models from their gamma, (K, N, N): eq. 5 for K accelerations at once.

        For masks of points; those of columns know their own.
        """
        s = torch.sigmoid(self._t * gamma)
        mean = s.masked_fill(self.in_center, 0).mean(dim=(-2, -1), keepdim=True) / self._rest
        return rescale_from(s, mean, self._r).masked_fill(self.in_center, 1)

    def set_learning_rate(self, k: int, learning_rate: float) -> None:
        """Change the learning rate of model k from the next step on."""
        self.rates[k] = learning_rate

    def weights(self, k: int) -> State:
        """A copy of the state dict of model k, its slope included."""
        return {name: value.clone() for name, value in self.models[k].state_dict().items()}

    def state(self, k: int) -> State:
        """Weights, Adam and generator of model k, to resume with this trainer or the plain one."""
        state = {f"model.{name}": value for name, value in self.weights(k).items()}
        steps = self.steps[k].cpu()
        if steps > 0:
            for name in self.values:
                state[f"adam.step.{name}"] = steps.clone()
                for key, views in self.moments.items():
                    state[f"adam.{key}.{name}"] = plain(views[name][k]).clone()
        generator = self.models[k].encoder.generator
        assert generator is not None
        state["generator"] = generator.get_state()
        return state

    def load(self, k: int, state: State) -> None:
        """Restore a :meth:`state`; if it has no moments of Adam, they restart at zero."""
        model = self.models[k]
        model.load_state_dict(
            {name[6:]: value for name, value in state.items() if name.startswith("model.")}
        )
        self.steps[k] = 0
        for name in self.values:
            self.steps[k] = state.get(f"adam.step.{name}", self.steps[k])
            for key, views in self.moments.items():
                view = plain(views[name][k])
                view.copy_(state.get(f"adam.{key}.{name}", torch.zeros_like(view)))
        if "generator" in state and model.encoder.generator is not None:
            model.encoder.generator.set_state(state["generator"].cpu())


def plain(view: Tensor) -> Tensor:
    """The tensor of one model in PyTorch's order of dimensions."""
    return view.permute(0, 3, 1, 2) if view.dim() == 4 else view


def _padded(shape: torch.Size) -> int:
    return -(-shape.numel() // ALIGNMENT) * ALIGNMENT
