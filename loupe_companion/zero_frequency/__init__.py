"""Whether a mask keeps the zero frequency (DC): how it comes about, and what it costs.

A mask keeps DC if P > 1/2 there. Functions take results, or train a small model for seconds, and
return tables and figures.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from loupe_companion.claims.statistics import CONFIDENCE, t_interval
from loupe_companion.figures import GREY, WIDTH
from loupe_companion.profiles import REFERENCE
from loupe_companion.results import RunResult
from loupe_companion.tables import mean_and_spread
from loupe_lib.baselines import MASKS
from loupe_lib.data.heads import TEST_HEAD
from loupe_lib.encoder import undersample
from loupe_lib.loupe import Loupe
from loupe_lib.mask import ProbabilityMask, relax
from loupe_lib.metrics import target
from loupe_lib.training.config import SCHEDULES, RunConfig
from loupe_lib.training.device import one_thread
from loupe_lib.training.model import build_mask
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer

# Okabe and Ito's green and vermillion. Filled and hollow markers say the same without colour.
KEPT, MISSING = "#009E73", "#D55E00"
SEED_MARKERS = "o^sDvPX*<>"
STEEPEST = 2000  # above it, a fixed slope loses several dB whether DC is kept or not
SOFT = math.log(19)  # M is between 0.05 and 0.95 where s |P - U| is smaller
NOT_RUN = "not run"
CPU = torch.device("cpu")


def keeps_dc(run: RunResult) -> bool:
    """Whether the thresholded mask measures the zero frequency."""
    return run.p_dc > 0.5


def start_p_dc(config: RunConfig) -> float:
    """P at DC before training: it depends on seed, size and R, not on the method."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(config.seed)
        center = config.size // 2
        return float(build_mask(config).probabilities()[center, center])


def title(config: RunConfig) -> str:
    """The method without center and dc_raised: ``s = 20``, ``4S from 20, p = 16``, ``tanh``."""
    name = config.mask.replace("_", "-")
    if config.mask != "sigmoid":
        return name
    if not config.shrinks:
        return f"s = {config.slope:g}"
    rounds = " double round" * config.double_round
    words = [f"{SCHEDULES[config.schedule]}{rounds} from {config.slope:g}"]
    if config.patience != REFERENCE.settings["patience"]:
        words.append(f"p = {config.patience}")
    if config.factor != RunConfig.factor:
        words.append(f"m = {config.factor:g}")
    return ", ".join(words)


