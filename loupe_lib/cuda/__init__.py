"""The training step for NVIDIA GPUs with Triton: see :mod:`loupe_lib.cuda.trainer`."""

import contextlib

import torch

from loupe_lib.training.trainer import PlainTrainer, Trainer


def trainer_for(device: torch.device) -> type[Trainer]:
    """The training step that is used on a device: the fast one needs Triton and bfloat16."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        with contextlib.suppress(ModuleNotFoundError):
            from loupe_lib.cuda.trainer import CudaTrainer

            return CudaTrainer
    return PlainTrainer
