"""The training step for NVIDIA GPUs with Triton: see :mod:`loupe_lib.cuda.trainer`."""

import contextlib

import torch

from loupe_lib.training.trainer import PlainTrainer, Trainer


def trainer_for(device: torch.device) -> type[Trainer]:
    """The trainer for a device: CudaTrainer where there are bfloat16 (Ampere) and Triton."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        with contextlib.suppress(ModuleNotFoundError):
            from loupe_lib.cuda.trainer import CudaTrainer

            return CudaTrainer
    return PlainTrainer
