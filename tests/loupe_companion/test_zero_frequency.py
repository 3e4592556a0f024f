"""The page on the zero frequency: its numbers against independent computations."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch.nn import functional as F

from loupe_companion import zero_frequency as zero
from loupe_companion.results import RunResult
from loupe_lib.mask import relax
from loupe_lib.training.config import RunConfig
from loupe_lib.training.loop import train
from loupe_lib.training.model import build_model
from loupe_lib.training.run import Run
from tests.common import fixed, smoke


def with_values(run: RunResult, p_dc: float, psnr: float, **changes: object) -> RunResult:
    """A real run with another P at DC, another PSNR, and another configuration."""
    probabilities = run.probabilities.copy()
    probabilities[16, 16] = p_dc
    metrics = run.metrics | {"threshold": run.metrics["threshold"] | {"psnr": np.full(3, psnr)}}
    config = dataclasses.replace(run.config, **changes)
    return dataclasses.replace(run, config=config, probabilities=probabilities, metrics=metrics)


@pytest.fixture
def real(trained) -> RunResult:
    return trained.results[0]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (fixed(slope=200.0), "s = 200"),
        (smoke(slope=20.0, patience=8), "4S from 20"),
        (smoke(slope=20.0, patience=16, factor=2.0), "4S from 20, p = 16, m = 2"),
        (smoke(slope=20.0, patience=8, schedule="released"), "4S released from 20"),
        (
            smoke(slope=20.0, patience=8, schedule="released", double_round=True),
            "4S released double round from 20",
        ),
        (fixed(mask="straight_through"), "straight-through"),
        (fixed(slope=200.0, center=1), "s = 200"),
        (fixed(slope=200.0, dc_raised=True), "s = 200"),
    ],
)
def test_titles(config: RunConfig, expected: str) -> None:
    assert zero.title(config) == expected


@pytest.mark.parametrize("changes", [{}, {"dc_raised": True}, {"center": 1}, {"mask": "tanh"}])
def test_start_is_that_of_the_untrained_model(changes) -> None:
    config = fixed(seed=5, **changes)
    torch.manual_seed(3)
    found = zero.start_p_dc(config)
    after = torch.rand(4)
    assert found == build_model(config).mask.probabilities()[16, 16].item()
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(4)), "the global generator was used"


def test_only_learned_masks_of_points_with_dc_left_to_chance(real) -> None:
    wanted = [with_values(real, 0, 30), with_values(real, 0, 30, mask="tanh")]
    trained_slope = with_values(real, 0, 30, mask="trained_slope")
    steep = with_values(real, 0, 30, slope=5000.0)
    others = [
        with_values(real, 0, 30, **changes)
        for changes in (
            {"mask": "disc"},
            {"lines": True},
            {"center": 1},
            {"dc_raised": True},
            {"keras": True},
            {"test_head": "colin27"},
        )
    ]
    results = [*others, *wanted, trained_slope, steep]
    assert zero.learned_runs(results) == [wanted[0], steep, wanted[1], trained_slope]
    assert zero.comparable_runs(results) == wanted


def test_sentences_count_masks_that_keep_dc(kept_results) -> None:
    text = zero.kept_by_seed(kept_results)
    runs = [r for r in zero.comparable_runs(kept_results) if r.config.acceleration == 4]
    (line,) = [line for line in text.splitlines() if "R = 4" in line]
    for seed in (0, 1, 2):
        own = [r.probabilities[64, 64] for r in runs if r.config.seed == seed]
        assert len(own) >= 18
        kept = sum(p > 0.5 for p in own)
        start = zero.start_p_dc(fixed(size=128, acceleration=4.0, seed=seed))
        expected = f"seed {seed} starts at P(DC) = {start:.2f}, and {kept} of {len(own)} masks"
        assert expected in line


def test_sentences_compare_masks_of_one_method(real) -> None:
    runs = [
        with_values(real, p, psnr, seed=seed, mask=mask)
        for mask, seed, p, psnr in (
            ("sigmoid", 0, 0.0, 30.0),
            ("sigmoid", 1, 1.0, 31.0),
            ("sigmoid", 2, 1.0, 29.0),
            ("tanh", 0, 1.0, 35.0),
        )
    ]
    assert "There are 2 pairs of runs of one method" in zero.kept_by_seed(runs)
    assert "In 1 of them that one has the higher PSNR." in zero.kept_by_seed(runs)


def test_explained_is_the_squared_correlation_within_methods(kept_results) -> None:
    table = zero.explained_table(kept_results)
    row = table[table["methods"].str.endswith("comparable") & (table["R"] == "4")].iloc[0]
    groups: dict[str, list[RunResult]] = {}
    for run in zero.comparable_runs(kept_results):
        if run.config.acceleration == 4:
            groups.setdefault(zero.title(run.config), []).append(run)
    psnr, dc = [], []
    for runs in groups.values():
        values = np.array([run.psnr() for run in runs])
        kept = np.array([run.probabilities[64, 64] > 0.5 for run in runs], float)
        psnr += list(values - values.mean())
        dc += list(kept - kept.mean())
    assert row["explained by DC"] == f"{np.corrcoef(psnr, dc)[0, 1] ** 2:.0%}"
    assert row["DC kept is worth (dB)"] == f"{np.dot(psnr, dc) / np.dot(dc, dc):+.2f}"
    spread = np.sqrt(np.sum(np.square(psnr)) / (len(psnr) - len(groups)))
    assert row["SD within a method (dB)"] == f"{spread:.2f}"
    assert row["runs"] == str(len(psnr))


def test_explained_by_dc_or_by_the_seed(real) -> None:
    def explained(values: dict[tuple[str, int], tuple[float, float]]) -> tuple[str, str]:
        runs = [
            with_values(real, p, psnr, mask=mask, seed=seed)
            for (mask, seed), (p, psnr) in values.items()
        ]
        row = zero.explained_table(runs).iloc[0]
        return row["explained by DC"], row["explained by the seed"]

    lost, kept = (0.0, 30.0), (1.0, 32.0)
    by_dc = {("tanh", 0): lost, ("tanh", 1): kept, ("sigmoid", 0): kept, ("sigmoid", 1): lost}
    assert explained(by_dc) == ("100%", "0%")
    by_seed = {("tanh", 0): (0, 30), ("tanh", 1): (0, 32), ("tanh", 2): (0, 33)}
    assert explained(by_seed) == ("0%", "100%")


@pytest.fixture
def experiment(real) -> list[zero.Pair]:
    plain = [
        with_values(real, 0.0, 30.0, seed=0),
        with_values(real, 1.0, 32.0, seed=1),
        with_values(real, 0.0, 29.0, seed=0, mask="tanh"),  # no changed run: not in the experiment
    ]
    changed = [
        with_values(real, 1.0, 31.5, seed=0, dc_raised=True),
        with_values(real, 1.0, 32.25, seed=1, dc_raised=True),
        with_values(real, 1.0, 33.0, seed=1, center=1),
    ]
    return zero.pairs(plain, changed)


def test_experiment_pairs_runs_that_differ_in_one_setting(experiment) -> None:
    table = zero.experiment_table(experiment)
    assert table["seed"].tolist() == ["0", "1"]
    start = [zero.start_p_dc(pair.plain.config) for pair in experiment]
    raised = zero.start_p_dc(experiment[0].raised.config)
    assert table["as it is"].tolist() == [
        f"30.00 dB ({start[0]:.2f} → 0.00)",
        f"32.00 dB ({start[1]:.2f} → 1.00)",
    ]
    assert table["gamma at DC raised"][0] == f"31.50 dB ({raised:.2f} → 1.00)"
    assert table["DC always measured"].tolist() == ["not run", "33.00 dB (1.00 → 1.00)"]


def test_gains_are_apart_for_masks_that_lost_dc(experiment) -> None:
    (row,) = zero.gain_table(experiment).to_dict("records")
    assert row == {
        "method": "s = 200, R = 4",
        "raised, DC lost before (dB)": "1.50 (1)",
        "raised, DC kept before (dB)": "0.25 (1)",
        "always measured, DC lost before (dB)": "-",
        "always measured, DC kept before (dB)": "1.00 (1)",
    }


def test_outcome_counts_kept_masks_and_averages_gains_of_lost_ones(experiment, real) -> None:
    raised, measured = zero.outcome(experiment).splitlines()
    assert raised.endswith(
        "2 of 2 masks keep DC. The 1 that had lost it before change by +1.50 dB on average."
    )
    assert measured == "- **Always measured**: not run yet for a mask that had lost DC."
    lost = [with_values(real, 0.0, 30.0, seed=seed) for seed in (0, 1)]
    changed = [
        with_values(real, p, psnr, seed=seed, dc_raised=True)
        for seed, p, psnr in ((0, 1.0, 31.0), (1, 0.2, 33.0))
    ]
    raised, _ = zero.outcome(zero.pairs(lost, changed)).splitlines()
    # The t quantile of one degree of freedom is 12.71; the standard error of 1 and 3 is 1.
    assert raised.endswith(
        "1 of 2 masks keep DC. The 2 that had lost it before change by "
        "+2.00 dB on average (95% t interval: -10.71 to +14.71 dB)."
    )


def dots(figure) -> set[tuple[float, str, bool]]:
    """PSNR, colour and whether it is filled of every point; lines and the legend have none."""
    figure.savefig(io.BytesIO(), dpi=40)
    return {
        (float(x), to_hex(line.get_color()).upper(), line.get_markerfacecolor() != "none")
        for ax in figure.axes
        for line in ax.lines
        if line.get_marker() not in ("None", "", None)
        for x in line.get_data()[0]
    }


def test_points_show_psnr_and_dc(real) -> None:
    runs = [with_values(real, 0.4, 30.0, seed=0), with_values(real, 0.6, 31.0, seed=1)]
    figure = zero.dots_figure(runs)
    assert dots(figure) == {(30.0, zero.MISSING, False), (31.0, zero.KEPT, True)}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["s = 200"]


def test_experiment_figure_has_the_runs_that_there_are(experiment) -> None:
    found = dots(zero.experiment_figure(experiment))
    assert found == {
        (0.0, zero.MISSING, False),
        (0.0, zero.KEPT, True),
        (1.0, zero.KEPT, True),
        (2.0, zero.KEPT, True),
    }


def test_without_results_there_is_nothing_to_show() -> None:
    assert zero.dots_figure([]) is None
    assert zero.experiment_figure(zero.pairs([], [])) is None
    assert zero.kept_by_seed([]) == ""


@pytest.mark.parametrize("slope", [2.0, 20.0])
def test_gradient_has_the_moments_of_training(images, slope) -> None:
    model = build_model(fixed(slope=slope))
    x, at, batch = images.train.images, (16, 17), 8
    with torch.no_grad():
        p = model.mask.probabilities()
    drawn = []
    generator = torch.Generator().manual_seed(1)
    decoder = model.decoder.train()
    for _ in range(20):
        for part in x[torch.randperm(len(x), generator=generator)].split(batch):
            own = p.clone()
            own[at] = 0.4
            own.requires_grad_()
            masks = relax(own, torch.rand(batch, 32, 32, generator=generator), slope)
            k = torch.fft.ifftshift(masks, dim=(1, 2)) * torch.fft.fft2(part, norm="ortho")
            loss = F.l1_loss(decoder(k), part)
            drawn.append(float(torch.autograd.grad(loss, own)[0][at]))
    found = zero.frequency_gradient(model, x, batch, at, slope, 0.4)
    error = np.hypot(np.std(drawn) / len(drawn) ** 0.5, found.error)
    assert abs(found.mean - np.mean(drawn)) < 3 * error
    assert found.deviation == pytest.approx(np.std(drawn), rel=0.25)
    assert error < 0.5 * found.deviation


def test_noise_grows_with_the_slope_and_the_mean_does_not(images) -> None:
    model = build_model(fixed())
    gentle, steep = (
        zero.frequency_gradient(model, images.train.images, 8, (16, 16), slope, 0.5)
        for slope in (200.0, 20000.0)
    )
    assert steep.mean == pytest.approx(gentle.mean, abs=gentle.error)
    assert steep.deviation == pytest.approx(10 * gentle.deviation, rel=0.1)
    # An image has 0.05 < M < 0.95 where |P - U| < ln(19) / s.
    assert steep.seen == pytest.approx(1 - (1 - 2 * np.log(19) / 20000) ** 8)


def test_measuring_leaves_the_model_as_it_is(images) -> None:
    model = build_model(fixed())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = model.encoder.generator.get_state()
    zero.noise_table(model, images.train.images[:16], 8, [20.0])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(model.encoder.generator.get_state(), state)


def test_followed_training_is_that_of_the_run(images, tmp_path) -> None:
    config = fixed(slope=20.0, settle_epochs=2, seed=3)
    _, table = zero.follow_dc(config, images.train.images, 2)
    assert table.index.tolist() == [0, 1, 2]
    assert table["p"][0] == zero.start_p_dc(config)
    run = Run(config, "cpu")
    train([run], images, [tmp_path / "checkpoint"], progress=False)
    best = int(np.argmin([row["loss"] for row in run.history]))  # whose weights are kept
    assert table["p"][best + 1] == run.model.mask.probabilities()[16, 16].item()


def test_brightness_is_that_of_all_pixels(images) -> None:
    model = build_model(fixed())
    x = images.train.images[:8]
    with torch.no_grad():  # a decoder whose network adds nothing
        for parameter in list(model.decoder.parameters())[-2:]:
            parameter.zero_()
    table = zero.brightness_table({"zero-filled": model}, x)
    masks = model.mask.sample(8, torch.Generator().manual_seed(0))
    masks[:, 16, 16] = 1
    k = torch.fft.ifftshift(masks, dim=(1, 2)) * torch.fft.fft2(x, norm="ortho")
    expected = torch.fft.ifft2(k, norm="ortho").abs()
    assert table["brightness"][1] == f"{float((expected.sum() / x.sum()).detach()):.0%}"
    assert table["loss"][1] == f"{float((expected - x).abs().mean().detach()):.3f}"


def test_energy_of_dc(images) -> None:
    x = images.train.images[:8]
    energy = torch.fft.fft2(x.double(), norm="ortho").abs().square()
    expected = (energy[:, 0, 0] / energy.sum((1, 2))).mean()
    assert zero.dc_energy(x) == pytest.approx(float(expected), rel=1e-5)