def learned_runs(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs with learned masks of points, DC left to chance, in order of R, method and seed."""
    return sorted(
        (run for run in results if _is_learned(run.config)), key=lambda run: _place(run.config)
    )


def comparable_runs(results: Sequence[RunResult]) -> list[RunResult]:
    """Learned runs without what costs several dB for another reason than DC.

    These are fixed slopes above 2000, and the trained slope.
    """
    return [
        run
        for run in learned_runs(results)
        if run.config.mask != "trained_slope"
        and (run.config.shrinks or run.config.slope <= STEEPEST)
    ]


def kept_by_seed(results: Sequence[RunResult]) -> str:
    """For each R: P(DC) at the start of each seed, how many masks keep DC, and which are better."""
    lines = []
    for acceleration, runs in _by_acceleration(comparable_runs(results)).items():
        parts = []
        for seed in sorted({run.config.seed for run in runs}):
            own = [run for run in runs if run.config.seed == seed]
            kept = sum(map(keeps_dc, own))
            parts.append(
                f"seed {seed} starts at P(DC) = {start_p_dc(own[0].config):.2f}, "
                f"and {kept} of {len(own)} masks keep DC"
            )
        differences = [
            one.psnr() - other.psnr()
            for one in runs
            for other in runs
            if title(one.config) == title(other.config) and keeps_dc(one) > keeps_dc(other)
        ]
        higher = sum(difference > 0 for difference in differences)
        lines.append(
            f"- **R = {acceleration:g}**: {'; '.join(parts)}. "
            f"There are {len(differences)} pairs of runs of one method of which only one keeps DC. "
            f"In {higher} of them that one has the higher PSNR."
        )
    return "\n".join(lines)


def dots_figure(results: Sequence[RunResult]) -> Figure | None:
    """Test PSNR of each comparable run, a row for each method, a panel for each R.

    Green and filled: the mask keeps DC. Red and hollow: it does not. Shape: the seed.

    Returns:
        The figure; None without such runs.
    """
    panels = _by_acceleration(comparable_runs(results))
    if not panels:
        return None
    rows = list(dict.fromkeys(title(run.config) for runs in panels.values() for run in runs))
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (acceleration, runs) in zip(axes, panels.items(), strict=True):
        for run in runs:
            ax.plot(run.psnr(), rows.index(title(run.config)), **_dot(run))
        ax.set(xlabel="test PSNR (dB)", ylim=(len(rows) - 0.5, -0.5))
        ax.set_title(f"R = {acceleration:g}", fontsize=10)
        ax.set_yticks(range(len(rows)), rows, fontsize=9)
        ax.grid(alpha=0.3)
    _legend(figure, sorted({run.config.seed for runs in panels.values() for run in runs}))
    return figure


def p_dc_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """PSNR, and P(DC) at start and end, of every learned mask: a row a method, a column a seed."""
    groups: dict[tuple[float, str], list[RunResult]] = {}
    for run in learned_runs(results):
        groups.setdefault((run.config.acceleration, title(run.config)), []).append(run)
    return pd.DataFrame(
        {"R": f"{acceleration:g}", "method": method}
        | {"DC kept": f"{sum(map(keeps_dc, runs))} of {len(runs)}"}
        | {f"seed {run.config.seed}": _cell(run) for run in runs}
        for (acceleration, method), runs in groups.items()
    ).fillna(NOT_RUN)


def zero_filled_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """PSNR before and after the network, of comparable runs with DC and without it."""
    rows = []
    for acceleration, runs in _by_acceleration(comparable_runs(results)).items():
        for name, kept in (("kept", True), ("missing", False)):
            own = [run for run in runs if keeps_dc(run) == kept]
            before = [float(run.metrics["threshold"]["zero_filled_psnr"].mean()) for run in own]
            after = [run.psnr() for run in own]
            rows.append(
                {
                    "R": f"{acceleration:g}",
                    "DC": name,
                    "runs": str(len(own)),
                    "zero-filled (dB)": mean_and_spread(before, 1) if own else "-",
                    "reconstructed (dB)": mean_and_spread(after) if own else "-",
                }
            )
    return pd.DataFrame(rows)


def explained_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """How much of the variation within a method goes with DC, for two sets of methods.

    PSNR, and the indicator of DC (1 if kept, else 0), are centred on their means over the runs of
    each method at each R. The table has the slope of the regression of one on the other, and its
    R^2: one minus the residual over the total sum of squares. Beside it is the R^2 with one
    indicator for each seed instead.
    """
    rows = []
    sets = {"comparable": comparable_runs(results), "all learned": learned_runs(results)}
    for name, chosen in sets.items():
        for acceleration, runs in _by_acceleration(chosen).items():
            methods = [title(run.config) for run in runs]
            psnr = _centred([[run.psnr()] for run in runs], methods)
            dc = _centred([[float(keeps_dc(run))] for run in runs], methods)
            seeds = sorted({run.config.seed for run in runs})
            by_seed = [[float(run.config.seed == seed) for seed in seeds] for run in runs]
            free = len(runs) - len(set(methods))
            spread = math.sqrt(float((psnr**2).sum()) / free) if free else math.nan
            effect, by_dc = _regress(psnr, dc)
            rows.append(
                {
                    "methods": f"{len(set(methods))}, {name}",
                    "R": f"{acceleration:g}",
                    "runs": str(len(runs)),
                    "SD within a method (dB)": f"{spread:.2f}",
                    "DC kept is worth (dB)": f"{float(effect[0, 0]):+.2f}",
                    "explained by DC": f"{by_dc:.0%}",
                    "explained by the seed": f"{_regress(psnr, _centred(by_seed, methods))[1]:.0%}",
                }
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Pair:
    """A run as it is, with gamma at DC raised, and with the centre measured; None: not run."""

    plain: RunResult
    raised: RunResult | None
    center: RunResult | None


def pairs(plain: Sequence[RunResult], changed: Sequence[RunResult]) -> list[Pair]:
    """The experiment: runs that were also trained with dc_raised or with center = 1.

    A method is in it if one of its seeds was trained so; its other seeds are in it too.
    """
    found = {run.config: run for run in changed}
    all_pairs = [
        Pair(
            run,
            raised=found.get(dataclasses.replace(run.config, dc_raised=True)),
            center=found.get(dataclasses.replace(run.config, center=1)),
        )
        for run in learned_runs(plain)
    ]
    methods = {_method(pair) for pair in all_pairs if pair.raised or pair.center}
    return [pair for pair in all_pairs if _method(pair) in methods]


def experiment_table(experiment: Sequence[Pair]) -> pd.DataFrame:
    """A row for each method and seed: PSNR, and P(DC) at start and end, in the three trainings."""
    return pd.DataFrame(
        {
            "R": f"{pair.plain.config.acceleration:g}",
            "method": title(pair.plain.config),
            "seed": str(pair.plain.config.seed),
            "as it is": _cell(pair.plain),
            "gamma at DC raised": _cell(pair.raised),
            "DC always measured": _cell(pair.center),
        }
        for pair in experiment
    )


def outcome(experiment: Sequence[Pair]) -> str:
    """For each change a sentence: how many masks keep DC, and what those gain that had lost it."""
    lines = []
    for name, field in (("Raised", "raised"), ("Always measured", "center")):
        done = [(pair.plain, run) for pair in experiment if (run := getattr(pair, field))]
        gains = [run.psnr() - plain.psnr() for plain, run in done if not keeps_dc(plain)]
        if not gains:
            lines.append(f"- **{name}**: not run yet for a mask that had lost DC.")
            continue
        kept = sum(keeps_dc(run) for _, run in done)
        text = f"- **{name}**: {kept} of {len(done)} masks keep DC. The {len(gains)} that had lost "
        text += f"it before change by {np.mean(gains):+.2f} dB on average"
        if len(gains) > 1:
            low, high = t_interval(gains)
            text += f" ({CONFIDENCE:.0%} t interval: {low:+.2f} to {high:+.2f} dB)"
        lines.append(f"{text}.")
    return "\n".join(lines)


def gain_table(experiment: Sequence[Pair]) -> pd.DataFrame:
    """The same as differences by seed, apart for masks that lost DC as they were, and that kept it.

    Of each the mean, after ± the standard deviation, and in brackets the number of runs.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in experiment:
        acceleration, method = _method(pair)
        groups.setdefault(f"{method}, R = {acceleration:g}", []).append(pair)
    if len(groups) > 1:
        groups["all"] = list(experiment)
    rows = []
    for method, own in groups.items():
        row = {"method": method}
        for name, field in (("raised", "raised"), ("always measured", "center")):
            for word, kept in (("lost", False), ("kept", True)):
                gains = [
                    run.psnr() - pair.plain.psnr()
                    for pair in own
                    if keeps_dc(pair.plain) == kept and (run := getattr(pair, field))
                ]
                text = f"{mean_and_spread(gains)} ({len(gains)})" if gains else "-"
                row[f"{name}, DC {word} before (dB)"] = text
        rows.append(row)
    return pd.DataFrame(rows)


def experiment_figure(experiment: Sequence[Pair]) -> Figure | None:
    """PSNR in the three trainings, a panel for each method, a line for each seed."""
    methods = list(dict.fromkeys(map(_method, experiment)))
    if not methods:
        return None
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
    for ax, method in zip(axes, methods, strict=True):
        for pair in (pair for pair in experiment if _method(pair) == method):
            runs = list(enumerate((pair.plain, pair.raised, pair.center)))
            points = [(x, run.psnr()) for x, run in runs if run]
            ax.plot(*zip(*points, strict=True), color=GREY, linewidth=0.8, zorder=1)
            for x, run in runs:
                if run:
                    ax.plot(x, run.psnr(), **_dot(run))
        ax.set_xticks(range(3), ["as it is", "raised", "measured"], rotation=45)
        ax.set_xlim(-0.4, 2.4)
        ax.set_title(f"{method[1]}\nR = {method[0]:g}", fontsize=9)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test PSNR (dB)")
    _legend(figure, sorted({pair.plain.config.seed for pair in experiment}))
    return figure


@dataclass(frozen=True)
class Gradient:
    """dL/dP at one frequency, of the loss L of a batch, over random draws of U.

    Attributes:
        mean: its mean.
        error: standard error of that mean.
        deviation: its standard deviation from one training step to the next.
        seen: fraction of the steps in which M there is between 0.05 and 0.95 for an image or more.
    """

    mean: float
    error: float
    deviation: float
    seen: float

    @property
    def signal_to_noise(self) -> float:
        """Mean over standard deviation."""
        return self.mean / self.deviation


def frequency_gradient(
    model: Loupe,
    images: Tensor,
    batch: int,
    at: tuple[int, int],
    slope: float | None = None,
    p: float | None = None,
) -> Gradient:
    """Measure the gradient of the training loss with respect to P at one frequency.

    With ``dM/dP = s M (1 - M)`` and ``dM/dU = -s M (1 - M)`` (eq. 6), the mean over U of one image
    is the integral of dL/dM over M, and the mean square that of ``s M (1 - M) (dL/dM)^2``. M at
    this frequency is therefore drawn uniformly from the values that eq. 6 allows: at a high slope
    hardly any U has a gradient. All other frequencies are drawn as in training.

    Args:
        model: its weights stay as they are; batch norm uses the batch, as in training.
        images: (n, N, N), each used once.
        batch: B; n is a multiple of it.
        at: index of the frequency, centred.
        slope: s; the mask's own without it.
        p: P at this frequency; the mask's own without it.
    """
    generator = torch.Generator().manual_seed(0)
    decoder = copy.deepcopy(model.decoder).train().requires_grad_(False)
    with torch.no_grad():
        probabilities = model.mask.probabilities()
    s = float(model.mask.slope) if slope is None else slope
    p = float(probabilities[at]) if p is None else p
    low, high = torch.tensor([s * (p - 1), s * p], dtype=torch.float64).sigmoid().tolist()
    each_batch = []
    for x in images[torch.randperm(len(images), generator=generator)].split(batch):
        u = torch.rand(len(x), *probabilities.shape, generator=generator)
        masks = relax(probabilities, u, s)
        masks[:, *at] = low + (high - low) * torch.rand(len(x), generator=generator)
        masks.requires_grad_()
        loss = F.l1_loss(decoder(undersample(x, masks)), target(x))
        (gradient,) = torch.autograd.grad(loss, masks)
        each_batch.append(torch.stack([gradient[:, *at], masks.detach()[:, *at]]).double())
    g, m = torch.stack(each_batch, dim=1)  # (n / B, B): dL/dM of each image, and its M
    sums = (high - low) * g.sum(1)
    mean = float(sums.mean())
    # The square of a sum over images: each with itself, and pairs, whose U are independent.
    alone = (high - low) * (s * m * (1 - m) * g**2).sum(1)
    in_pairs = sums**2 - (high - low) ** 2 * (g**2).sum(1)
    inside = min(p + SOFT / s, 1) - max(p - SOFT / s, 0)
    return Gradient(
        mean=mean,
        error=float(sums.std()) / math.sqrt(len(sums)),
        deviation=math.sqrt(float((alone + in_pairs).mean()) - mean**2),
        seen=1 - (1 - inside) ** batch,
    )


@one_thread(CPU)
def follow_dc(config: RunConfig, images: Tensor, epochs: int) -> tuple[Loupe, pd.DataFrame]:
    """Train the first epochs of a run; measure DC before the first and after each.

    Args:
        config: of a fixed slope.
        images: (n, N, N) training images.
        epochs: how many, fewer than lr_patience.

    Returns:
        The model, and a table with the columns ``p`` (P at DC), ``mean`` and ``error`` of the
        gradient of the loss with respect to it; the index is the number of epochs.
    """
    run = Run(config, CPU)
    trainer = PlainTrainer([run.model], images, [config.learning_rate])
    center = config.size // 2
    rows: list[dict[str, float]] = []
    while True:
        gradient = frequency_gradient(run.model, images, config.batch, (center, center))
        with torch.no_grad():
            p = float(run.model.mask.probabilities()[center, center])
        rows.append({"p": p, "mean": gradient.mean, "error": gradient.error})
        if len(rows) > epochs:
            return run.model, pd.DataFrame(rows)
        for indices in run.batches():
            trainer.step(indices[None])
        run.history.append({})  # its length decides the order of the images in the next epoch


def follow_figure(followed: Mapping[str, pd.DataFrame]) -> Figure:
    """P(DC), and the mean gradient with two standard errors, by epoch.

    Args:
        followed: tables of :func:`follow_dc` by label. Green: DC ends above 1/2; red: below.
    """
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, table), dash in zip(followed.items(), ("-", "--", ":", "-."), strict=False):
        style = {"color": KEPT if table["p"].iloc[-1] > 0.5 else MISSING, "linestyle": dash}
        left.plot(table.index, table["p"], label=label, **style)
        right.plot(table.index, table["mean"], **style)
        band = table["mean"] - 2 * table["error"], table["mean"] + 2 * table["error"]
        right.fill_between(table.index, *band, color=style["color"], alpha=0.15, linewidth=0)
    left.axhline(0.5, color=GREY, linewidth=0.8)
    right.axhline(0, color=GREY, linewidth=0.8)
    left.set(ylabel="P(DC)", ylim=(-0.03, 1.03))
    right.set_ylabel("mean gradient at DC\n(above 0: training lowers P)")
    for ax in (left, right):
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(followed), fontsize=9)
    return figure


