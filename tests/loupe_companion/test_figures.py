"""The paper's figures, drawn from real runs: their content, and that they can be saved."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from loupe_companion import figures
from loupe_companion.figures import BLUE, YELLOW
from loupe_lib.training.checkpoint import read_weights
from tests.common import dft2, idft2, sigmoid, uncentre


def draw(figure: Figure) -> None:
    """Matplotlib warns of what does not fit or is missing; warnings are errors."""
    figure.savefig(io.BytesIO(), dpi=40)


def group(results, acceleration, slope=None):
    """The seeds of one acceleration and fixed slope, or of 4S."""
    method = "4S" if slope is None else f"s={slope}"
    labels = [f"R={acceleration} {method} seed {seed}" for seed in (0, 1)]
    return [r for r in results if r.config.label in labels]


def test_fig_1_shows_every_step_of_the_encoder(trained, images):
    mask = read_weights(trained.weights(0))[0].mask
    mask.slope.fill_(30)
    x = images.test.images[7]
    figure = figures.encoder_figure(mask, x)
    draw(figure)
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
    draw(figure)
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
    draw(figure)
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
    draw(figure)


def test_fig_4_has_the_larger_acceleration_on_top(trained):
    figure = figures.mask_figure(trained.results)
    draw(figure)
    axes = np.array(figure.axes).reshape(2, 3, 3)  # R, what is shown, slope
    letters = iter("abcdef")
    for block, acceleration in zip(axes, (8, 4), strict=True):
        for column, slope in zip(block.T, (200, 2000, None), strict=True):
            run = group(trained.results, acceleration, slope)[0]
            p, relaxed, hard = (np.asarray(ax.images[0].get_array()) for ax in column)
            np.testing.assert_array_equal(p, run.probabilities)
            np.testing.assert_array_equal(hard, np.where(p > 0.5, 1, 0))
            assert relaxed.mean() == pytest.approx(1 / acceleration, abs=0.07)
            assert column[0].get_title().startswith(f"({next(letters)})")
            assert f"mean {p.mean():.3f}" in column[1].get_title()
            kept = (p > 0.5).sum()
            achieved = f"{p.size / kept:.2f}" if kept else "empty"
            assert achieved in column[2].get_title()


def with_slope(result, slope, **changes):
    """The same run, said to be trained with another slope."""
    config = dataclasses.replace(result.config, slope=float(slope), **changes)
    return dataclasses.replace(result, config=config, slope=float(slope))


def test_fig_4_shows_the_paper_s_four_slopes_where_all_are_there(trained):
    first, *_, shrunk = trained.results
    slopes = (20, 100, 200, 2000, 50000)
    results = [*(with_slope(first, slope, acceleration=8.0) for slope in slopes), shrunk]
    for shown, missing in (((20, 200, 2000, 50000), 0), (slopes[1:], 1)):
        titles = [ax.get_title() for ax in figures.mask_figure(results[missing:]).axes]
        expected = [f"({letter}) s = {s}" for letter, s in zip("abcd", shown, strict=True)]
        assert titles[: len(shown) + 1] == [*expected, "(e) 4S (s = 200)"]


def content(figure: Figure) -> list[object]:
    """Every word on a figure, and the points of every line."""
    words = [text.get_text() for text in figure.findobj(Text)]
    return words + [line.get_xydata().tolist() for line in figure.findobj(Line2D)]


def test_figures_leave_out_methods_that_the_paper_does_not_have(trained):
    changed = {"mask": "tanh", "schedule": "exponential"}
    other = [
        dataclasses.replace(r, slope=7.0, config=dataclasses.replace(r.config, **changed))
        for r in trained.results
        if r.config.shrinks
    ]
    lines = [with_slope(r, 200, lines=True) for r in trained.results if not r.config.shrinks]
    for name in ("histogram", "psnr", "mask", "training", "reconstruction"):
        figure = getattr(figures, f"{name}_figure")
        found = content(figure([*other, *lines, *trained.results]))
        assert found == content(figure(trained.results))


def test_results_without_the_paper_s_methods_have_no_figure(trained):
    fixed = [r for r in trained.results if not r.config.shrinks]
    lines = [with_slope(r, 200, lines=True) for r in fixed]
    for name in ("histogram", "psnr", "mask", "training", "reconstruction"):
        figure = getattr(figures, f"{name}_figure")
        assert figure(lines) is None
        assert (figure(fixed) is None) == (name in ("training", "reconstruction"))


def test_the_training_figure_shows_loss_and_slope_of_every_4s_run(trained):
    figure = figures.training_figure(trained.results)
    draw(figure)
    runs = [result for result in trained.results if result.config.shrinks]
    left, right = figure.axes[: len(runs)], figure.axes[len(runs) :]
    for run, ax, twin in zip(runs, left, right, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), run.history["loss"])
        np.testing.assert_array_equal(twin.lines[0].get_ydata(), run.history["slope"])
        assert ax.get_title() == run.config.label
        best = np.argmin(run.history["loss"])
        assert ax.lines[1].get_xdata() == [best + 1]


def test_the_reconstruction_figure_shows_truth_zero_filled_and_every_slope(trained):
    figure = figures.reconstruction_figure(trained.results)
    draw(figure)
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


@pytest.mark.parametrize("slopes", [(), (200,), (20, 200), (20, 200, 2000, 5000)])
def test_the_reconstruction_figure_shows_the_lowest_and_the_highest_slope_once(slopes, trained):
    first, *_, shrunk = trained.results
    fixed = [with_slope(first, slope, acceleration=8.0) for slope in slopes[::-1]]
    figure = figures.reconstruction_figure([shrunk, *fixed])
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes]
    ends = list(dict.fromkeys(slopes[:1] + slopes[-1:]))
    assert titles[2:] == [*(f"s = {slope}" for slope in ends), "4S (s = 200)"]


def test_results_without_pictures_have_no_reconstruction_figure(trained):
    results = [result.without_pictures() for result in trained.results]
    assert figures.reconstruction_figure(results) is None
