"""Where a number comes from: code, packages, device, date."""

import hashlib
import os
import platform
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import loupe_lib
from loupe_lib.errors import InputError

PACKAGES = ("torch", "numpy", "h5py", "scikit-image", "safetensors")


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


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """What the device calls itself, such as NVIDIA H100 80GB HBM3."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}), one thread a run"


def provenance(device: torch.device) -> dict[str, Any]:
    """Code version, package versions, device and date, as JSON takes them."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": device_name(device),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@cache
def code_version() -> str:
    """Version of the library, and the start of the SHA-256 of its source files.

    A commit would not tell of uncommitted changes, and is not known everywhere the code runs.
    """
    sha256 = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        sha256.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{loupe_lib.__version__} (source {sha256.hexdigest()[:12]})"
