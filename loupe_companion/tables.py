"""Results in words: the tables and sentences of the notebooks, in Markdown."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from loupe_companion.results import RunResult


def markdown(frame: pd.DataFrame) -> str:
    """A table of text cells in Markdown."""
    return frame.to_markdown(index=False, disable_numparse=True)


def conditions(results: Sequence[RunResult]) -> str:
    """Under a figure: sizes, seeds, device, date and code of the runs it shows."""
    config = results[0].config
    seeds = sorted({r.config.seed for r in results})
    epochs = sorted({len(r.history["loss"]) for r in results})
    devices = sorted({r.provenance["device"] for r in results})
    days = sorted({r.provenance["date"][:10] for r in results})
    codes = sorted({r.provenance["code"] for r in results})
    images = "virtual subjects from the embedded heads"
    if config.data != "heads":
        images = f"image file {config.data[:12]}"
    seconds = sum(r.provenance["training_seconds"] for r in results)
    return (
        f"*{len(results)} runs: N = {config.size}, U-Net width {config.width}, "
        f"{config.train} / {config.validation} / {config.test} slices of {images}; "
        f"{_span(epochs)} epochs, batch {config.batch}; seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}. Trained on {', '.join(devices)}, {_span(days)}, "
        f"in {seconds / 60:.1f} minutes of training added up; code {', '.join(codes)}."
        f"{' After ±: the standard deviation over seeds.' * (len(seeds) > 1)}*"
    )


def psnr_table(results: Sequence[RunResult]) -> str:
    """A row for each R and slope: test PSNR by mask, achieved R, how binary; then the warnings."""
    rows = [
        "| R | slope | PSNR (dB) | achieved R | exact budget | soft masks | zero-filled "
        "| M soft | P undecided |",
        "|--:|:--|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for runs in _groups(results):
        zero_filled = [float(r.metrics["threshold"]["zero_filled_psnr"].mean()) for r in runs]
        cells = (
            f"{runs[0].config.acceleration:g}",
            _slope(runs),
            mean_and_spread([r.psnr() for r in runs]),
            mean_and_spread([r.achieved_acceleration() for r in runs]),
            mean_and_spread([r.psnr("topk") for r in runs]),
            mean_and_spread([r.psnr("relaxed") for r in runs]),
            mean_and_spread(zero_filled),
            f"{np.mean([r.soft_share for r in runs]):.1%}",
            f"{np.mean([r.undecided_share for r in runs]):.1%}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    warnings = [f"- **Warning**, {r.config.label}: {w}" for r in results for w in r.warnings]
    return "\n".join([*rows, "", *warnings])


def volume_table(results: Sequence[RunResult]) -> str:
    """The same runs in the metrics of the fastMRI challenge, a mean over test volumes."""
    rows = ["| R | slope | volume PSNR (dB) | SSIM | NMSE |", "|--:|:--|--:|--:|--:|"]
    for runs in _groups(results):
        found = [r.metrics["threshold"] for r in runs]
        cells = (
            f"{runs[0].config.acceleration:g}",
            _slope(runs),
            mean_and_spread([f["volume_psnr"].mean() for f in found]),
            mean_and_spread([f["volume_ssim"].mean() for f in found], 3),
            mean_and_spread([f["volume_nmse"].mean() for f in found], 4),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def comparison(results: Sequence[RunResult]) -> str:
    """4S against the best fixed slope at each R, and what finding that slope cost."""
    sentences = []
    groups = _groups(results)
    for acceleration in sorted({r.config.acceleration for r in results}):
        here = [runs for runs in groups if runs[0].config.acceleration == acceleration]
        fixed = [runs for runs in here if not runs[0].config.shrinks]
        shrunk = next(runs for runs in here if runs[0].config.shrinks)
        text = (
            f"- **R = {acceleration:g}**: 4S reached "
            f"{mean_and_spread([r.psnr() for r in shrunk])} dB and returned s = "
            f"{_span(sorted(round(r.slope) for r in shrunk))}"
        )
        if not fixed:
            sentences.append(text + ".")
            continue
        best, worst = max(fixed, key=_rank), min(fixed, key=_rank)
        # The same seed has the same initial weights, order of images and draws of U.
        pairs = [
            a.psnr() - b.psnr() for a in shrunk for b in best if a.config.seed == b.config.seed
        ]
        difference = float(np.mean(pairs))
        verdict = "above" if difference > 0 else "below"
        spread = (
            f" (standard deviation of the {len(pairs)} paired differences "
            f"{np.std(pairs, ddof=1):.2f} dB)"
            if len(pairs) > 1
            else " (one seed: no statement about which is better)"
        )
        beaten = sum(_rank(shrunk) > _rank(runs) for runs in fixed)
        trainings = sum(map(len, fixed))
        text += (
            f". The best of {len(fixed)} fixed slopes, s = {best[0].config.slope:g}, reached "
            f"{mean_and_spread([r.psnr() for r in best])} dB; the worst {_mean(worst):.2f} dB. "
            f"4S is {abs(difference):.2f} dB {verdict} the best{spread}, "
            f"and above {beaten} of the {len(fixed)}. Finding the best fixed slope took "
            f"{trainings} trainings, 4S {len(shrunk)}."
        )
        failed = [r for runs in here for r in runs if r.warnings]
        if failed:
            text += f" Runs with a warning: {len(failed)}; see the table."
        sentences.append(text)
    return "\n".join(sentences)


def _groups(results: Sequence[RunResult]) -> list[list[RunResult]]:
    """The seeds of each R and slope together, by R, slope, and 4S last."""
    groups: dict[tuple[float, bool, float], list[RunResult]] = {}
    for r in results:
        key = (r.config.acceleration, r.config.shrinks, r.config.slope)
        groups.setdefault(key, []).append(r)
    return [groups[key] for key in sorted(groups)]


def _slope(runs: Sequence[RunResult]) -> str:
    """The fixed slope of runs, or 4S with the slopes it returned."""
    if not runs[0].config.shrinks:
        return f"{runs[0].config.slope:g}"
    return f"4S: {_span(sorted(round(r.slope) for r in runs))}"


def _mean(runs: Sequence[RunResult]) -> float:
    return float(np.mean([r.psnr() for r in runs]))


def _rank(runs: Sequence[RunResult]) -> float:
    """The mean, and less than any if it is NaN."""
    mean = _mean(runs)
    return -math.inf if math.isnan(mean) else mean


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the standard deviation where there are several; the range if one is infinite."""
    if not np.isfinite(values).all():
        return _span([f"{value:.{digits}f}" for value in sorted(values)])
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _span(values: Sequence[object]) -> str:
    """One value, or the first and the last of several."""
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(str(value) for value in ends)
