"""The paper's figures, drawn from real runs: their content, and that they can be saved."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from loupe_companion.figures.fig1 import encoder_figure, encoder_maps, run_title
from loupe_companion.figures.fig2 import histogram_data, histogram_figure
from loupe_companion.figures.fig3 import EMPTY, overview_figure, psnr_data, psnr_figure
from loupe_companion.figures.fig3_slice import reconstruction_data, reconstruction_figure
from loupe_companion.figures.fig3_training import training_figure
from loupe_companion.figures.fig4 import mask_data, mask_figure
from loupe_companion.figures.style import BLUE, YELLOW
from loupe_companion.groups import group_runs
from loupe_lib.mask import ProbabilityMask
from loupe_lib.training.checkpoint import read_weights
from tests.common import dft2, draw, idft2, sigmoid, uncentre, with_psnr

FIGURES = (histogram_figure, psnr_figure, mask_figure, training_figure, reconstruction_figure)


def group(results, acceleration, slope=None):
    """The seeds of one acceleration and fixed slope, or of 4S."""
    method = "4S" if slope is None else f"s={slope}"
    labels = [f"R={acceleration} {method} seed {seed}" for seed in (0, 1)]
    return [r for r in results if r.config.label in labels]


def test_fig_1_shows_every_step_of_the_encoder(trained, images):
    mask = read_weights(trained.weights(0))[0].mask
    mask.slope.fill_(30)
    x = images.test.images[7]
    maps = {name: np.asarray(values) for name, values in encoder_maps(mask, x).items()}
    gamma, s, p, u, m, image, spectrum, y, zero_filled = maps.values()
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

    figure = encoder_figure(mask, x)
    draw(figure)
    shown = {ax.get_title() or ax.get_ylabel(): ax for ax in figure.axes if ax.images}
    symbols = {"gamma": r"\gamma", "log10 |F(x)|": r"|\mathcal{F}(x)|", "log10 |y|": "|y|"}
    symbols["|F^-1(y)|"] = r"|\mathcal{F}^{-1}(y)|"
    for name, values in maps.items():
        start = f"${symbols.get(name, name)}$"
        (title,) = (title for title in shown if title.startswith(start))
        np.testing.assert_array_equal(shown.pop(title).images[0].get_array(), values)
    assert not shown
    assert f"P(DC) = {p[16, 16]:.2f}" in " ".join(map(str, content(figure)))


def test_the_centre_that_is_always_measured_is_open_in_fig_1(images):
    mask = ProbabilityMask(32, 4, slope=1.0, center=3)
    m = encoder_maps(mask, images.test.images[0])["M"]
    assert (m[15:18, 15:18] == 1).all() and not (m[14:19, 14:19] == 1).all()


def test_the_run_of_fig_1_is_told_in_words(trained):
    config = trained.results[4].config
    assert run_title(config) == "R = 4, 4S, seed 0"
    centre = dataclasses.replace(config, center=1, seed=2)
    assert run_title(centre) == "R = 4, 4S, DC always measured, seed 2"
    fixed = dataclasses.replace(trained.results[0].config, center=3)
    assert run_title(fixed) == "R = 4, s = 200, a centre of side 3 always measured, seed 0"


def test_fig_2_has_a_row_for_each_acceleration_and_4s_last(trained):
    figure = histogram_figure(trained.results)
    draw(figure)
    axes = np.array(figure.axes).reshape(2, 3)
    for row, acceleration in zip(axes, (4, 8), strict=True):
        assert f"R = {acceleration}" in row[0].get_ylabel()
        for ax, slope in zip(row, (200, 2000, None), strict=True):
            runs = group(trained.results, acceleration, slope)
            bars, line = ax.patches
            mean = (runs[0].histogram + runs[1].histogram) / 2
            np.testing.assert_allclose(bars.get_data().values, mean)
            assert bars.get_data().edges[[0, -1]].tolist() == [0, 1]
            assert to_hex(bars.get_facecolor()).upper() == (YELLOW if slope is None else BLUE)
            assert ax.get_title().startswith("4S" if slope is None else f"s = {slope}")
            # M of P and s alone, on a fine grid of U instead of random draws.
            u = (np.arange(2000) + 0.5) / 2000
            means = [sigmoid(r.slope * (r.probabilities[..., None] - u)).mean(-1) for r in runs]
            averages = np.histogram(means, 50, (0, 1))[0] / np.size(means)
            np.testing.assert_allclose(line.get_data().values, averages, atol=3e-3)
            assert ax.get_yscale() == "log"
    data = histogram_data(trained.results)
    part = data[(data["R"] == 8) & (data["method"] == "4S")]
    np.testing.assert_allclose(part["entries"], axes[1, 2].patches[0].get_data().values)
    np.testing.assert_allclose(part["averages"], axes[1, 2].patches[1].get_data().values)
    assert len(data) == 6 * 50


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
    figure = psnr_figure(trained.results)
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
                achieved = run.slope, min(run.achieved_acceleration(), EMPTY)
                assert any(
                    p[:2] == (marker, colour) and np.allclose(p[4:], achieved)
                    for p in points(below)
                )
    assert len([p for p in drawn if p[2] and p[3] == 9]) == 6


def test_fig_3_at_a_glance_shows_the_mean_of_each_of_the_paper_s_methods(trained):
    figure = overview_figure(trained.results)
    figure.savefig(io.BytesIO())
    ax = figure.axes[0]
    drawn = {line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1}
    assert drawn >= {float(np.mean(group.psnr)) for group in group_runs(trained.results)}
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["R = 4", "R = 8", "fixed slope", "4S"]


def labels(figure: Figure) -> set[str]:
    (legend,) = figure.legends
    return {text.get_text() for text in legend.get_texts()}


def test_fig_3_enlarges_4s_and_the_slopes_near_the_best_one(trained):
    psnr = {200: (30.0, 31.0), 2000: (28.0, 29.4)}  # the second is 1.8 dB below
    results = [
        with_psnr(run, psnr.get(round(run.config.slope), (30.3, 30.4))[run.config.seed])
        for run in trained.results[:6]
    ]
    (inset,) = psnr_figure(results).axes[0].child_axes
    assert inset.get_title() == "R = 4: 4S is 0.15 dB below s = 200"
    drawn = [(p[1], p[4:]) for p in points(inset) if p[0] == "o"]
    assert [colour for colour, _ in drawn] == [BLUE, YELLOW]
    assert [place[1] for _, place in drawn] == pytest.approx([30.5, 30.35])


def test_fig_3_is_drawn_with_a_run_that_is_no_number(trained):
    for lost in (0, 4):  # a fixed slope, then 4S, which leaves nothing to enlarge
        results = list(trained.results[:6])
        results[lost] = with_psnr(results[lost], np.nan)
        figure = psnr_figure(results)
        draw(figure)
        assert len(figure.axes[0].child_axes) == (lost == 0)


def test_fig_3_draws_4s_from_other_slopes_smaller_and_in_tints(trained):
    starts = [with_slope(r, s) for r in trained.results if r.config.shrinks for s in (1, 200)]
    results = [*trained.results, *starts]
    figure = psnr_figure(results)
    draw(figure)
    assert {"4S from s = 1", "4S from s = 20", "4S from s = 200"} <= labels(figure)
    means = {(p[1], p[3]) for p in points(figure.axes[0]) if p[3] in (6.5, 9) and len(p) == 6}
    assert {(BLUE, 9), (YELLOW, 9)} < means
    assert len({colour for colour, size in means if size == 6.5} - {BLUE, YELLOW}) == 2
    data = psnr_data(results)
    assert len(data) == len(results) and set(data["method"]) >= {"4S s0=1", "4S", "4S s0=200"}
    first = data[(data["method"] == "s=200") & (data["R"] == 8) & (data["seed"] == 1)].squeeze()
    run = group(trained.results, 8, 200)[1]
    assert (first["psnr"], first["p_dc"]) == (run.psnr(), run.p_dc)


@pytest.mark.parametrize(("acceleration", "place"), [(4.0, 18800), (8.0, 1675)])
def test_fig_3_marks_the_slope_that_the_paper_returned(trained, acceleration, place):
    results = [r for r in trained.results if r.config.acceleration == acceleration]
    marks = [p[4:] for p in points(psnr_figure(results).axes[0]) if p[0] == "^"]
    assert marks == [(place, 0)]


def test_fig_3_crosses_out_runs_with_a_warning_and_no_others(trained):
    clean = [dataclasses.replace(result, warnings=()) for result in trained.results]
    figure = psnr_figure(clean)
    assert not [p for p in points(figure.axes[0]) if p[0] == "x"]
    assert labels(figure) == {
        *("R = 4", "R = 8", "fixed $s$", "4S from s = 20", "exact budget", "R that was set"),
        *("one seed", "mean ± SD; range of s", "mean of 4S, of the best s"),
        "returned in the paper",
    }
    clean[3] = dataclasses.replace(clean[3], warnings=("collapsed mask",))
    figure = psnr_figure(clean)
    (cross,) = [p for p in points(figure.axes[0]) if p[0] == "x"]
    assert cross[4:] == pytest.approx((clean[3].slope, clean[3].psnr()))
    assert "warning" in labels(figure)
    draw(figure)


def test_fig_4_has_the_larger_acceleration_on_top(trained):
    figure = mask_figure(trained.results)
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
            assert f"P(DC) = {p[16, 16]:.2f}" in column[0].get_title()
            near = column[0].child_axes[0].images[0].get_array()
            np.testing.assert_array_equal(near, p[11:22, 11:22])
            kept = (p > 0.5).sum()
            achieved = f"{p.size / kept:.2f}" if kept else "empty"
            assert achieved in column[2].get_title()
        assert f"R = {acceleration}, seed 0" in content(figure)
    data = mask_data(trained.results).set_index(["row", "column"])
    assert data.shape == (32 * 32, 6)
    p = group(trained.results, 8, 2000)[0].probabilities
    assert data.loc[3, 30]["R=8 s=2000"] == pytest.approx(p[3, 30], abs=5e-6)


def with_slope(result, slope, **changes):
    """The same run, said to be trained with another slope."""
    config = dataclasses.replace(result.config, slope=float(slope), **changes)
    return dataclasses.replace(result, config=config, slope=float(slope))


def test_fig_4_shows_the_paper_s_four_slopes_where_all_are_there(trained):
    first, *_, shrunk = trained.results
    slopes = (20, 100, 200, 2000, 50000)
    results = [*(with_slope(first, slope, acceleration=8.0) for slope in slopes), shrunk]
    for shown, missing in (((20, 200, 2000, 50000), 0), (slopes[1:], 1)):
        axes = mask_figure(results[missing:]).axes
        titles = [ax.get_title().split("\n")[0] for ax in axes]
        expected = [f"({letter}) s = {s}" for letter, s in zip("abcd", shown, strict=True)]
        assert titles[: len(shown) + 1] == [*expected, "(e) 4S (s = 20)"]


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
    for figure in FIGURES:
        found = content(figure([*other, *lines, *trained.results]))
        assert found == content(figure(trained.results))


def test_the_training_figure_shows_loss_and_slope_of_every_4s_run(trained):
    figure = training_figure(trained.results)
    draw(figure)
    runs = [result for result in trained.results if result.config.shrinks]
    left, right = figure.axes[: len(runs)], figure.axes[len(runs) :]
    for run, ax, twin in zip(runs, left, right, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), run.history["loss"])
        np.testing.assert_array_equal(twin.lines[0].get_ydata(), run.history["slope"])
        assert ax.get_title() == run.config.label
        best = np.argmin(run.history["loss"])
        assert ax.lines[1].get_xdata() == [best + 1]


def test_the_reconstruction_figure_shows_images_and_their_errors(trained):
    results = [
        with_psnr(run, 30 if run.config.shrinks else 40 - run.config.slope / 1000)
        for run in trained.results
    ]
    figure = reconstruction_figure(results)
    draw(figure)
    axes = np.array(figure.axes[:-1]).reshape(2, 2, 5)  # R, image or error, what is shown
    data = reconstruction_data(results).set_index(["row", "column"])
    for (images, errors), acceleration in zip(axes, (4, 8), strict=True):
        runs = [group(results, acceleration, slope)[0] for slope in (None, 200, 2000)]
        shown = [np.asarray(ax.images[0].get_array()) for ax in images]
        np.testing.assert_array_equal(shown[0], runs[0].truth[0])
        np.testing.assert_array_equal(shown[1], runs[0].zero_filled[0])
        for run, values, ax in zip(runs, shown[2:], images[2:], strict=True):
            np.testing.assert_array_equal(values, run.reconstructions[0])
            error = (run.reconstructions[0].astype(float) - run.truth[0]) ** 2
            assert f"{-10 * np.log10(error.mean()):.1f} dB" in ax.get_title()
        for values, ax in zip(shown[1:], errors[1:], strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), np.abs(values - shown[0]))
        column = data[f"R={acceleration} s=200"].to_numpy().reshape(32, 32)
        np.testing.assert_allclose(column, shown[3], atol=1e-5)


def test_the_reconstruction_figure_takes_the_runs_of_4s_that_have_images(trained):
    other = [with_slope(r, 200) for r in trained.results if r.config.shrinks]
    own = [r.without_pictures() if r.config.shrinks else r for r in trained.results]
    titles = [ax.get_title() for ax in reconstruction_figure([*own, *other]).axes]
    assert titles[2].startswith("4S from 200,\nreturned 200\n")


@pytest.mark.parametrize("slopes", [(), (200,), (20, 200), (20, 200, 2000, 5000)])
def test_the_reconstruction_figure_shows_the_best_and_the_highest_slope_once(slopes, trained):
    first, *_, shrunk = trained.results
    best = 200 if 200 in slopes else None
    fixed = [
        with_psnr(with_slope(first, slope, acceleration=8.0), 40 if slope == best else 30)
        for slope in slopes[::-1]
    ]
    figure = reconstruction_figure([shrunk, *fixed])
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes]
    ends = list(dict.fromkeys([*filter(None, [best]), *slopes[-1:]]))
    expected = ["4S from 20,", *(f"s = {slope}" for slope in ends)]
    assert [title for title in titles[2:] if title] == expected
