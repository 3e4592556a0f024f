"""Measure a finished run."""

import numpy as np

from loupe_companion.evaluation import MASKS, evaluate, mask_statistics, reconstruct_all
from loupe_companion.provenance import get_provenance
from loupe_companion.results import RunResult
from loupe_lib.data.images import Split
from loupe_lib.decoder import zero_filled
from loupe_lib.metrics import target
from loupe_lib.training.config import RunConfig
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import Trainer


def summarize_run(run: Run, test: Split, trainer: type[Trainer]) -> RunResult:
    """Evaluate the weights that a finished run kept, on the test images."""
    model = run.model.eval()
    metrics = {kind: evaluate(model, test, kind) for kind in MASKS}
    shown = shown_slices(test)
    images = test.images[shown]
    masks = model.mask.binarize().detach().expand(len(images), -1, -1)
    return RunResult(
        config=run.config,
        slope=float(model.mask.slope),
        probabilities=model.mask.probabilities().detach().cpu().numpy(),
        history={name: np.array([row[name] for row in run.history]) for name in run.history[0]},
        metrics=metrics,
        **mask_statistics(model.mask),
        shown=shown,
        truth=target(images).numpy(),
        reconstructions=reconstruct_all(model.decoder, images, masks).numpy(),
        zero_filled=reconstruct_all(zero_filled, images, masks).numpy(),
        provenance={
            **get_provenance(model.mask.slope.device),
            "learner": trainer.__name__,
            "training_seconds": sum(row["seconds"] for row in run.history),
        },
        warnings=(*run.warnings, *collapse_warnings(metrics["threshold"], run.config)),
    )


def shown_slices(test: Split) -> np.ndarray:
    """(1,) or (2,) indices of the slices to show: the middle ones of first and last volume."""
    volumes = sorted({0, len(test.names) - 1})
    return np.array([int(np.median(np.flatnonzero(test.volume == v))) for v in volumes])


def collapse_warnings(threshold: dict[str, np.ndarray], config: RunConfig) -> list[str]:
    """One warning if thresholding misses the acceleration by more than a factor of 2, else none."""
    achieved = float(threshold["achieved_acceleration"])
    if config.acceleration / 2 <= achieved <= config.acceleration * 2:
        return []
    return [f"collapsed mask: thresholding gives R={achieved:.3g}, not {config.acceleration:g}"]
