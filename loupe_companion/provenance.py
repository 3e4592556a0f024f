"""The provenance of a number: code, packages, device, date."""

import hashlib
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import loupe_lib
from loupe_lib.training.device import device_name

PACKAGES = ("torch", "numpy", "h5py", "scikit-image", "safetensors")


def get_provenance(device: torch.device) -> dict[str, Any]:
    """Code version, package versions, device and date, as JSON takes them."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": device_name(device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def code_version() -> str:
    """Version of the library, and the start of the SHA-256 of the source files of both packages.

    A commit would not tell of uncommitted changes, and is not known everywhere the code runs.
    """
    sha256 = hashlib.sha256()
    root = Path(__file__).parent.parent
    for package in ("loupe_companion", "loupe_lib"):
        for path in sorted((root / package).rglob("*.py")):
            sha256.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{loupe_lib.__version__} (source {sha256.hexdigest()[:12]})"
