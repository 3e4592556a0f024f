"""The figures, drawn from real runs: what is on them, and that they can be saved."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from loupe_companion import figures
from loupe_companion.figures import BLUE, YELLOW
from loupe_lib.data.heads import load_heads
from loupe_lib.training.checkpoint import read_weights
from tests.common import dft2, idft2, sigmoid, uncentre

pytest_plugins = ["tests.fixtures_runs"]


def save(figure: Figure) -> None:
    """Drawing warns of all that does not fit or is missing; warnings are errors."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    assert len(buffer.getvalue()) > 1000


def group(results, acceleration, slope=None):
    """The seeds of one acceleration and fixed slope, or of 4S."""
    return [
        r
        for r in results
        if r.config.acceleration == acceleration
        and (r.config.shrinks if slope is None else r.config.slope == slope)
        and (slope is None or not r.config.shrinks)
    ]


def test_fig_1_shows_every_step_of_the_encoder(trained, images):
    mask = read_weights(trained.weights(0))[0].mask
    mask.slope.fill_(30)
    x = images.test.images[7]
    figure = figures.encoder_figure(mask, x, seed=3)
    save(figure)
    shown = [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]
    gamma, s, p, u, m, image, spectrum, y, zero_filled = shown
    np.testing.assert_array_equal(gamma, mask.gamma.detach().numpy())
    np.testing.assert_allclose(s, sigmoid(5 * gamma), atol=1e-6)
    np.testing.assert_array_equal(p, trained.results[0].probabilities)
    assert 0 <= u.min() < 0.02 and 0.98 < u.max() <= 1
    np.testing.assert_allclose(m, sigmoid(30 * (p.astype(float) - u)), atol=1e-5)
    np.testing.assert_array_equal(image, x.numpy())
    k = dft2(x.double().numpy())
    masked = uncentre(m.astype(float)) * k
    for found, values in ((spectrum, k), (y, masked)):
        magnitude = np.abs(uncentre(values))  # N is even: centring is its own inverse
        decades = np.log10(np.maximum(magnitude / magnitude.max(), 1e-4))
        np.testing.assert_allclose(found, decades, atol=1e-2)
    np.testing.assert_allclose(zero_filled, np.abs(idft2(masked)), atol=1e-5)


def test_fig_2_has_a_row_for_each_acceleration_and_4s_last(trained):
    figure = figures.histogram_figure(trained.results)
    save(figure)
    axes = np.array(figure.axes).reshape(2, 3)
    for row, acceleration in zip(axes, (4, 8), strict=True):
        assert f"R = {acceleration}" in row[0].get_ylabel()
        for ax, slope in zip(row, (200, 2000, None), strict=True):
            runs = group(trained.results, acceleration, slope)
            (bars,) = ax.patches
            mean = (runs[0].histogram + runs[1].histogram) / 2
            np.testing.assert_allclose(bars.get_data().values, mean)
            assert bars.get_data().edges[[0, -1]].tolist() == [0, 1]
            assert to_hex(bars.get_facecolor()).upper() == (YELLOW if slope is None else BLUE)
            assert ax.get_title().startswith("4S" if slope is None else f"s = {slope}")
            soft = np.mean([run.soft_share for run in runs])
            assert any(f"soft {soft:.1%}" in text.get_text() for text in ax.texts)
            assert ax.get_yscale() == "log"


def points(ax) -> list[tuple]:
    """Marker, colour, whether it is filled, size and place of every point."""
    found = []
    for line in ax.lines:
        for x, y in zip(*map(np.atleast_1d, line.get_data()), strict=True):
            filled = line.get_markerfacecolor() != "none"
            colour = to_hex(line.get_color()).upper()
            found.append((line.get_marker(), colour, filled, line.get_markersize(), x, y))
    return found


def test_fig_3_keeps_the_paper_s_marks_and_colours(trained):
    figure = figures.psnr_figure(trained.results)
    save(figure)
    above, below = figure.axes
    assert above.get_xscale() == "log" and "PSNR (dB)" in above.get_ylabel()
    drawn = points(above)
    for acceleration, marker in ((4, "o"), (8, "s")):
        for slope, colour in ((200, BLUE), (2000, BLUE), (None, YELLOW)):
            runs = group(trained.results, acceleration, slope)
            hard, exact = (np.mean([r.psnr(m) for r in runs]) for m in ("threshold", "topk"))
            place = np.exp(np.mean(np.log([r.slope for r in runs])))
            large = [p for p in drawn if p[:4] == (marker, colour, True, 9)]
            assert any(np.allclose(p[4:], (place, hard)) for p in large)
            hollow = [p for p in drawn if p[:3] == (marker, colour, False)]
            assert any(np.isclose(p[5], exact) for p in hollow)
            small = [p for p in drawn if p[:4] == (marker, colour, True, 3.5)]
            for run in runs:
                assert any(np.allclose(p[4:], (run.slope, run.psnr())) for p in small)
                achieved = run.slope, min(run.achieved_acceleration(), figures.EMPTY)
                assert any(
                    p[:2] == (marker, colour) and np.allclose(p[4:], achieved)
                    for p in points(below)
                )
    assert len([p for p in drawn if p[2] and p[3] == 9]) == 6


