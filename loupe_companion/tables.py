"""The tables and sentences of the notebooks."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from loupe_companion.groups import Group, group_runs, groups_in_paper, returned_slope, span
from loupe_companion.results import RunResult
from loupe_lib.training.config import HEADS

NUMBERS = r"([-+±.,%\d\s]|inf|nan|to)*"  # such as 36.43 ± 0.98, 7.36 to inf, 1.5%


def markdown(frame: pd.DataFrame) -> str:
    """A table of text cells in Markdown; columns of only numbers are set flush right."""
    numbers = [frame[name].astype(str).str.fullmatch(NUMBERS).all() for name in frame]
    align = ["right" if only else "left" for only in numbers]
    return frame.to_markdown(index=False, disable_numparse=True, colalign=align)


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the standard deviation where there are several; the range if one is infinite."""
    if not np.isfinite(values).all():
        return span([f"{value:.{digits}f}" for value in sorted(values)])
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def conditions(results: Sequence[RunResult]) -> str:
    """A figure's caption, in Markdown: sizes, seeds, device, date and code of the runs."""
    config = results[0].config
    seeds = sorted({r.config.seed for r in results})
    epochs = sorted({len(r.history["loss"]) for r in results})
    devices = sorted({r.provenance["device"] for r in results})
    days = sorted({r.provenance["date"][:10] for r in results})
    codes = sorted({r.provenance["code"] for r in results})
    own = f"image file {config.data[:12]}"
    images = "virtual subjects from the embedded heads" if config.data == HEADS else own
    seconds = sum(r.provenance["training_seconds"] for r in results)
    return (
        f"*{len(results)} run{'s' * (len(results) > 1)}: N = {config.size}, "
        f"U-Net width {config.width}, "
        f"{config.train} / {config.validation} / {config.test} slices of {images}; "
        f"{span(epochs)} epochs, batch {config.batch}; seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}. Trained on {', '.join(devices)}, {span(days)}. "
        f"Total training time of all runs: {seconds / 60:.1f} minutes; code {', '.join(codes)}."
        f"{' After ±: the standard deviation over seeds.' * (len(seeds) > 1)}*"
    )


def left_out(results: Sequence[RunResult]) -> str:
    """Which methods the figures leave out, because the paper does not have them."""
    titles = dict.fromkeys(g.title for g in group_runs(results) if not g.in_paper)
    if not titles:
        return ""
    return f"The figure shows fixed slopes and 4S only; the table has also {', '.join(titles)}."


def psnr_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Test PSNR by kind of mask, achieved R, soft fractions: a row for each R and method."""
    return pd.DataFrame(
        _head(group)
        | {
            "PSNR (dB)": _metric(group, "psnr"),
            "achieved R": _metric(group, "achieved_acceleration"),
            "exact budget": _metric(group, "psnr", mask="topk"),
            "soft masks": _metric(group, "psnr", mask="relaxed"),
            "zero-filled": _metric(group, "zero_filled_psnr"),
            "M soft": f"{np.mean([r.soft_share for r in group.runs]):.1%}",
            "P undecided": f"{np.mean([r.undecided_share for r in group.runs]):.1%}",
        }
        for group in group_runs(results)
    )


def volume_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """The same runs in the metrics of the fastMRI challenge, a mean over test volumes."""
    return pd.DataFrame(
        _head(group)
        | {
            "volume PSNR (dB)": _metric(group, "volume_psnr"),
            "SSIM": _metric(group, "volume_ssim", digits=3),
            "NMSE": _metric(group, "volume_nmse", digits=4),
        }
        for group in group_runs(results)
    )


def _metric(group: Group, name: str, mask: str = "threshold", digits: int = 2) -> str:
    """A metric of a group's runs: of each the mean over its slices or volumes."""
    return mean_and_spread([float(r.metrics[mask][name].mean()) for r in group.runs], digits)


def _head(group: Group) -> dict[str, str]:
    """R and method, with the slopes that a schedule returned."""
    returned = f": {returned_slope(group.runs)}" * group.config.shrinks
    return {"R": f"{group.config.acceleration:g}", "method": group.title + returned}


def warning_list(results: Sequence[RunResult]) -> str:
    """Every warning with its run, as a Markdown list."""
    return "\n".join(
        f"- **Warning**, R={run.config.acceleration:g} {group.title} seed {run.config.seed}: {text}"
        for group in group_runs(results)
        for run in group.runs
        for text in run.warnings
    )


def comparison(results: Sequence[RunResult]) -> str:
    """4S against the best fixed slope at each R, and what finding that slope cost, in Markdown."""
    return "\n".join(map(_compare, groups_in_paper(results).values()))


def _compare(groups: Sequence[Group]) -> str:
    *fixed, shrunk = groups
    if not shrunk.config.shrinks:
        return f"- **R = {shrunk.config.acceleration:g}**: these results have no runs of plain 4S."
    text = (
        f"- **R = {shrunk.config.acceleration:g}**: 4S reached {mean_and_spread(shrunk.psnr)} dB "
        f"and returned s = {returned_slope(shrunk.runs)}."
    )
    if not fixed:
        return text
    best, worst = max(fixed, key=_rank), min(fixed, key=_rank)
    # The same seed has the same initial weights, order of images and draws of U.
    differences = [
        a.psnr() - b.psnr()
        for a in shrunk.runs
        for b in best.runs
        if a.config.seed == b.config.seed
    ]
    difference = np.mean(differences)
    spread = "one seed: no statement about which is better"
    if len(differences) > 1:
        spread = (
            f"standard deviation of the {len(differences)} paired differences "
            f"{np.std(differences, ddof=1):.2f} dB"
        )
    beaten = sum(_rank(shrunk) > _rank(group) for group in fixed)
    text += (
        f" The best of {len(fixed)} fixed slopes, s = {best.config.slope:g}, reached "
        f"{mean_and_spread(best.psnr)} dB; the worst {np.mean(worst.psnr):.2f} dB. "
        f"4S is {abs(difference):.2f} dB {'above' if difference > 0 else 'below'} the best "
        f"({spread}), and above {beaten} of the {len(fixed)}. Finding the best fixed slope took "
        f"{sum(len(group.runs) for group in fixed)} trainings, 4S {len(shrunk.runs)}."
    )
    failed = sum(bool(run.warnings) for group in groups for run in group.runs)
    return text + f" Runs with a warning: {failed}; see the table." * (failed > 0)


def _rank(group: Group) -> float:
    """The mean PSNR, and less than any if it is NaN."""
    mean = float(np.mean(group.psnr))
    return -math.inf if math.isnan(mean) else mean