@one_thread(CPU)
def noise_table(
    model: Loupe, images: Tensor, batch: int, slopes: Sequence[float], p: float = 0.5
) -> pd.DataFrame:
    """The gradient at DC, and at the next frequency, for several slopes of one trained model.

    P at that frequency is set to ``p``, so that only the slope differs.
    """
    center = model.mask.size // 2
    rows = []
    for slope in slopes:
        row = {"s": f"{slope:g}"}
        for name, at in (("DC", (center, center)), ("next", (center, center + 1))):
            found = frequency_gradient(model, images, batch, at, slope, p)
            row |= {
                f"{name}: mean": f"{found.mean:+.4f} ± {found.error:.4f}",
                f"{name}: SD": f"{found.deviation:.3f}",
                f"{name}: mean / SD": f"{found.signal_to_noise:+.3f}",
            }
        rows.append(row | {"steps with a gradient": f"{found.seen:.1%}"})
    return pd.DataFrame(rows)


@one_thread(CPU)
@torch.no_grad()
def brightness_table(models: Mapping[str, Loupe], images: Tensor) -> pd.DataFrame:
    """Reconstructions with and without DC, by inference models; other samples as in training.

    Args:
        models: by label.
        images: (n, N, N).

    Returns:
        A row for each model and state of DC: the sum of all reconstructed pixels over that of all
        true ones, and the L1 loss.
    """
    rows = []
    for label, model in models.items():
        masks = model.mask.sample(len(images), torch.Generator().manual_seed(0))
        center, truth = model.mask.size // 2, target(images)
        for name, value in (("missing", 0.0), ("measured", 1.0)):
            masks[:, center, center] = value
            x_hat = model.decoder.eval()(undersample(images, masks))
            rows.append(
                {
                    "model": label,
                    "DC": name,
                    "brightness": f"{float(x_hat.sum() / truth.sum()):.0%}",
                    "loss": f"{float(F.l1_loss(x_hat, truth)):.3f}",
                }
            )
    return pd.DataFrame(rows)


