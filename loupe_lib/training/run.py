"""One training in progress: model, schedule and history, and the checkpoint that carries them."""

import contextlib
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from loupe_lib.data.storage import write_file, writing
from loupe_lib.errors import InputError
from loupe_lib.loupe import Loupe
from loupe_lib.training.config import RunConfig
from loupe_lib.training.masks import build_mask
from loupe_lib.training.released_training import ReleasedTraining
from loupe_lib.training.schedule import Schedule
from loupe_lib.training.trainer import State, Trainer
from loupe_lib.unet import UNet

CHECKPOINT_FORMAT = "loupe-checkpoint 2"
WEIGHTS_FORMAT = "loupe-weights 2"
UNSEALED = "loupe-weights 1"  # the same without a checksum
LARGEST_SIZE = 8192  # of the images of a model that is read; no scanner's matrix comes near
# Masks are drawn with other seeds than initial weights: with one seed, the first U on the CPU
# would be the very numbers that the initial gamma was made of.
MASK_SEED = 1_000_000


def build_model(config: RunConfig, device: torch.device | str = "cpu") -> Loupe:
    """The untrained model of a run: initial weights and mask draws from its seed alone.

    With one seed all masks meet the same initial decoder, and all that learn N x N probabilities
    start from the same ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        mask = build_mask(config)
        torch.manual_seed(config.seed)
        model = Loupe(config.size, config.acceleration, config.slope, config.width)
    model.encoder.mask = mask
    model.encoder.generator = torch.Generator(device).manual_seed(MASK_SEED + config.seed)
    return model.to(device)


def build_schedule(config: RunConfig, module: nn.Module) -> Schedule | ReleasedTraining:
    """What decides over the slope, the learning rate and the weights that are kept."""
    kind = ReleasedTraining if config.schedule == "released" else Schedule
    return kind(config, module)


class Run:
    """A run between two epochs.

    Args:
        config: what is trained.
        device: where.

    Attributes:
        history: a row an epoch: round, training loss, validation loss and PSNR of the inference
            model, slope and learning rate during the epoch, achieved R of the thresholded mask,
            seconds; the validation loss of relaxed masks where the schedule watches it.
        best: the weights to be kept, or None before the first epoch.
        warnings: what went wrong, to be shown wherever the run's numbers are.
    """

    def __init__(self, config: RunConfig, device: torch.device | str) -> None:
        self.config = config
        self.model = build_model(config, device)
        self.schedule = build_schedule(config, self.model)
        self.history: list[dict[str, float]] = []
        self.best: State | None = None
        self.warnings: list[str] = []
        self._resume: State | None = None
        self._checkpoint_is_good = False

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.schedule.finished

    def batches(self) -> Tensor:
        """(steps, B) int64: the order of the training images in the next epoch.

        A function of seed and epoch alone, so that a resumed run sees the same. Images that do
        not fill a last batch are left out, others each epoch.
        """
        rng = np.random.default_rng((self.config.seed, len(self.history)))
        steps = self.config.train // self.config.batch
        order = rng.permutation(self.config.train)[: steps * self.config.batch]
        return torch.from_numpy(order.reshape(steps, self.config.batch))

    def start(self, trainer: Trainer, k: int) -> None:
        """Hand the state of a resumed run to the trainer that trains it as its model k."""
        if self._resume is not None:
            trainer.load(k, self._resume)
            self._resume = None
        trainer.set_learning_rate(k, self.schedule.learning_rate)

    def end_epoch(
        self,
        trainer: Trainer,
        k: int,
        train_loss: float,
        loss: float,
        psnr: float,
        seconds: float,
        soft_loss: float = math.nan,
    ) -> None:
        """Record an epoch and carry out what the schedule decides.

        The soft loss, that of relaxed masks, is given where the schedule watches it.
        """
        kept = float(self.model.mask.binarize().sum())
        row = {
            "round": self.schedule.round,
            "train_loss": train_loss,
            "loss": loss,
            "psnr": psnr,
            "slope": float(self.model.mask.slope),
            "learning_rate": self.schedule.learning_rate,
            "achieved_acceleration": self.config.size**2 / kept if kept else math.inf,
            "seconds": seconds,
        }
        if self.schedule.watches_soft_loss:
            row["soft_loss"] = soft_loss
        self.history.append(row)
        decision = self.schedule.step(loss, soft_loss)
        if decision.keep or self.best is None:
            self.best = trainer.weights(k)
        if not math.isfinite(train_loss):
            self.warnings.append(f"training loss {train_loss} in epoch {len(self.history)}")
            self.schedule.finished = True
        if decision.restore or self.schedule.finished:
            self.restore(trainer, k)
        trainer.set_learning_rate(k, self.schedule.learning_rate)

    def restore(self, trainer: Trainer, k: int) -> None:
        """Go back to the best weights, with a new optimizer."""
        assert self.best is not None
        trainer.load(k, {f"model.{name}": value for name, value in self.best.items()})

    def save(self, path: Path, trainer: Trainer, k: int) -> None:
        """Write the checkpoint from which :meth:`resume` goes on, bit for bit on the CPU.

        The one before is kept, see :func:`checkpoint_files`.
        """
        assert self.best is not None
        tensors = trainer.state(k) | {f"best.{name}": v for name, v in self.best.items()}
        progress = {
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "warnings": self.warnings,
        }
        with writing(path) as beside:
            beside.write_bytes(_pack(tensors, CHECKPOINT_FORMAT, self.config, progress))
            if self._checkpoint_is_good:  # or it would take the place of a good one
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, checkpoint_files(path)[1])
        self._checkpoint_is_good = True

    def resume(self, path: Path) -> None:
        """Go on from the last good checkpoint, if there is one.

        Raises:
            InputError: if there are checkpoints, but all are cut short, damaged, of another
                format or of another run.
        """
        damaged: list[InputError] = []
        for file in checkpoint_files(path):
            if not file.exists():
                continue
            try:
                self._load(file)
            except InputError as error:
                damaged.append(error)
                continue
            self._checkpoint_is_good = file == path
            if damaged:
                tqdm.write(f"passed over: {damaged[0]}; going on from {file}", sys.stderr)
            return
        if damaged:
            reasons = "; ".join(map(str, damaged))
            raise InputError(f"{reasons} (to train this run from its start, delete that file)")

    def _load(self, path: Path) -> None:
        tensors, config, progress = _read(path, CHECKPOINT_FORMAT)
        if config != self.config:
            raise InputError(f"{path} is the checkpoint of another run, {config.label}")
        device = self.model.mask.slope.device
        self.schedule.load_state_dict(progress["schedule"])
        self.history = progress["history"]
        self.warnings = progress["warnings"]
        self.best = {
            name[5:]: value.to(device)
            for name, value in tensors.items()
            if name.startswith("best.")
        }
        self._resume = {
            name: value.to(device)
            for name, value in tensors.items()
            if not name.startswith("best.")
        }


def checkpoint_files(path: Path) -> tuple[Path, Path]:
    """The checkpoint of a run, and the one before, which counts if the disk spoils the first."""
    return path, path.with_stem(f"{path.stem}.previous")


def write_weights(path: Path, model: Loupe, config: RunConfig) -> None:
    """Write a trained model as safetensors, its configuration beside the weights."""
    write_file(path, _pack(model.state_dict(), WEIGHTS_FORMAT, config, {}))


def read_weights(path: Path) -> tuple[Loupe, RunConfig]:
    """The trained model that :func:`write_weights` wrote, on the CPU in eval mode.

    Raises:
        InputError: if the file is missing, cut short, or no such file.
    """
    tensors, config, _ = _read(path, WEIGHTS_FORMAT, UNSEALED)
    try:
        _check_sizes(tensors, config)
        model = build_model(config)
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} holds other weights than its configuration asks for") from error
    return model.eval(), config


def _check_sizes(tensors: State, config: RunConfig) -> None:
    """Before memory is given to a model: a file may ask for any size."""
    with torch.device("meta"):
        wanted = UNet(2, 1, config.width).state_dict()
    names = {f"decoder.unet.{name}": value.shape for name, value in wanted.items()}
    shapes = {name: value.shape for name, value in tensors.items()}
    in_mask = [shape for name, shape in shapes.items() if name.startswith("encoder.mask.")]
    sides = (config.size,) if config.lines else (config.size, config.size)
    if names.items() - shapes.items() or sides not in in_mask:
        raise ValueError("other shapes")
    if config.size > LARGEST_SIZE:  # a column is a small file, and N columns are not
        raise ValueError("too large")


def _pack(tensors: State, kind: str, config: RunConfig, progress: dict[str, Any]) -> bytes:
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    texts = {"format": kind, "config": config.to_json(), "progress": json.dumps(progress)}
    return _in_order(save(content, metadata={**texts, "sha256": _checksum(content, texts)}))


def _in_order(file: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: they come in any order, each time."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end])
    metadata = dict(sorted(header.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors after it are aligned
    return len(text).to_bytes(8, "little") + text + file[end:]


def _checksum(tensors: State, texts: dict[str, str]) -> str:
    """The SHA-256 of all that a file holds; safetensors has none of its own."""
    kinds = [[name, str(tensors[name].dtype), tensors[name].shape] for name in sorted(tensors)]
    sha256 = hashlib.sha256(json.dumps([texts, kinds], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def _read(path: Path, *kinds: str) -> tuple[State, RunConfig, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") not in kinds:
                raise InputError(f"it says {metadata.get('format')!r}")
            names: Iterable[str] = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        texts = {name: metadata[name] for name in ("format", "config", "progress")}
        if texts["format"] != UNSEALED and metadata["sha256"] != _checksum(tensors, texts):
            raise InputError("its checksum is another")
        progress: dict[str, Any] = json.loads(texts["progress"])
        return tensors, RunConfig.from_json(texts["config"]), progress
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: no such file") from None
    # Also what JSON raises for numbers of too many digits, and for lists within lists without end.
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no whole file of format {kinds[0]}: {error}") from error
