"""The training step for NVIDIA GPUs with Triton: see :mod:`loupe_lib.cuda.trainer`."""

from importlib.util import find_spec

import torch

from loupe_lib.training.trainer import PlainTrainer, Trainer


def trainer_for(device: torch.device) -> type[Trainer]:
    """The trainer for a device: CudaTrainer if it has bfloat16 (Ampere) and Triton is installed."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return PlainTrainer
    if find_spec("triton") is None:
        return PlainTrainer
    from loupe_lib.cuda.trainer import CudaTrainer

    return CudaTrainer