def dc_energy(images: Tensor) -> float:
    """Mean fraction of the energy of (n, N, N) real images that DC holds (Parseval)."""
    pixels = images.flatten(1)
    return float((pixels.mean(1) ** 2 / pixels.square().mean(1)).mean())


def _is_learned(config: RunConfig) -> bool:
    changed = config.lines or config.center or config.dc_raised or config.keras
    is_usual = not changed and config.test_head == TEST_HEAD
    return is_usual and issubclass(MASKS[config.mask], ProbabilityMask)


def _place(config: RunConfig) -> tuple[object, ...]:
    """Fixed slopes, 4S, its other settings, other schedules, other masks; each by rising slope."""
    usual = config.patience == REFERENCE.settings["patience"] and config.factor == RunConfig.factor
    return (
        config.acceleration,
        config.mask != "sigmoid",
        config.mask,
        config.shrinks,
        config.schedule,
        config.double_round,
        not usual,
        config.factor != RunConfig.factor,
        config.slope,
        config.patience,
        config.factor,
        config.seed,
    )


def _method(pair: Pair) -> tuple[float, str]:
    return pair.plain.config.acceleration, title(pair.plain.config)


def _by_acceleration(runs: Sequence[RunResult]) -> dict[float, list[RunResult]]:
    found: dict[float, list[RunResult]] = {}
    for run in runs:
        found.setdefault(run.config.acceleration, []).append(run)
    return found


