"""Small networks with a binary layer, scripted losses, and processes that are killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from loupe_lib import ProbabilityMask

KILLED = -signal.SIGKILL
FRAMEWORKS = ["pytorch_lightning", "ignite.handlers", "transformers.trainer", "accelerate"]
EPOCHS = 6
SETTINGS = {"patience": 1, "factor": 2.0, "max_slope": 1000.0}
LOSSES = [1.0, 1.0, 0.5, 0.7, 0.6, 0.4]  # not lower in epochs 2, 4 and 5
SLOPES = [1.0, 1.0, 2.0, 2.0, 4.0, 8.0]  # of each epoch, with SETTINGS
TRAIN = torch.rand(8, 32, 32, generator=torch.Generator().manual_seed(0))
VALIDATION = torch.rand(8, 32, 32, generator=torch.Generator().manual_seed(1))


class Gate(nn.Module):
    """A binary layer as most are published: its slope is a float, which no state_dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.linspace(-0.5, 0.5, 32))
        self.slope = 2.0

    def forward(self, n: int) -> Tensor:
        if not self.training:
            return (self.logits > 0).float()
        noise = torch.rand(n, 1, 32) - 0.5
        return torch.sigmoid(self.slope * (self.logits + noise))


class Mask(ProbabilityMask):
    """The mask of this library, with its slope in a buffer."""

    def forward(self, n: int) -> Tensor:
        return self.sample(n) if self.training else self.binarize("topk")


class Network(nn.Module):
    """Multiplies images by binary masks and by weights; the loss tells what was lost."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = Gate() if kind == "float" else Mask(32, 2, slope=2.0)
        self.weights = nn.Parameter(torch.ones(32, 32))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": (x - self.layer(len(x)) * self.weights * x).square().mean()}


class Scripted(nn.Module):
    """A module whose validation losses are given."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = iter(losses)
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("slope", torch.tensor(1.0))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.training:
            return {"loss": self.weight.square()}
        return {"loss": self.weight * 0 + next(self.losses)}


def run(function: Callable[..., object], *arguments: tuple[object, ...]) -> list[int | None]:
    """Call it in a process for each tuple of arguments, all at a time; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(FRAMEWORKS)  # once, as each import takes seconds
    processes = [context.Process(target=function, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def join(rank: int, folder: Path) -> None:
    """Make this process one of two, as torchrun would, but without a port that may be taken."""
    torch.set_num_threads(1)
    for name, value in {"RANK": rank, "WORLD_SIZE": 2}.items():
        os.environ[name] = os.environ[f"LOCAL_{name}"] = str(value)
    method = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", method, world_size=2, rank=rank)


def leave() -> None:
    """End one of two processes: destructors of gloo may wait for ever if the other has ended."""
    torch.distributed.barrier()
    os._exit(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
