"""The tables and sentences of the notebooks."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from loupe_companion.evaluation import BINS, average_mask
from loupe_companion.groups import (
    Group,
    group_runs,
    groups_in_paper,
    groups_with_starts,
    returned_slope,
    span,
)
from loupe_companion.results import RunResult
from loupe_companion.symmetry import pair_fractions
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
    """Which methods a figure leaves out, because the paper does not have them."""
    titles = dict.fromkeys(g.title for g in group_runs(results) if not g.in_paper)
    if not titles:
        return ""
    meaning = " (s0: the slope that 4S starts from)" * any("s0=" in title for title in titles)
    return f"The figure leaves out {', '.join(titles)}{meaning}."


def dc_kept(results: Sequence[RunResult]) -> str:
    """A sentence: in how many runs the mask keeps the zero frequency, at each R."""
    rows: dict[float, list[RunResult]] = {}
    for run in results:
        rows.setdefault(run.config.acceleration, []).append(run)
    counts = [
        f"in {sum(run.p_dc > 0.5 for run in runs)} of {len(runs)} runs at R = {r:g}"
        for r, runs in sorted(rows.items())
    ]
    return f"The mask keeps the zero frequency, P(DC) > 0.5, {' and '.join(counts)}."


def psnr_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Test PSNR by kind of mask, achieved R, P(DC): a row for each R and method."""
    return pd.DataFrame(
        _head(group)
        | {
            "PSNR (dB)": _metric(group, "psnr"),
            "achieved R": _metric(group, "achieved_acceleration"),
            "P(DC)": _p_dc(group),
            "exact budget": _metric(group, "psnr", mask="topk"),
            "soft masks": _metric(group, "psnr", mask="relaxed"),
            "zero-filled": _metric(group, "zero_filled_psnr"),
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


def soft_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Fractions of soft entries of single masks and of the average mask; the step at 1/2.

    A row for each R and each fixed slope or start of 4S; means over seeds. The last two columns are
    the ratio of the heights of the histogram of single masks on both sides of 1/2: as counted, and
    as P and s predict.
    """
    rows = []
    for group in (group for row in groups_with_starts(results).values() for group in row):
        near = [np.mean(run.probabilities < 0.1 / run.slope) for run in group.runs]
        counted = np.mean([run.histogram for run in group.runs], axis=0)
        low, high = counted[BINS // 2 - 1], counted[BINS // 2]
        below, above = np.mean([_beside_half(run) for run in group.runs], axis=0)
        rows.append(
            _head(group)
            | {
                "M soft": f"{np.mean([run.soft_share for run in group.runs]):.1%}",
                "average soft": f"{np.mean(list(map(_average_soft, group.runs))):.1%}",
                "P(DC)": _p_dc(group),
                "P below 0.1/s": f"{np.mean(near):.1%}",
                "step at ½": f"{high / low:.2f}" if low else "none counted",
                "step from P": f"{above / below:.2f}",
            }
        )
    return pd.DataFrame(rows)


def _beside_half(run: RunResult) -> tuple[float, float]:
    """Fractions of the entries of M in the bins below and above 1/2, by P and s.

    M is in the bin above 1/2 if U is between P - d and P, where sigmoid(s d) is the bin's end.
    """
    p = run.probabilities.astype(np.float64)
    end = 0.5 + 1 / BINS
    d = np.log(end / (1 - end)) / run.slope
    return float(np.minimum(1 - p, d).mean()), float(np.minimum(p, d).mean())


def mask_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """How decided P is, P(DC), and which samples of the pairs (k, -k) the masks keep.

    A row for each R and method; of the last three columns the mean and the spread over seeds.
    """
    rows = []
    for group in group_runs(results):
        pairs = [pair_fractions(run.probabilities) for run in group.runs]
        rows.append(
            _head(group)
            | {
                "P undecided": f"{np.mean([r.undecided_share for r in group.runs]):.1%}",
                "achieved R": _metric(group, "achieved_acceleration"),
                "P(DC)": _p_dc(group),
                "one of a pair (%)": mean_and_spread([100 * pair.one for pair in pairs], 1),
                "by chance (%)": mean_and_spread([100 * pair.one_by_chance for pair in pairs], 1),
                "both (%)": mean_and_spread([100 * pair.both for pair in pairs], 1),
            }
        )
    return pd.DataFrame(rows)


def soft_readings(results: Sequence[RunResult]) -> str:
    """The two readings of Fig. 2 at the lowest and the highest slope and with 4S, in Markdown."""
    return "\n".join(
        f"- **R = {r:g}**: entries of single masks between 0.05 and 0.95: "
        f"{_by_slope(groups, lambda run: run.soft_share)}; entries of the average: "
        f"{_by_slope(groups, _average_soft)}."
        for r, groups in groups_in_paper(results).items()
    )


def undecided_slopes(results: Sequence[RunResult]) -> str:
    """Undecided probabilities at the lowest and the highest slope and with 4S, in Markdown.

    With whether this is what the paper says of its Fig. 4.
    """
    lines = []
    for r, groups in groups_in_paper(results).items():
        text = (
            f"- **R = {r:g}**: probabilities between 0.1 and 0.9: "
            f"{_by_slope(groups, lambda run: run.undecided_share)}."
        )
        fixed = [group for group in groups if not group.config.shrinks]
        if len(fixed) > 1:
            low, high = (
                np.mean([run.undecided_share for run in group.runs])
                for group in (fixed[0], fixed[-1])
            )
            start = "As in the paper," if low > high else "This contradicts the paper, where"
            text += f" {start} the low slope leaves more of them than the high one."
        lines.append(text)
    return "\n".join(lines)


def _by_slope(groups: Sequence[Group], fraction: Callable[[RunResult], float]) -> str:
    """A fraction, mean over seeds, at the lowest and the highest fixed slope, and with 4S."""
    fixed = [group for group in groups if not group.config.shrinks]
    shrunk = [group for group in groups if group.config.shrinks]
    shown = {group.title: group for group in (*fixed[:1], *fixed[-1:], *shrunk)}
    words = [
        f"{np.mean([fraction(run) for run in group.runs]):.1%} ({title})"
        for title, group in shown.items()
    ]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _average_soft(run: RunResult) -> float:
    """Fraction of the entries of the average mask in (0.05, 0.95)."""
    average = average_mask(run.probabilities, run.slope)
    return float(np.mean((average > 0.05) & (average < 0.95)))


def _p_dc(group: Group) -> str:
    """P at the zero frequency, of each seed: with or without it, not between, so no mean."""
    return ", ".join(f"{run.p_dc:.2f}" for run in group.runs)


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


def difference(results: Sequence[RunResult]) -> str:
    """A sentence for each R: 4S against the best fixed slope, and the spread over seeds."""
    sentences = []
    for r, groups in groups_in_paper(results).items():
        *fixed, shrunk = groups
        if fixed and shrunk.config.shrinks:
            best = max(fixed, key=lambda group: group.mean_psnr)
            gap = shrunk.mean_psnr - best.mean_psnr
            spreads = [np.std(g.psnr, ddof=1) for g in (shrunk, best) if len(g.runs) > 1]
            spread = "; one seed tells nothing about the spread"
            if len(spreads) == 2:
                spread = (
                    f"; over seeds they spread by {spreads[0]:.2f} and {spreads[1]:.2f} dB (SD)"
                )
            sentences.append(
                f"At R = {r:g}, the mean of 4S is {abs(gap):.2f} dB "
                f"{'above' if gap > 0 else 'below'} that of the {_best_of(fixed)}, "
                f"s = {best.config.slope:g}{spread}."
            )
    return " ".join(sentences)


def _best_of(fixed: Sequence[Group]) -> str:
    return f"best of {len(fixed)} fixed slopes" if len(fixed) > 1 else "only fixed slope"


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
    ranked = sorted(fixed, key=lambda group: group.mean_psnr)
    worst, best = ranked[0], ranked[-1]
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
    beaten = sum(shrunk.mean_psnr > group.mean_psnr for group in fixed)
    text += (
        f" The {_best_of(fixed)}, s = {best.config.slope:g}, reached "
        f"{mean_and_spread(best.psnr)} dB; the worst {np.mean(worst.psnr):.2f} dB. "
        f"4S is {abs(difference):.2f} dB {'above' if difference > 0 else 'below'} the best "
        f"({spread}), and above {beaten} of the {len(fixed)}. Finding the best fixed slope took "
        f"{sum(len(group.runs) for group in fixed)} trainings, 4S {len(shrunk.runs)}."
    )
    failed = sum(bool(run.warnings) for group in groups for run in group.runs)
    return text + f" Runs with a warning: {failed}; see the table." * (failed > 0)
