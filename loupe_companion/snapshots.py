"""Snapshots of a training: probabilities and one reconstruction at some of its epochs."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from loupe_companion.evaluation import reconstruct_all
from loupe_companion.results import Columns
from loupe_companion.store import SNAPSHOTS, result_file
from loupe_lib.data.storage import open_hdf5, read_array, writing_hdf5
from loupe_lib.metrics import psnr, target
from loupe_lib.training.run import Run

FORMAT = "loupe-snapshots"
VERSION = 1
SPACED = 18  # epochs, evenly spaced on a logarithmic axis
RAISES = 22  # epochs at most that begin with another slope
STEPS = 2**16 - 1  # of a probability in 16 bits


class Recorder:
    """Keeps snapshots of runs while :func:`loupe_lib.training.loop.train` trains them.

    A snapshot is kept of the first epoch of each slope, and of epochs that are evenly spaced on a
    logarithmic axis: at most 40. Each is written to the folder of the run at once, so that a run
    that goes on from a checkpoint still has those before. Recording changes nothing in the run.

    Args:
        runs: the run store.
        image: (1, N, N) the test image that is reconstructed, on the CPU.
    """

    def __init__(self, runs: Path, image: Tensor) -> None:
        self.runs = runs
        self.image = image

    def __call__(self, run: Run) -> None:
        """Record the epoch that ends, if it is one of those to keep."""
        epoch = len(run.history) + 1
        slope = float(run.model.mask.slope)
        raised = bool(run.history) and slope != run.history[-1]["slope"]
        spaced = spaced_epochs(run.config.shrink_epochs + run.config.settle_epochs)
        if not (raised or epoch in spaced):
            return
        kept = self.of(run)
        raises = len(set(kept["epoch"].tolist()) - spaced) if kept else 0
        if epoch in spaced or raises < RAISES:
            with writing_hdf5(self._file(run), FORMAT, VERSION) as file:
                for name, values in self._record(run, epoch).items():
                    rows = np.concatenate([kept[name], values]) if kept else values
                    file.create_dataset(name, data=rows, track_times=False)

    def of(self, run: Run) -> Columns:
        """The snapshots of a run so far, a row each; empty before the first.

        Returns:
            ``epoch`` (n,), from 1; ``probabilities`` (n, N, N) uint16, see :func:`encode`;
            ``reconstruction`` (n, N, N) uint8, of the thresholded mask; ``psnr`` (n,) in dB, of
            the reconstruction before its rounding.

        Raises:
            InputError: if the run has a file of snapshots that cannot be read.
        """
        if not self._file(run).exists():
            return {}
        with open_hdf5(self._file(run), FORMAT, VERSION) as file:
            found = {column: read_array(file[column]) for column in file}
        # The run goes on from a checkpoint, which may be older than the last snapshots.
        past = found["epoch"] <= len(run.history)
        return {column: values[past] for column, values in found.items()}

    @torch.no_grad()
    def _record(self, run: Run, epoch: int) -> Columns:
        model = run.model.eval()
        x_hat = reconstruct_all(model.decoder, self.image, model.mask.binarize()[None])
        return {
            "epoch": np.array([epoch]),
            "probabilities": encode(model.mask.probabilities().cpu().numpy())[None],
            "reconstruction": grey_levels(x_hat.numpy()),
            "psnr": psnr(x_hat, target(self.image)).numpy(),
        }

    def _file(self, run: Run) -> Path:
        return result_file(self.runs, run.config).with_name(SNAPSHOTS)


def spaced_epochs(epochs: int) -> set[int]:
    """At most ``SPACED`` of the given number of epochs, the first and the last among them."""
    return {round(epoch) for epoch in np.geomspace(1, epochs, SPACED).tolist()}


def encode(p: np.ndarray) -> np.ndarray:
    """Probabilities in [0, 1] as uint16 from 0 to 65535, of any shape.

    Exactly halfway is rounded down. So a code is at least 32768 if and only if P > 0.5, and the
    thresholded mask is not changed by the rounding.
    """
    return np.ceil(p.astype(np.float64) * STEPS - 0.5).astype(np.uint16)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] as uint8, of any shape; values outside are clipped."""
    levels: np.ndarray = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return levels
