"""The page "Turn the knob": its text, its controls and its data; the rest is explorer.js.

The data stand in the page, because a page opened from disk may not load any: an index in JSON, and
all arrays in one block of bytes, deflated, in base64. Probabilities have 16 bits, binary masks 1,
pictures 8.
"""

import base64
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from loupe_companion.evaluation import BINS
from loupe_companion.figures.style import BLUE, UNIT, YELLOW, show
from loupe_companion.groups import group_runs
from loupe_companion.results import RunResult
from loupe_companion.snapshots import encode, grey_levels
from loupe_lib.mask import binarize, relax

FIRST, SECOND = 20.0, 20_000.0  # the slopes that the first state compares
SEEDS = 3  # of each method; more would not fit the page
LARGEST_REPLAY = 64  # side of the images; those of larger ones would not fit the page

PAGE = """\
# Turn the knob

## The encoder, live

Drag the slope $s$. At $s = 20$ the relaxed mask $M = \\sigma_s(P - U)$ of the training has grey
entries: no scanner can apply it. At $s = 20\\,000$ it is binary, like the masks that are used after
training.

```{raw} html
<noscript>
<p>These controls need JavaScript. This picture shows their first state.</p>
<img src="data:image/png;base64,%(picture)s" alt="%(alt)s">
</noscript>
<section class="explorer" id="live" aria-label="The encoder, live" hidden>
<div class="controls">
<label>R <select id="live-acceleration"></select></label>
<label>Mask of <select id="live-run"></select></label>
<label>Image <select id="live-slice"></select></label>
<button type="button" id="live-draw">Draw U again</button>
</div>
<div class="controls">
<label class="wide" for="live-knob"><span>Slope s = <output id="live-slope"></output></span>
<input type="range" id="live-knob" min="0" max="5" step="0.02"></label>
<button type="button" data-slope="20">s = 20</button>
<button type="button" data-slope="20000">s = 20 000</button>
</div>
<div class="panels four">
<figure><canvas id="live-p"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-m"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-histogram" class="chart"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-second"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-threshold"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-budget"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-y"></canvas><figcaption></figcaption></figure>
<figure><canvas id="live-image"></canvas><figcaption></figcaption></figure>
</div>
</section>
```

Your browser computes all pictures and numbers of this part. $P$ is the map of probabilities that a
training has found, $U$ are random numbers. The number below $M$ is the fraction of its entries
between 0.05 and 0.95. The histogram counts all entries, as Fig. 2 of the paper does.
$y = M \\circ \\mathcal F(x)$ is the measured k-space, on a logarithmic scale of four decades. PSNR
compares $|\\mathcal F^{-1} y|$, the image before the network, with the original. P(DC) is the
probability of the zero frequency, in the middle of the mask. $R$ below a binary mask is the
acceleration that it achieves. In the list of masks, 4S is followed by the slope that it
returned; s0 is its initial slope, if that is not 20.

## A training, replayed

Drag the epoch. 4S (yellow) raises its slope step by step, and its mask becomes binary. The other
training (blue) keeps one slope. Both start from the same seed.

```{raw} html
<section class="explorer" id="replay" aria-label="A training, replayed" hidden>
<div class="controls">
<label>Trainings <select id="replay-pair"></select></label>
<label class="wide" for="replay-knob"><span>Epoch <output id="replay-epoch"></output></span>
<input type="range" id="replay-knob" min="1" step="1"></label>
</div>
<div class="panels three">
<figure><canvas id="replay-slope" class="chart"></canvas><figcaption>slope s</figcaption></figure>
<figure><canvas id="replay-loss" class="chart"></canvas>
<figcaption>validation loss, with the binary mask</figcaption></figure>
<figure><canvas id="replay-dc" class="chart"></canvas><figcaption>P(DC)</figcaption></figure>
</div>
<div class="pair">
<div><h4></h4><div class="panels three">
<figure><canvas></canvas><figcaption></figcaption></figure>
<figure><canvas></canvas><figcaption></figcaption></figure>
<figure><canvas></canvas><figcaption></figcaption></figure>
</div></div>
<div><h4></h4><div class="panels three">
<figure><canvas></canvas><figcaption></figcaption></figure>
<figure><canvas></canvas><figcaption></figcaption></figure>
<figure><canvas></canvas><figcaption></figcaption></figure>
</div></div>
</div>
</section>
```

The curves have a value for each epoch. Masks and reconstructions were kept at some epochs, the dots
of the third chart; the page shows the last one at or before the chosen epoch. The reconstruction
uses the binary mask $P > 0.5$. When its first round ends, 4S goes back to the weights of the lowest
loss, and to their slope.

## Results

Choose a method. The chart shows the test PSNR of every training of this $R$, as Fig. 3 of the paper
does: fixed slopes in blue, 4S from s = 1, 20 and 200 in yellow at the slope that it returned. A
ring marks the runs of the chosen method.

```{raw} html
<section class="explorer" id="results" aria-label="Results" hidden>
<div class="controls">
<label>R <select id="results-acceleration"></select></label>
<label>Seed <select id="results-seed"></select></label>
<label>Image <select id="results-slice"></select></label>
<label class="wide" for="results-knob"><span>Method: <output id="results-method"></output></span>
<input type="range" id="results-knob" min="0" step="1"></label>
</div>
<figure><canvas id="results-chart" class="chart long"></canvas><figcaption></figcaption></figure>
<div class="panels three">
<figure><canvas id="results-p"></canvas><figcaption></figcaption></figure>
<figure><canvas id="results-threshold"></canvas><figcaption></figcaption></figure>
<figure><canvas id="results-truth"></canvas><figcaption></figcaption></figure>
<figure><canvas id="results-zero"></canvas><figcaption></figcaption></figure>
<figure><canvas id="results-image"></canvas><figcaption></figcaption></figure>
<figure><canvas id="results-error"></canvas><figcaption></figcaption></figure>
</div>
</section>
<script type="application/json" id="explorer-index">%(index)s</script>
<script type="text/plain" id="explorer-data">%(data)s</script>
<link rel="stylesheet" href="../_static/explorer.css">
<script src="../_static/explorer.js"></script>
```

The test PSNR is a mean over all test slices. The error is $|\\hat x - x|$; white is an error of 0.1
or more.
"""
ALT = (
    "Probability mask P, a relaxed mask M at s = 20 and at s = 20 000, "
    "and the histograms of their entries"
)


