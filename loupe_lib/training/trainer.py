"""The training step in plain PyTorch: the definition that the CUDA step is tested against."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from loupe_lib.loupe import Loupe
from loupe_lib.metrics import target

State = dict[str, Tensor]
ADAM_EPS = 1e-8  # torch's default
EVALUATION_BATCH = 64  # images at a time without gradients; bounds memory at N = 320


class Trainer(Protocol):
    """Trains K models of one shape side by side; they share only the images.

    Slopes are the models' own ``slope`` buffers, read at each step. Random masks come from each
    encoder's generator, so that they do not depend on which models train alongside.

    Args:
        models: models on one device, each with its encoder's generator set.
        images: (n, N, N) training images, real or complex, on that device.
        learning_rates: one a model.
        eps: Adam's.
    """

    def __init__(
        self,
        models: Sequence[Loupe],
        images: Tensor,
        learning_rates: Sequence[float],
        *,
        eps: float = ADAM_EPS,
    ) -> None: ...

    def step(self, indices: Tensor) -> Tensor:
        """One Adam step of every model on a batch of its own.

        Args:
            indices: (K, B) int64, which training images each model sees.

        Returns:
            (K,) float32 L1 losses before the step, on the device and without synchronization.
        """

    def evaluate(self, images: Tensor, relaxed: bool = False) -> tuple[Tensor, Tensor]:
        """The inference models' errors on (n, N, N) images of the device.

        Args:
            images: real or complex.
            relaxed: undersample with random relaxed masks, as in training, drawn from each
                encoder's generator, instead of the thresholded one.

        Returns:
            (K, n) mean absolute and (K, n) mean square error of each image, on the device.
        """

    def set_learning_rate(self, k: int, learning_rate: float) -> None:
        """Change the learning rate of model k from the next step on."""

    def weights(self, k: int) -> State:
        """A copy of the state dict of model k, its slope included."""

    def state(self, k: int) -> State:
        """All that any trainer needs to continue model k: weights, Adam's moments, generator."""

    def load(self, k: int, state: State) -> None:
        """Load a :meth:`state`; without Adam's moments, as in a new round, Adam restarts."""


class PlainTrainer:
    """Eager float32 PyTorch, one model after the other: see :class:`Trainer`."""

    def __init__(
        self,
        models: Sequence[Loupe],
        images: Tensor,
        learning_rates: Sequence[float],
        *,
        eps: float = ADAM_EPS,
    ) -> None:
        self.models = list(models)
        self.images = images
        self.optimizers = [
            torch.optim.Adam(model.parameters(), lr=lr, eps=eps)
            for model, lr in zip(models, learning_rates, strict=True)
        ]

    def step(self, indices: Tensor) -> Tensor:
        losses = []
        for model, optimizer, index in zip(self.models, self.optimizers, indices, strict=True):
            x = self.images[index]  # (B, N, N)
            optimizer.zero_grad(set_to_none=True)
            loss = F.l1_loss(model.train()(x), target(x))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    @torch.no_grad()
    def evaluate(self, images: Tensor, relaxed: bool = False) -> tuple[Tensor, Tensor]:
        found = []  # (2, n) for each model
        for model in self.models:
            model.eval().encoder.train(relaxed)
            errors = (model(x) - target(x) for x in images.split(EVALUATION_BATCH))
            parts = [torch.stack((e.abs(), e.square())).mean(dim=(-2, -1)) for e in errors]
            found.append(torch.cat(parts, dim=1))
        absolute, square = torch.stack(found, dim=1)
        return absolute, square

    def set_learning_rate(self, k: int, learning_rate: float) -> None:
        self.optimizers[k].param_groups[0]["lr"] = learning_rate

    def weights(self, k: int) -> State:
        return {name: value.clone() for name, value in self.models[k].state_dict().items()}

    def state(self, k: int) -> State:
        model, optimizer = self.models[k], self.optimizers[k]
        state = {f"model.{name}": value for name, value in self.weights(k).items()}
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state[parameter].items():  # empty before the first step
                state[f"adam.{key}.{name}"] = value.clone()
        assert model.encoder.generator is not None
        state["generator"] = model.encoder.generator.get_state()
        return state

    def load(self, k: int, state: State) -> None:
        model, optimizer = self.models[k], self.optimizers[k]
        model.load_state_dict(
            {name[6:]: value for name, value in state.items() if name.startswith("model.")}
        )
        optimizer.state.clear()
        for name, parameter in model.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = state.get(f"adam.{key}.{name}")
                if value is not None:
                    device = "cpu" if key == "step" else parameter.device
                    optimizer.state[parameter][key] = value.to(device, copy=True)
        if "generator" in state and model.encoder.generator is not None:
            model.encoder.generator.set_state(state["generator"].cpu())