def test_fig_3_crosses_out_runs_with_a_warning_and_no_others(trained):
    clean = [dataclasses.replace(result, warnings=()) for result in trained.results]
    figure = figures.psnr_figure(clean)
    assert not [p for p in points(figure.axes[0]) if p[0] == "x"]
    labels = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert labels == {"R = 4", "R = 8", "fixed $s$", "4S", "exact budget"}
    clean[3] = dataclasses.replace(clean[3], warnings=("collapsed mask",))
    figure = figures.psnr_figure(clean)
    (cross,) = [p for p in points(figure.axes[0]) if p[0] == "x"]
    assert cross[4:] == pytest.approx((clean[3].slope, clean[3].psnr()))
    assert "warning" in {t.get_text() for t in figure.axes[0].get_legend().get_texts()}
    save(figure)


def test_fig_3_needs_no_spread_over_seeds(trained):
    one = [result for result in trained.results if result.config.seed == 0]
    figure = figures.psnr_figure(one)
    save(figure)
    assert not figure.axes[0].containers  # error bars
    assert figures.psnr_figure(trained.results).axes[0].containers


def test_fig_4_has_the_larger_acceleration_on_top(trained):
    figure = figures.mask_figure(trained.results, [200, 2000])
    save(figure)
    axes = np.array(figure.axes).reshape(2, 3, 3)  # R, what is shown, slope
    letters = iter("abcdef")
    for block, acceleration in zip(axes, (8, 4), strict=True):
        for column, slope in zip(block.T, (200, 2000, None), strict=True):
            run = group(trained.results, acceleration, slope)[0]
            p, draw, hard = (np.asarray(ax.images[0].get_array()) for ax in column)
            np.testing.assert_array_equal(p, run.probabilities)
            np.testing.assert_array_equal(hard, np.where(p > 0.5, 1, 0))
            assert draw.mean() == pytest.approx(1 / acceleration, abs=0.07)
            assert column[0].get_title().startswith(f"({next(letters)})")
            assert f"mean {p.mean():.3f}" in column[1].get_title()
            kept = (p > 0.5).sum()
            achieved = f"{p.size / kept:.2f}" if kept else "empty"
            assert achieved in column[2].get_title()


def test_the_training_figure_shows_loss_and_slope_of_every_4s_run(trained):
    figure = figures.training_figure(trained.results)
    save(figure)
    runs = [result for result in trained.results if result.config.shrinks]
    left, right = figure.axes[: len(runs)], figure.axes[len(runs) :]
    for run, ax, twin in zip(runs, left, right, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), run.history["loss"])
        np.testing.assert_array_equal(twin.lines[0].get_ydata(), run.history["slope"])
        assert ax.get_title() == run.config.label
        best = np.argmin(run.history["loss"])
        assert ax.lines[1].get_xdata() == [best + 1]


def test_the_reconstruction_figure_shows_truth_zero_filled_and_every_slope(trained):
    figure = figures.reconstruction_figure(trained.results, [200, 2000])
    save(figure)
    axes = np.array(figure.axes).reshape(2, 5)
    for row, acceleration in zip(axes, (4, 8), strict=True):
        runs = [group(trained.results, acceleration, slope)[0] for slope in (200, 2000, None)]
        shown = [np.asarray(ax.images[0].get_array()) for ax in row]
        np.testing.assert_array_equal(shown[0], runs[2].truth[0])
        np.testing.assert_array_equal(shown[1], runs[2].zero_filled[0])
        for run, values, ax in zip(runs, shown[2:], row[2:], strict=True):
            np.testing.assert_array_equal(values, run.reconstructions[0])
            error = (run.reconstructions[0].astype(float) - run.truth[0]) ** 2
            assert f"{-10 * np.log10(error.mean()):.1f} dB" in ax.get_title()


def test_the_images_can_be_looked_at(images):
    for figure in (
        figures.heads_figure(load_heads()),
        figures.cohort_figure(images),
        figures.spectrum_figure(images),
    ):
        save(figure)
    titles = {ax.get_title() for ax in figures.cohort_figure(images).axes}
    assert {*images.train.names, *images.validation.names, *images.test.names} <= titles


def test_the_spectrum_is_that_of_the_training_images(images):
    figure = figures.spectrum_figure(images)
    power = (np.abs(dft2(images.train.images.double().numpy())) ** 2).mean(0)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, np.log10(uncentre(power)), atol=1e-3)
    ring = figure.axes[1].lines[0].get_ydata()
    assert ring[0] == pytest.approx(power[0, 0], rel=1e-4)
    around = [power[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    assert ring[1] == pytest.approx(np.mean(around), rel=1e-4)


def test_figures_draw_nothing_at_random(trained):
    with torch.random.fork_rng():
        drawn = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            buffer = io.BytesIO()
            figures.mask_figure(trained.results, [200]).savefig(buffer, dpi=40)
            drawn.append(buffer.getvalue())
    assert drawn[0] == drawn[1]


def test_pairs_are_coloured_by_what_is_kept_of_them():
    mask = np.zeros((32, 32))
    mask[16, 16] = mask[16, 20] = 1  # DC, its own partner, and one whose partner is (16, 12)
    both = mask.copy()
    both[16, 12] = 1
    figure = figures.pairs_figure({"one": mask, "both": both})
    save(figure)
    left, right = (np.asarray(ax.images[0].get_array()) for ax in figure.axes)
    assert (left[16, 16], left[16, 20], left[16, 12], left.sum()) == (2, 1, 0, 3)
    assert (right[16, 20], right[16, 12], right.sum()) == (2, 2, 6)
    assert [ax.get_title() for ax in figure.axes] == ["one", "both"]