class Block:
    """Arrays one after the other. Of 16-bit numbers all low bytes stand before all high bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, values: np.ndarray) -> int:
        """Append an array of uint8 or uint16; returns its place in bytes."""
        place = len(self._bytes)
        self._bytes += values.reshape(-1, 1).view(np.uint8).T.tobytes()
        return place

    def in_base64(self) -> str:
        """All bytes, deflated (zlib), in base64."""
        return base64.b64encode(zlib.compress(bytes(self._bytes), 9)).decode()


def explorer_page(
    results: Sequence[RunResult], trainings: Mapping[str, Sequence[RunResult]]
) -> str:
    """The page in MyST Markdown, with its data.

    Args:
        results: runs of one image side, a power of 2, for the first and the last part; of each
            method the first three are shown. The test slices are those of the first run that has
            pictures; the reconstructions of runs with other slices are left out.
        trainings: results by the name of their sweep, which may be empty; of each a pair is
            replayed, see :func:`replayed`. Those of images larger than 64 pixels a side are left
            out.
    """
    truth = next(run.truth for run in results if len(run.shown))
    shown = [(group.title, run) for group in group_runs(results) for run in group.runs[:SEEDS]]
    block = Block()
    pairs = {name: pair for name, runs in trainings.items() if (pair := replayed(runs))}
    first = min(range(len(shown)), key=lambda k: _order(shown[k][1]))
    index: dict[str, Any] = {
        "size": truth.shape[-1],
        "bins": BINS,
        "slopes": [FIRST, SECOND],
        "images": [block.add(encode(image)) for image in truth],
        "first": first,
        "runs": [_run(run, title, truth, block) for title, run in shown],
        "replays": [_replay(name, pair, block) for name, pair in pairs.items()],
    }
    return PAGE % {
        "picture": _static_picture(shown[first][1]),
        "alt": ALT,
        "index": json.dumps(index, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "data": block.in_base64(),
    }


def _order(run: RunResult) -> tuple[bool, bool, float]:
    """The mask of the first state is the least: 4S, if there is one, that keeps DC."""
    return not run.config.shrinks, run.p_dc <= 0.5, run.config.acceleration


def replayed(results: Sequence[RunResult]) -> tuple[RunResult, RunResult] | None:
    """The first 4S run with snapshots, and a fixed slope of the same R and seed that has some too.

    Of several the slope nearest to the one where 4S starts; None if there is no such pair.
    """
    kept = [
        run
        for run in results
        if run.snapshots and run.config.mask == "sigmoid" and run.config.size <= LARGEST_REPLAY
    ]
    for run in kept:
        one = run.config
        fixed = [
            other
            for other in kept
            if not other.config.shrinks
            and (other.config.acceleration, other.config.seed) == (one.acceleration, one.seed)
        ]
        if one.shrinks and one.schedule == "4S" and fixed:
            start = math.log(one.slope)
            return run, min(fixed, key=lambda other: abs(math.log(other.config.slope) - start))
    return None


def _run(run: RunResult, title: str, truth: np.ndarray, block: Block) -> dict[str, Any]:
    p = torch.from_numpy(run.probabilities)
    exact = binarize(p, run.config.acceleration, "topk").numpy().astype(bool)
    pictures = run.reconstructions if np.array_equal(run.truth, truth) else truth[:0]
    errors = np.mean((pictures - truth[: len(pictures)]) ** 2, axis=(-2, -1))
    return {
        "title": title,
        "acceleration": run.config.acceleration,
        "seed": run.config.seed,
        "shrinks": run.config.shrinks,
        "slope": run.slope,
        "psnr": _number(run.psnr()),
        "warnings": list(run.warnings),
        "p": block.add(encode(run.probabilities)),
        "budget": block.add(np.packbits(exact)),
        "pictures": [block.add(grey_levels(x_hat)) for x_hat in pictures],
        "picturePsnr": list(map(_number, -10 * np.log10(errors))),
    }


def _replay(name: str, pair: tuple[RunResult, RunResult], block: Block) -> dict[str, Any]:
    config = pair[0].config
    title = f"R = {config.acceleration:g}, N = {config.size}, seed {config.seed}"
    return {
        "title": title + f" ({name})" * bool(name),
        "size": config.size,
        "runs": [_training(run, block) for run in pair],
    }


def _training(run: RunResult, block: Block) -> dict[str, Any]:
    config, kept = run.config, run.snapshots
    title = f"4S from s = {config.slope:g}" if config.shrinks else f"fixed s = {config.slope:g}"
    return {
        "title": title,
        "slope": list(map(_number, run.history["slope"])),
        "loss": list(map(_number, run.history["loss"])),
        "epochs": kept["epoch"].tolist(),
        "psnr": list(map(_number, kept["psnr"])),
        "p": [block.add(p) for p in kept["probabilities"]],
        "pictures": [block.add(x_hat) for x_hat in kept["reconstruction"]],
    }


def _number(value: float) -> float | None:
    """A number in a few digits; JSON has none for NaN and infinity."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _static_picture(run: RunResult) -> str:
    """The first state as PNG in base64, for browsers without scripts."""
    p = torch.from_numpy(run.probabilities)
    u = torch.rand(p.shape, generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(7.6, 2.4), layout="constrained")
    axes = figure.subplots(1, 4)
    show(axes[0], p, "$P$", 9, frame=True, **UNIT)
    for ax, slope, colour in zip(axes[1:3], (FIRST, SECOND), (BLUE, YELLOW), strict=True):
        m = relax(p, u, slope)
        show(ax, m, f"$M$, $s = {slope:,.0f}$".replace(",", "\\,"), 9, frame=True, **UNIT)
        counts, edges = np.histogram(m.numpy(), BINS, (0, 1))
        axes[3].stairs(counts / m.numel(), edges, color=colour, label=f"$s = {slope:.0f}$")
    axes[3].set_yscale("log")
    axes[3].set_title("entries of $M$", fontsize=9)
    axes[3].legend(fontsize=7)
    axes[3].tick_params(labelsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return base64.b64encode(png.getvalue()).decode()
