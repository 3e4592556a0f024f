"""Files of weights and checkpoints: safetensors with a configuration and a checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from loupe_lib.data.storage import write_file
from loupe_lib.errors import InputError
from loupe_lib.loupe import Loupe
from loupe_lib.training.config import RunConfig
from loupe_lib.training.model import build_model
from loupe_lib.training.trainer import State

CHECKPOINT_FORMAT = "loupe-checkpoint 3"
WEIGHTS_FORMAT = "loupe-weights 3"
WEIGHTS = "weights.safetensors"  # the usual name of such a file
HEADER = "loupe"  # the one key of the metadata: safetensors writes several in any order


def write_weights(path: Path, model: Loupe, config: RunConfig) -> None:
    """Write a trained model as safetensors, with its configuration.

    Raises:
        InputError: if the file cannot be written.
    """
    write_file(path, pack(WEIGHTS_FORMAT, config, model.state_dict()))


def read_weights(path: Path | str) -> tuple[Loupe, RunConfig]:
    """The trained model that :func:`write_weights` wrote, on the CPU in eval mode.

    In training mode it draws its masks from torch's default generator.

    Raises:
        InputError: if the file is missing, truncated, damaged or not a file of weights, or if it is
            a folder.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.rglob(WEIGHTS))
        such = f"{found[0]} (found in it: {len(found)})" if found else f"the {WEIGHTS} of a run"
        raise InputError(f"{path} is a folder; give a file of weights, such as {such}")
    config, tensors, _ = unpack(WEIGHTS_FORMAT, path)
    model = build_model(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit its configuration") from error
    model.encoder.generator = None  # that of the training, which is over
    return model.eval(), config


def checkpoint_files(path: Path) -> tuple[Path, Path]:
    """The checkpoint of a run, and the previous one, in case the first is damaged."""
    return path, path.with_stem(f"{path.stem}.previous")


def pack(
    kind: str, config: RunConfig, tensors: State, progress: dict[str, Any] | None = None
) -> bytes:
    """The content of a file of that format; equal arguments give equal bytes."""
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"format": kind, "config": config.to_json(), "progress": progress}
    header["sha256"] = _checksum(header, content)
    return save(content, metadata={HEADER: json.dumps(header)})


def unpack(kind: str, path: Path) -> tuple[RunConfig, State, dict[str, Any]]:
    """Configuration, tensors and progress of a file that :func:`pack` made.

    Raises:
        InputError: if the file is missing, truncated, damaged or of another format.
    """
    invalid = f"{path} is not a valid {kind} file"
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        if header.get("format") != kind:
            found = header.get("format", "unknown")
            raise InputError(
                f"{invalid}: its format is {found!r}; to train the run again, delete {path.parent}"
            )
        if header.pop("sha256", None) != _checksum(header, tensors):
            raise InputError(f"{invalid} (truncated or corrupt): checksum mismatch")
        return RunConfig.from_json(header["config"]), tensors, header["progress"]
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: no such file") from None
    except InputError:
        raise
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{invalid} (truncated or corrupt): {error}") from error


def _checksum(header: dict[str, Any], tensors: State) -> str:
    """The SHA-256 of all that a file holds; safetensors has none of its own."""
    sha256 = hashlib.sha256(json.dumps(header).encode())
    for name, value in sorted(tensors.items()):
        sha256.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha256.update(value.flatten().view(torch.uint8).numpy().data)
    return sha256.hexdigest()
