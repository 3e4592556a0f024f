"""Why training keeps or removes DC: the gradient of eq. 6 there, and what the decoder learns.

A small model is trained for seconds on one CPU thread.
"""

import copy
import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from loupe_companion.figures.style import GREY, WIDTH
from loupe_companion.zero_frequency.runs import WITH_DC, WITHOUT_DC
from loupe_lib.encoder import undersample
from loupe_lib.loupe import Loupe
from loupe_lib.mask import relax
from loupe_lib.metrics import target
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import one_thread
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer

CPU = torch.device("cpu")


def dc_gradient(
    model: Loupe, images: Tensor, batch: int, slope: float, p: float
) -> dict[str, float]:
    """Measure dL/dP at DC, of the training loss L of a batch, over random draws of U.

    With ``dM/dP = s M (1 - M)`` and ``dM/dU = -s M (1 - M)`` (eq. 6), the mean over U of one image
    is the integral of dL/dM over M, and the mean square that of ``s M (1 - M) (dL/dM)^2``. M at
    DC is therefore drawn uniformly from the values that eq. 6 allows: at a high slope hardly any U
    has a gradient. All other frequencies are drawn as in training.

    Args:
        model: its weights stay as they are; batch norm uses the batch, as in training.
        images: (n, N, N), each used once.
        batch: B; n is a multiple of it.
        slope: s of all entries of M.
        p: P at DC.

    Returns:
        ``gradient``, its mean; ``error``, the standard error of that mean; ``deviation``, the
        standard deviation from one training step to the next.
    """
    generator = torch.Generator().manual_seed(0)
    decoder = copy.deepcopy(model.decoder).train().requires_grad_(False)
    with torch.no_grad():
        probabilities = model.mask.probabilities()
    low, high = torch.tensor([slope * (p - 1), slope * p], dtype=torch.float64).sigmoid().tolist()
    center = model.mask.size // 2
    each_batch = []
    for x in images[torch.randperm(len(images), generator=generator)].split(batch):
        u = torch.rand(len(x), *probabilities.shape, generator=generator)
        masks = relax(probabilities, u, slope)
        masks[:, center, center] = low + (high - low) * torch.rand(len(x), generator=generator)
        masks.requires_grad_()
        loss = F.l1_loss(decoder(undersample(x, masks)), target(x))
        (gradient,) = torch.autograd.grad(loss, masks)
        both = torch.stack([gradient, masks.detach()])
        each_batch.append(both[:, :, center, center].double())
    g, m = torch.stack(each_batch, dim=1)  # (n / B, B): dL/dM of each image, and its M
    sums = (high - low) * g.sum(1)
    mean = float(sums.mean())
    # The square of a sum over images: each with itself, and pairs, whose U are independent.
    alone = (high - low) * (slope * m * (1 - m) * g**2).sum(1)
    in_pairs = sums**2 - (high - low) ** 2 * (g**2).sum(1)
    return {
        "gradient": mean,
        "error": float(sums.std()) / math.sqrt(len(sums)),
        "deviation": math.sqrt(float((alone + in_pairs).mean()) - mean**2),
    }


@one_thread(CPU)
def follow_dc(
    configs: Mapping[str, RunConfig], images: Tensor, epochs: int
) -> tuple[dict[str, Loupe], pd.DataFrame]:
    """Train the first epochs of runs of a fixed slope; measure DC before the first and after each.

    Args:
        configs: by label.
        images: (n, N, N) training images.
        epochs: how many, fewer than lr_patience.

    Returns:
        The models, and a row for each label and epoch: ``p_dc``, and the values of ``dc_gradient``.
    """
    models, rows = {}, []
    for label, config in configs.items():
        run = Run(config, CPU)
        trainer = PlainTrainer([run.model], images, [config.learning_rate])
        center = config.size // 2
        for epoch in range(epochs + 1):
            if epoch:
                for indices in run.batches():
                    trainer.step(indices[None])
                run.history.append({})  # its length decides the order of the images
            with torch.no_grad():
                p = float(run.model.mask.probabilities()[center, center])
            found = dc_gradient(run.model, images, config.batch, config.slope, p)
            rows.append({"training": label, "epoch": epoch, "p_dc": p} | found)
        models[label] = run.model
    return models, pd.DataFrame(rows)


def follow_figure(data: pd.DataFrame) -> Figure:
    """P(DC), and the mean gradient with two standard errors, by epoch, of :func:`follow_dc`."""
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, rows), dash in zip(data.groupby("training", sort=False), ("-", "--"), strict=True):
        colour = WITH_DC if rows["p_dc"].iloc[-1] > 0.5 else WITHOUT_DC
        left.plot(rows["epoch"], rows["p_dc"], dash, color=colour, label=label)
        right.plot(rows["epoch"], rows["gradient"], dash, color=colour)
        band = rows["gradient"] - 2 * rows["error"], rows["gradient"] + 2 * rows["error"]
        right.fill_between(rows["epoch"], *band, color=colour, alpha=0.15, linewidth=0)
    left.axhline(0.5, color=GREY, linewidth=0.8)
    right.axhline(0, color=GREY, linewidth=0.8)
    left.set(ylabel="P(DC)", ylim=(-0.03, 1.03))
    right.set_ylabel("mean gradient at DC\n(above 0: training lowers P)")
    for ax in (left, right):
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, fontsize=9)
    return figure


@one_thread(CPU)
@torch.no_grad()
def brightness_table(models: Mapping[str, Loupe], images: Tensor) -> pd.DataFrame:
    """Reconstructions of (n, N, N) images by inference models (by label), without and with DC.

    All other samples are drawn as in training. Brightness is the sum of all reconstructed pixels
    over that of all true ones; the loss is L1.
    """
    rows = []
    for label, model in models.items():
        masks = model.mask.sample(len(images), torch.Generator().manual_seed(0))
        center, truth = model.mask.size // 2, target(images)
        for name, value in (("missing", 0.0), ("measured", 1.0)):
            masks[:, center, center] = value
            x_hat = model.decoder.eval()(undersample(images, masks))
            brightness = f"{float(x_hat.sum() / truth.sum()):.0%}"
            loss = f"{float(F.l1_loss(x_hat, truth)):.3f}"
            rows.append({"model": label, "DC": name, "brightness": brightness, "loss": loss})
    return pd.DataFrame(rows)


@one_thread(CPU)
def noise_table(model: Loupe, images: Tensor, batch: int, slopes: Sequence[float]) -> pd.DataFrame:
    """The gradient at DC for several slopes of one model. P(DC) is 1/2: only the slope differs."""
    found = pd.DataFrame([dc_gradient(model, images, batch, slope, 0.5) for slope in slopes])
    rms = (found["gradient"] ** 2 + found["deviation"] ** 2) ** 0.5
    return pd.DataFrame(
        {
            "s": [f"{slope:g}" for slope in slopes],
            "mean": found["gradient"].map("{:+.4f}".format),
            "standard error": found["error"].map("{:.4f}".format),
            "SD": found["deviation"].map("{:.3f}".format),
            "mean / RMS": (found["gradient"] / rms).map("{:+.3f}".format),
        }
    )


def dc_energy(images: Tensor) -> float:
    """Mean fraction of the energy of (n, N, N) real images that DC holds (Parseval)."""
    pixels = images.flatten(1)
    return float((pixels.mean(1) ** 2 / pixels.square().mean(1)).mean())
