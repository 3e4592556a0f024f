"""The device that computes."""

import contextlib
import platform
from collections.abc import Iterator

import torch

from loupe_lib.errors import InputError


def find_device(name: str | None = None) -> torch.device:
    """The device to compute on: by name, or a GPU if torch sees one, else the CPU.

    Raises:
        InputError: for a device that does not exist here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = torch.cuda.device_count()
    here = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if name not in here:
        raise InputError(f"device must be one of {', '.join(here)} on this machine; got {name!r}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """A readable name of the device, such as NVIDIA H100 80GB HBM3."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}), one thread a run"


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Use one thread on the CPU: sums that are split over threads round differently."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
