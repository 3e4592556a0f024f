"""The page on the zero frequency: its numbers against independent computations."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from scipy import stats
from torch.nn import functional as F

from loupe_companion.results import RunResult
from loupe_companion.zero_frequency import experiment, gradient, kept_masks
from loupe_companion.zero_frequency.runs import (
    WITH_DC,
    WITHOUT_DC,
    comparable_runs,
    learned_runs,
    run_data,
    start_p_dc,
    table_of_runs,
)
from loupe_lib.mask import relax
from loupe_lib.training.loop import train
from loupe_lib.training.model import build_model
from loupe_lib.training.run import Run
from tests.common import fixed


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


@pytest.mark.parametrize("changes", [{}, {"dc_raised": True}, {"center": 1}, {"mask": "tanh"}])
def test_start_is_that_of_the_untrained_model(changes) -> None:
    config = fixed(seed=5, **changes)
    torch.manual_seed(3)
    found = start_p_dc(config)
    after = torch.rand(4)
    assert found == build_model(config).mask.probabilities()[16, 16].item()
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(4)), "the global generator was used"


def test_only_learned_masks_of_points_with_dc_left_to_chance(real) -> None:
    wanted = [with_values(real, 0, 30), with_values(real, 0, 30, mask="tanh")]
    wanted.insert(1, with_values(real, 0, 30, test_head="colin27"))
    trained_slope = with_values(real, 0, 30, mask="trained_slope")
    flat, steep = (with_values(real, 0, 30, slope=slope) for slope in (5.0, 5000.0))
    others = [
        with_values(real, 0, 30, **changes)
        for changes in (
            {"mask": "disc"},
            {"lines": True},
            {"center": 1},
            {"dc_raised": True},
            {"keras": True},
            {"test_head": "colin27", "keras": True},
        )
    ]
    results = [*others, *wanted, trained_slope, steep, flat]
    left_out = {run.config.name for run in (flat, steep, trained_slope)}
    assert {run.config.name for run in learned_runs(results)} == left_out | {
        run.config.name for run in wanted
    }
    assert comparable_runs(results) == wanted


def test_masks_that_keep_dc_are_counted_by_seed_and_by_method(kept_results) -> None:
    runs = [r for r in comparable_runs(kept_results) if r.config.acceleration == 4]
    data = run_data(runs)
    table = kept_masks.kept_by_seed(data)
    assert table["seed"].tolist() == ["0", "1", "2"]  # whose P(DC) rises, too
    assert table["P(DC) before training"].is_monotonic_increasing
    for seed, start, count in table.drop(columns="R").itertuples(index=False):
        own = [r.probabilities[64, 64] for r in runs if r.config.seed == int(seed)]
        assert len(own) >= 18
        assert count == f"{sum(p > 0.5 for p in own)} of {len(own)}"
        config = fixed(size=128, acceleration=4.0, seed=int(seed))
        assert start == f"{start_p_dc(config):.2f}"
    counts = kept_masks.kept_by_method(data)
    assert counts["runs that keep DC"].tolist() == ["3 of 3", "2 of 3", "1 of 3"]
    assert counts["methods"][0] == "straight-through, tanh"
    assert sum(len(names.split(", ")) for names in counts["methods"]) == len(runs) // 3


def test_masks_of_one_method_are_compared(real) -> None:
    runs = [
        with_values(real, p, psnr, seed=seed, mask=mask)
        for mask, seed, p, psnr in (
            ("sigmoid", 0, 0.0, 30.0),
            ("sigmoid", 1, 1.0, 31.5),
            ("sigmoid", 2, 1.0, 29.0),
            ("tanh", 0, 1.0, 35.0),
        )
    ]
    assert kept_masks.compare_pairs(run_data(runs)) == (
        "- **R = 4**, 2 methods, 3 seeds: 3 of 4 masks keep DC. The mask with DC has the higher "
        "PSNR in 1 of 2 pairs; the mean difference is +0.25 dB. In 1 of the pairs the mask with DC "
        "is of seed 1, so they are not independent."
    )


def test_explained_is_the_squared_correlation_within_methods(kept_results) -> None:
    runs = [r for r in comparable_runs(kept_results) if r.config.acceleration == 4]
    (row,) = kept_masks.spread_table(run_data(runs)).to_dict("records")
    groups: dict[object, list[RunResult]] = {}
    for run in runs:
        groups.setdefault(dataclasses.replace(run.config, seed=0), []).append(run)
    psnr, dc = [], []
    for own in (sorted(runs, key=lambda run: run.config.seed) for runs in groups.values()):
        values = np.array([run.psnr() for run in own])
        kept = np.array([run.probabilities[64, 64] > 0.5 for run in own], float)
        psnr += list(values - values.mean())
        dc += list(kept - kept.mean())
    assert row["explained by DC"] == f"{np.corrcoef(psnr, dc)[0, 1] ** 2:.0%}"
    by_seed = np.reshape(psnr, (-1, 3)) - np.mean(np.reshape(psnr, (-1, 3)), axis=0)
    rest = np.reshape(dc, (-1, 3)) - np.mean(np.reshape(dc, (-1, 3)), axis=0)
    assert row["explained by the seed"] == f"{1 - np.sum(by_seed**2) / np.sum(np.square(psnr)):.0%}"
    of_rest = np.corrcoef(by_seed.ravel(), rest.ravel())[0, 1] ** 2
    assert row["of the rest, by DC"] == f"{of_rest:.0%}"
    before = [
        run.metrics["threshold"]["zero_filled_psnr"].mean()
        for run in runs
        if run.probabilities[64, 64] <= 0.5
    ]
    expected = f"{np.mean(before):.1f} ± {np.std(before, ddof=1):.1f}"
    assert row["zero-filled, DC missing (dB)"] == expected


def test_seeds_with_and_without_dc_are_compared_by_method(real) -> None:
    psnr = (30.0, 31.0, 33.0, 34.0, 36.0)
    runs = [with_values(real, i > 1, psnr[i], seed=i) for i in range(5)]
    runs += [with_values(real, i > 0, psnr[i], seed=i, mask="tanh") for i in range(5)]
    runs += [with_values(real, 1, 20.0, seed=i, mask="concrete") for i in range(4)]
    assert {run.config.mask for run in kept_masks.runs_of_every_seed(runs)} == {"sigmoid", "tanh"}
    (row,) = kept_masks.kept_minus_missing(run_data(runs)).to_dict("records")
    welch = stats.ttest_ind(psnr[2:], psnr[:2], equal_var=False).confidence_interval(0.95)
    assert row["method"] == "s=200" and row["n"] == "3 and 2"
    assert row["DC kept (dB)"] == "34.33 ± 1.53" and row["difference (dB)"] == "+3.83"
    assert row["95% interval"] == f"{welch.low:+.2f} to {welch.high:+.2f}"


@pytest.fixture
def changes(real) -> pd.DataFrame:
    """Runs with a change, of those as they are; and a method that has none."""
    results = [
        with_values(real, 0.0, 30.0, seed=0),
        with_values(real, 1.0, 32.0, seed=1),
        with_values(real, 0.0, 31.0, seed=2),
        with_values(real, 0.0, 29.0, seed=0, mask="tanh"),
        with_values(real, 1.0, 31.0, seed=0, dc_raised=True),
        with_values(real, 1.0, 32.25, seed=1, dc_raised=True),
        with_values(real, 0.2, 34.0, seed=2, dc_raised=True),
        with_values(real, 1.0, 33.0, seed=1, center=1),
        with_values(real, 1.0, 33.0, seed=0, center=1, acceleration=8.0),
    ]
    runs, data = experiment.find_experiment(results)
    assert {run.config.name for run in runs} == {
        run.config.name for run in results if run.config.mask != "tanh"
    } - {results[-1].config.name}
    return data


def test_runs_of_the_experiment_stand_beside_each_other(changes) -> None:
    table = table_of_runs(changes, "training")
    assert list(table.columns) == [
        *("R", "test head", "method", "seed", "as it is", "raised", "always measured")
    ]
    assert table.drop(columns=["R", "method"]).to_numpy().tolist() == [
        ["s1", 0, "30.00 (0.00)", "31.00 (1.00)", "not run"],
        ["s1", 1, "32.00 (1.00)", "32.25 (1.00)", "33.00 (1.00)"],
        ["s1", 2, "31.00 (0.00)", "34.00 (0.20)", "not run"],
    ]
    as_it_is = changes[changes["training"] == "as it is"].drop(columns="training")
    (row,) = table_of_runs(as_it_is, "seed").to_dict("records")
    assert row["seed 1"] == "32.00 (1.00)" and row["seed 2"] == "31.00 (0.00)"


def test_gains_are_apart_for_masks_that_had_lost_dc(changes) -> None:
    gains = experiment.gain_table(changes).drop(columns=["R", "test head"])
    # The t quantile of one degree of freedom is 12.71; the standard error of 1 and 3 is 1.
    assert gains.drop(columns="PSNR as it is (dB)").to_numpy().tolist() == [
        ["always measured", "kept", "1 of 1", "seed 1", "1.00", "-", "undecided"],
        ["raised", "kept", "1 of 1", "seed 1", "0.25", "-", "undecided"],
        ["raised", "lost", "1 of 2", "seeds 0, 2", "2.00 ± 1.41", "-10.71 to +14.71", "undecided"],
    ]
    assert gains["PSNR as it is (dB)"].tolist() == ["32.00", "32.00", "30.50 ± 0.71"]
    assert experiment.gain_list(experiment.gain_table(changes)).splitlines() == [
        "- **Always measured, R = 4**: masks that had kept DC: 1.00 dB (seed 1).",
        "- **Raised, R = 4**: masks that had kept DC: 0.25 dB (seed 1); masks that "
        "had lost DC: 2.00 ± 1.41 dB [-10.71 to +14.71], a gain is *undecided* (seeds 0, 2).",
    ]


def test_gains_compare_the_same_methods_at_every_seed_and_each_seed_once(real) -> None:
    results = []
    for seed in experiment.DECIDING:
        for mask, p in (("sigmoid", seed > 11), ("tanh", seed > 13)):
            results.append(with_values(real, float(p), 30.0, seed=seed, mask=mask))
            gain = 0.0 if p else 1.0 + 0.1 * (seed % 2)
            results.append(with_values(real, 1.0, 30.0 + gain, seed=seed, mask=mask, center=1))
    results.append(with_values(real, 0.0, 20.0, seed=8, mask="concrete"))  # one seed alone
    results.append(with_values(real, 1.0, 40.0, seed=8, mask="concrete", center=1))
    _, data = experiment.find_experiment(results)
    gains = experiment.gain_table(data)
    assert dict(zip(gains["DC as it is"], gains["seeds"], strict=True)) == {
        "kept": "seeds 14 to 23",
        "lost": "seeds 8 to 11",
        "partly kept": "seeds 12, 13",
    }
    assert experiment.written_test(data) == "Its runs are missing."
    data = data.replace({"method": {"s=200": "s=20", "tanh": "4S"}})
    assert experiment.written_test(data).splitlines()[0] == (
        "- Masks that had lost DC (seeds 8 to 11): 1.05 ± 0.06 dB (95% interval +0.96 to +1.14), a "
        "gain is *shown*."
    )
    assert experiment.written_test(data[data["seed"] > 8]) == "Its runs are missing."


def test_runs_of_one_seed_count_once_and_heads_apart(real) -> None:
    results = []
    gains = {0: (5.0, 7.0), 3: (1.0, 3.0), 7: (2.0, 4.0)}
    for seed, both in gains.items():
        for mask, gain in zip(("sigmoid", "tanh"), both, strict=True):
            at = {"seed": seed, "mask": mask, "test_head": "mni152"}
            results.append(with_values(real, 0.0, 25.0, **at))
            results.append(with_values(real, 1.0, 25.0 + gain, center=1, **at))
    results.append(with_values(real, 0.0, 30.0, seed=3))
    _, data = experiment.find_experiment(results)
    (row,) = experiment.gain_table(data).to_dict("records")
    assert row["masks that keep DC"] == "6 of 6" and row["seeds"] == "seeds 0, 3, 7"
    assert row["test head"] == "mni152" and row["gain (dB)"].startswith("3.67")  # of 6, 2, 3
    assert experiment.written_tests_on_mni152(data).splitlines() == [
        "- The first, its 2 runs as if independent: 6.00 ± 1.41 dB (95% interval -6.71 to +18.71), "
        "a gain is *undecided*.",
        "- The same runs by seed (seed 0): 6.00 dB (95% interval -), a gain is *undecided*.",
        "- The second (seeds 3, 7): 2.50 ± 0.71 dB (95% interval -3.85 to +8.85), a gain is "
        "*undecided*.",
    ]
    assert experiment.written_tests_on_mni152(data[data["seed"] < 3]) == "Their runs are missing."


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
    figure = kept_masks.points_figure(run_data(runs))
    assert dots(figure) == {(30.0, WITHOUT_DC, False), (31.0, WITH_DC, True)}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["s=200"]


def test_probabilities_at_dc_are_drawn_before_and_after_training(real) -> None:
    data = run_data([with_values(real, p, 30.0, seed=seed) for seed, p in ((0, 0.1), (1, 0.9))])
    (ax,) = kept_masks.start_figure(data).axes
    points = {(x, y) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)}
    assert points == set(zip(data["p_dc_start"], data["p_dc"], strict=True))


def test_experiment_figure_has_the_runs_that_there_are(changes) -> None:
    found = dots(experiment.experiment_figure(changes))
    assert found == {
        *((0.0, WITHOUT_DC, False), (0.0, WITH_DC, True)),
        *((1.0, WITHOUT_DC, False), (1.0, WITH_DC, True)),
        (2.0, WITH_DC, True),
    }


def test_gradient_has_the_moments_of_training(images) -> None:
    slope = 2.0  # so low that M at DC is not drawn from all of (0, 1)
    model = build_model(fixed(slope=slope))
    x, at, batch = images.train.images, (16, 16), 8
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
    found = gradient.dc_gradient(model, x, batch, slope, 0.4)
    error = np.hypot(np.std(drawn) / len(drawn) ** 0.5, found["error"])
    assert abs(found["gradient"] - np.mean(drawn)) < 3 * error
    assert found["deviation"] == pytest.approx(np.std(drawn), rel=0.25)
    assert error < 0.5 * found["deviation"]


def test_noise_grows_with_the_slope_and_the_mean_does_not(images) -> None:
    model = build_model(fixed())
    gentle, steep = (
        gradient.dc_gradient(model, images.train.images, 8, slope, 0.5)
        for slope in (200.0, 20000.0)
    )
    assert steep["gradient"] == pytest.approx(gentle["gradient"], abs=gentle["error"])
    assert steep["deviation"] == pytest.approx(10 * gentle["deviation"], rel=0.1)


def test_measuring_leaves_the_model_as_it_is(images) -> None:
    model = build_model(fixed())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = model.encoder.generator.get_state()
    gradient.noise_table(model, images.train.images[:16], 8, [20.0])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(model.encoder.generator.get_state(), state)


def test_followed_training_is_that_of_the_run(images, tmp_path) -> None:
    config = fixed(slope=20.0, settle_epochs=2, seed=3)
    _, table = gradient.follow_dc({"as it is": config}, images.train.images, 2)
    assert table["epoch"].tolist() == [0, 1, 2]
    assert table["p_dc"][0] == start_p_dc(config)
    run = Run(config, "cpu")
    train([run], images, [tmp_path / "checkpoint"], progress=False)
    best = int(np.argmin([row["loss"] for row in run.history]))  # whose weights are kept
    assert table["p_dc"][best + 1] == run.model.mask.probabilities()[16, 16].item()


def test_brightness_is_that_of_all_pixels(images) -> None:
    model = build_model(fixed())
    x = images.train.images[:8]
    with torch.no_grad():  # a decoder whose network adds nothing
        for parameter in list(model.decoder.parameters())[-2:]:
            parameter.zero_()
    table = gradient.brightness_table({"zero-filled": model}, x)
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
    assert gradient.dc_energy(x) == pytest.approx(float(expected), rel=1e-5)