def _cell(run: RunResult | None) -> str:
    """PSNR, and P(DC) at start and end."""
    if run is None:
        return NOT_RUN
    return f"{run.psnr():.2f} dB ({start_p_dc(run.config):.2f} → {run.p_dc:.2f})"


def _centred(rows: Sequence[Sequence[float]], groups: Sequence[str]) -> np.ndarray:
    """(n, k) values minus the means of their groups."""
    values = pd.DataFrame(rows)
    return np.asarray(values - values.groupby(list(groups)).transform("mean"))


def _regress(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients and R^2 of the least-squares fit of centred (n, 1) by centred (n, k) values."""
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    total = float((y**2).sum())
    left = float(((y - x @ coefficients) ** 2).sum())
    return coefficients, 1 - left / total if total else math.nan


def _dot(run: RunResult) -> dict[str, Any]:
    colour = KEPT if keeps_dc(run) else MISSING
    return {
        "marker": SEED_MARKERS[run.config.seed % len(SEED_MARKERS)],
        "color": colour,
        "markerfacecolor": colour if keeps_dc(run) else "none",
        "markersize": 6.5,
        "linestyle": "none",
    }


def _legend(figure: Figure, seeds: Sequence[int]) -> None:
    """What colours and shapes mean, above the panels."""
    ax = figure.axes[0]
    dot: dict[str, Any] = {"linestyle": "none", "markersize": 6.5}
    ax.plot([], [], "o", color=KEPT, label="DC kept", **dot)
    ax.plot([], [], "o", color=MISSING, markerfacecolor="none", label="DC missing", **dot)
    for seed in seeds:
        shape = SEED_MARKERS[seed % len(SEED_MARKERS)]
        ax.plot([], [], shape, color=GREY, label=f"seed {seed}", **dot)
    figure.legend(loc="outside upper center", ncols=6, fontsize=9)
